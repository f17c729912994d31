//! Authentication by API key: an authenticated backend vouches for the users of its apps.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use super::AppUser;
use crate::{
    clock::{ClockGuard, ClockStopped},
    domain::{
        api_key::{ApiKey, ApiKeyHash, ApiKeyId, ApiKeyRecord},
        ids::{AppName, ClientName, UserId},
    },
};

/// Snapshot of the API keys on record: authentication reads no store.
#[derive(Debug, Default)]
pub struct ApiKeyAuthenticator {
    known: ArcSwap<HashMap<ApiKeyId, ApiKeyRecord>>,
}

/// Reason why no backend is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// The API key is refused, without the reason: the caller must not learn it.
    #[error("the API key was refused")]
    Refused,
    /// The API key is right, but whether it has expired cannot be judged now.
    #[error(transparent)]
    Undecided(#[from] ClockStopped),
}

/// Refusal of an app that is not in the API key's scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API key is not scoped to this app")]
pub struct NotScoped;

impl ApiKeyAuthenticator {
    /// Replaces the snapshot.
    pub fn swap(&self, records: impl IntoIterator<Item = ApiKeyRecord>) {
        self.known.store(Arc::new(records.into_iter().map(|record| (record.id.clone(), record)).collect()));
    }

    /// Authenticates the backend that presents this API key.
    ///
    /// An unknown id takes the same time as a wrong secret: the hash is computed and compared in both cases.
    ///
    /// # Errors
    /// [`Unauthenticated::Refused`] if the key is malformed, unknown, wrong, revoked or expired;
    /// [`Unauthenticated::Undecided`] if it is right, and not revoked, while the clock is stopped.
    pub fn authenticate(&self, presented: &str, clock: &ClockGuard) -> Result<Caller, Unauthenticated> {
        let key = ApiKey::parse(presented).map_err(|_| Unauthenticated::Refused)?;
        let hash = key.hash();
        let known = self.known.load();
        let record = known.get(&key.id);
        let matches = record.map_or(&NO_HASH, |record| &record.hash).matches(&hash);
        let record = record.filter(|record| matches && record.revoked.is_none()).ok_or(Unauthenticated::Refused)?;
        if record.is_live(clock.trusted_now()?) { Ok(Caller::of(record)) } else { Err(Unauthenticated::Refused) }
    }
}

/// Hash that an unknown key is compared with. A match would be harmless, because there is no record.
static NO_HASH: ApiKeyHash = ApiKeyHash([0; 32]);

/// An authenticated backend.
#[derive(Clone, Debug)]
pub struct Caller {
    pub key: ApiKeyId,
    pub client: ClientName,
    apps: Vec<AppName>,
}

impl Caller {
    fn of(record: &ApiKeyRecord) -> Self {
        Self { key: record.id.clone(), client: record.client.clone(), apps: record.apps.clone() }
    }

    /// Checks that the caller may act for this app.
    ///
    /// # Errors
    /// [`NotScoped`] if it may not.
    pub fn may_use(&self, app: &AppName) -> Result<(), NotScoped> {
        if self.apps.contains(app) { Ok(()) } else { Err(NotScoped) }
    }

    /// Makes the [`AppUser`] that this backend vouches for.
    ///
    /// # Errors
    /// [`NotScoped`] if the caller may not act for this app.
    pub fn vouches_for(&self, app: &AppName, user: UserId) -> Result<AppUser, NotScoped> {
        self.may_use(app)?;
        Ok(AppUser { app: app.clone(), user })
    }
}
