//! Public keys of an app, at most three.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use crate::{clock::UnixMillis, domain::verdict};

/// Number of keys that Braze holds for one app, at most.
pub(super) const MAX_KEYS: usize = 3;
/// Number of earlier lists that are kept for a list that lags.
const KEPT_LISTS: usize = 100;

/// A public key as Braze holds it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AppKey {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) rsa_public_key: String,
    pub(super) is_primary: bool,
    pub(super) created: UnixMillis,
}

/// The keys of one app.
#[derive(Debug, Default)]
pub(super) struct AppKeys {
    keys: Vec<AppKey>,
    /// Earlier lists, oldest first, each with the time until which it was right.
    earlier: VecDeque<(UnixMillis, Vec<AppKey>)>,
    /// Deleted keys with the time of their deletion; they verify until the deletion has propagated.
    deleted: Vec<(String, UnixMillis)>,
    /// Number of keys that were ever created.
    created: u64,
}

/// Reason for which Braze refuses a change of an app's keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("an app can have at most {MAX_KEYS} public keys: delete one first")]
    Full,
    #[error("rsa_public_key_str is not an RSA public key in PEM")]
    NotAPublicKey,
    #[error("description is required and must not be empty")]
    NoDescription,
    #[error("this app has no key {0:?}")]
    Unknown(String),
    #[error("the primary key cannot be deleted: make another one primary first")]
    Primary,
}

impl AppKeys {
    /// Adds a key; returns its id. `namespace` makes the id different from those of other apps.
    pub(super) fn create(&mut self, namespace: &str, key: NewKey, now: UnixMillis) -> Result<String, KeyError> {
        if key.description.trim().is_empty() {
            return Err(KeyError::NoDescription);
        }
        if !verdict::is_public_key(&key.rsa_public_key) {
            return Err(KeyError::NotAPublicKey);
        }
        self.insert(namespace, key, now)
    }

    /// Adds any text as a key. Braze's code 25 (`PUBLIC_KEY_ERROR`) says that it can hold one that is no key; its way
    /// there is not documented.
    pub(super) fn insert(&mut self, namespace: &str, key: NewKey, now: UnixMillis) -> Result<String, KeyError> {
        if self.keys.len() >= MAX_KEYS {
            return Err(KeyError::Full);
        }
        self.created += 1;
        let id = format!("{namespace}-key-{}", self.created);
        self.keep_list(now);
        let NewKey { rsa_public_key, description, make_primary } = key;
        self.keys.push(AppKey { id: id.clone(), description, rsa_public_key, is_primary: false, created: now });
        if make_primary {
            self.make_primary(&id, now)?;
        }
        Ok(id)
    }

    /// Makes a key the only primary one.
    pub(super) fn make_primary(&mut self, id: &str, now: UnixMillis) -> Result<(), KeyError> {
        self.find(id)?;
        self.keep_list(now);
        for key in &mut self.keys {
            key.is_primary = key.id == id;
        }
        Ok(())
    }

    /// Removes a key that is not primary.
    pub(super) fn delete(&mut self, id: &str, now: UnixMillis) -> Result<(), KeyError> {
        let at = self.find(id)?;
        if self.keys[at].is_primary {
            return Err(KeyError::Primary);
        }
        self.keep_list(now);
        self.deleted.push((self.keys.remove(at).rsa_public_key, now));
        Ok(())
    }

    /// Returns every key, oldest first.
    pub(super) fn list(&self) -> &[AppKey] {
        &self.keys
    }

    /// Returns every key as the list was at a time.
    pub(super) fn list_at(&self, at: UnixMillis) -> &[AppKey] {
        self.earlier.iter().find(|(until, _)| at < *until).map_or(&self.keys, |(_, keys)| keys)
    }

    /// Keeps the present list, which changes now.
    fn keep_list(&mut self, now: UnixMillis) {
        if self.earlier.len() == KEPT_LISTS {
            self.earlier.pop_front();
        }
        self.earlier.push_back((now, self.keys.clone()));
    }

    /// Returns the public keys that verify now, if a change takes effect after `propagation`.
    pub(super) fn verifying(&self, now: UnixMillis, propagation: Duration) -> Vec<String> {
        let live = self.keys.iter().filter(|key| key.created.plus(propagation) <= now);
        let deleted = self.deleted.iter().filter(|(_, deleted)| deleted.plus(propagation) > now);
        live.map(|key| &key.rsa_public_key).chain(deleted.map(|(key, _)| key)).cloned().collect()
    }

    fn find(&self, id: &str) -> Result<usize, KeyError> {
        self.keys.iter().position(|key| key.id == id).ok_or_else(|| KeyError::Unknown(id.to_owned()))
    }
}

/// A key to be added.
pub(super) struct NewKey {
    pub(super) rsa_public_key: String,
    pub(super) description: String,
    pub(super) make_primary: bool,
}
