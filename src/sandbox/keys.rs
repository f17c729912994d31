//! An app's three places for public keys.

use std::time::Duration;

use serde::Serialize;

use crate::{clock::UnixMillis, domain::verdict};

/// How many keys Braze holds for one app.
pub(super) const MOST_KEYS: usize = 3;

/// A public key as Braze holds it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HeldKey {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) rsa_public_key: String,
    pub(super) is_primary: bool,
    /// When it was added.
    pub(super) created: UnixMillis,
}

/// The keys of one app.
#[derive(Debug, Default)]
pub(super) struct Keys {
    held: Vec<HeldKey>,
    /// Deleted keys, which verify until that has spread.
    deleted: Vec<(String, UnixMillis)>,
    made: u64,
}

/// Braze does not do that.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyRefusal {
    #[error("an app can have at most {MOST_KEYS} public keys: delete one first")]
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

impl Keys {
    /// Adds a key; its id. `namespace` makes the id unlike those of other apps.
    pub(super) fn create(&mut self, namespace: &str, key: NewKey, now: UnixMillis) -> Result<String, KeyRefusal> {
        if key.description.trim().is_empty() {
            return Err(KeyRefusal::NoDescription);
        }
        if !verdict::is_public_key(&key.rsa_public_key) {
            return Err(KeyRefusal::NotAPublicKey);
        }
        if self.held.len() >= MOST_KEYS {
            return Err(KeyRefusal::Full);
        }
        self.made += 1;
        let id = format!("{namespace}-key-{}", self.made);
        let NewKey { rsa_public_key, description, make_primary } = key;
        self.held.push(HeldKey { id: id.clone(), description, rsa_public_key, is_primary: false, created: now });
        if make_primary {
            self.make_primary(&id)?;
        }
        Ok(id)
    }

    /// Makes this one the primary key; the other one ceases to be.
    pub(super) fn make_primary(&mut self, id: &str) -> Result<(), KeyRefusal> {
        self.find(id)?;
        for key in &mut self.held {
            key.is_primary = key.id == id;
        }
        Ok(())
    }

    /// Removes a key.
    pub(super) fn delete(&mut self, id: &str, now: UnixMillis) -> Result<(), KeyRefusal> {
        let at = self.find(id)?;
        if self.held[at].is_primary {
            return Err(KeyRefusal::Primary);
        }
        self.deleted.push((self.held.remove(at).rsa_public_key, now));
        Ok(())
    }

    /// Every key, oldest first.
    pub(super) fn list(&self) -> &[HeldKey] {
        &self.held
    }

    /// The public keys that verify now, where a change takes `propagation` to take effect.
    pub(super) fn verifying(&self, now: UnixMillis, propagation: Duration) -> Vec<String> {
        let live = self.held.iter().filter(|key| key.created.plus(propagation) <= now);
        let still = self.deleted.iter().filter(|(_, deleted)| deleted.plus(propagation) > now);
        live.map(|key| &key.rsa_public_key).chain(still.map(|(key, _)| key)).cloned().collect()
    }

    fn find(&self, id: &str) -> Result<usize, KeyRefusal> {
        self.held.iter().position(|key| key.id == id).ok_or_else(|| KeyRefusal::Unknown(id.to_owned()))
    }
}

/// A key to be added.
pub(super) struct NewKey {
    pub(super) rsa_public_key: String,
    pub(super) description: String,
    pub(super) make_primary: bool,
}
