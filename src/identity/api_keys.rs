//! Authentication by API key: an authenticated backend vouches for the users of its apps.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use arc_swap::ArcSwap;

use super::AppUser;
use crate::{
    clock::{ClockGuard, ClockStopped, UnixMillis},
    domain::{
        api_key::{ApiKey, ApiKeyHash, ApiKeyId, ApiKeyRecord},
        ids::{AppName, ClientName, UserId},
    },
};

/// Snapshot of the API keys on record: authentication reads no store.
#[derive(Debug, Default)]
pub struct ApiKeyAuthenticator {
    known: ArcSwap<HashMap<ApiKeyId, KnownKey>>,
}

#[derive(Debug)]
struct KnownKey {
    record: ApiKeyRecord,
    last_use: Arc<LastUse>,
}

/// Minute of the last use since the start, as milliseconds; 0: none. Snapshots of one key share it.
#[derive(Debug, Default)]
struct LastUse(AtomicI64);

impl LastUse {
    fn note(&self, now: UnixMillis) {
        let minute = now.0 - now.0.rem_euclid(MINUTE);
        // Within a minute this only reads, so that processors do not contend for it.
        if self.0.load(Ordering::Relaxed) < minute {
            self.0.fetch_max(minute, Ordering::Relaxed);
        }
    }

    fn time(&self) -> Option<UnixMillis> {
        Some(self.0.load(Ordering::Relaxed)).filter(|minute| *minute > 0).map(UnixMillis)
    }
}

/// Precision of the last use, in milliseconds.
const MINUTE: i64 = 60_000;

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
        let before = self.known.load();
        let known = |record: ApiKeyRecord| {
            let last_use = before.get(&record.id).map(|key| Arc::clone(&key.last_use)).unwrap_or_default();
            (record.id.clone(), KnownKey { record, last_use })
        };
        self.known.store(Arc::new(records.into_iter().map(known).collect()));
    }

    /// Returns the last use of each API key that was used since the start, to the minute.
    pub fn uses(&self) -> Vec<(ApiKeyId, UnixMillis)> {
        let known = self.known.load();
        known.iter().filter_map(|(id, key)| Some((id.clone(), key.last_use.time()?))).collect()
    }

    /// Authenticates the backend that presents this API key, and notes the use.
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
        let known = known.get(&key.id);
        let matches = known.map_or(&NO_HASH, |known| &known.record.hash).matches(&hash);
        let is_right = |known: &&KnownKey| matches && known.record.revoked.is_none();
        let known = known.filter(is_right).ok_or(Unauthenticated::Refused)?;
        let now = clock.trusted_now()?;
        if !known.record.is_live(now) {
            return Err(Unauthenticated::Refused);
        }
        known.last_use.note(now);
        Ok(Caller::of(&known.record))
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
        Ok(AppUser { app: app.clone(), user, login: None })
    }
}
