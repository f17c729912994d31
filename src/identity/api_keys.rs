//! API keys: a backend proves itself, and may then name the users of its apps.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use super::AppUser;
use crate::{
    clock::UnixMillis,
    domain::{
        api_key::{ApiKey, ApiKeyHash, ApiKeyId, ApiKeyRecord},
        ids::{AppName, ClientName, UserId},
    },
};

/// The API keys on record, as a snapshot: a request reads no store to know its caller.
#[derive(Debug, Default)]
pub struct ApiKeys {
    known: ArcSwap<HashMap<ApiKeyId, ApiKeyRecord>>,
}

/// The credential was refused; why is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API key was refused")]
pub struct Unauthenticated;

/// The API key is good, but not for this app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API key is not scoped to this app")]
pub struct NotScoped;

impl ApiKeys {
    /// Takes the records as they stand now.
    pub fn swap(&self, records: impl IntoIterator<Item = ApiKeyRecord>) {
        self.known.store(Arc::new(records.into_iter().map(|record| (record.id.clone(), record)).collect()));
    }

    /// Who presents this API key.
    ///
    /// A key with an unknown id costs as much as a known one with a wrong secret: the hash is made and compared first.
    ///
    /// # Errors
    /// [`Unauthenticated`], whether malformed, unknown, wrong, revoked or expired.
    pub fn authenticate(&self, presented: &str, now: UnixMillis) -> Result<Caller, Unauthenticated> {
        let key = ApiKey::parse(presented).map_err(|_| Unauthenticated)?;
        let hash = key.hash();
        let known = self.known.load();
        let record = known.get(&key.id);
        let matches = record.map_or(&NOBODY, |record| &record.hash).matches(&hash);
        match record {
            Some(record) if matches && record.is_live(now) => Ok(Caller::of(record)),
            _ => Err(Unauthenticated),
        }
    }
}

/// What an unknown key is compared with. That no secret hashes to it is not needed: there is no record to go with it.
static NOBODY: ApiKeyHash = ApiKeyHash([0; 32]);

/// A backend that proved itself.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The API key it used.
    pub key: ApiKeyId,
    /// Its name.
    pub client: ClientName,
    apps: Vec<AppName>,
}

impl Caller {
    fn of(record: &ApiKeyRecord) -> Self {
        Self { key: record.id.clone(), client: record.client.clone(), apps: record.apps.clone() }
    }

    /// Whether the caller may act for this app.
    ///
    /// # Errors
    /// [`NotScoped`].
    pub fn may_use(&self, app: &AppName) -> Result<(), NotScoped> {
        if self.apps.contains(app) { Ok(()) } else { Err(NotScoped) }
    }

    /// The caller's word that this is the logged-in user.
    ///
    /// # Errors
    /// [`NotScoped`] where it has no say on that app.
    pub fn vouches_for(&self, app: &AppName, user: UserId) -> Result<AppUser, NotScoped> {
        self.may_use(app)?;
        Ok(AppUser { app: app.clone(), user })
    }
}
