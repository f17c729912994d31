//! The part of the store's interface that keeps API keys.

use async_trait::async_trait;

use super::StoreError;
use crate::{
    clock::UnixMillis,
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        audit::Actor,
    },
};

/// Operations on the records of API keys. A record holds the hash of the secret, never the secret.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Returns every API key on record, oldest first.
    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, StoreError>;

    /// Puts an API key on record. Returns `false` where its client has `max_live` live keys at the time of its
    /// creation, or its id is on record already.
    async fn insert_api_key(&self, key: ApiKeyRecord, max_live: u32, actor: &Actor) -> Result<bool, StoreError>;

    /// Revokes an API key for good. Returns `false` where there is none, or it is revoked already.
    async fn revoke_api_key(&self, id: &ApiKeyId, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError>;

    /// Records the time at which each of these API keys was used last, unless a later time is on record. All of them
    /// are one transaction, and [`super::Upkeep::generation`] stays the same.
    async fn record_api_key_uses(&self, uses: Vec<(ApiKeyId, UnixMillis)>) -> Result<(), StoreError>;
}
