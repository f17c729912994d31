//! API keys: made, shown once, listed, stopped.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    domain::{
        api_key::{ApiKey, ApiKeyId, ApiKeyRecord},
        ids::{AppName, ClientName},
    },
    secret::{Entropy, NoEntropy, random},
    store::{Store, StoreError},
};

/// How many API keys of one client may be live: the one in use and the one that takes over.
pub const MAX_LIVE: u32 = 2;

/// The operators' verbs on API keys.
pub struct Clients {
    /// Where the hashes are.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where secrets come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Clients {
    /// Makes an API key for a client. The key itself is in the answer and nowhere else.
    pub async fn create(
        &self,
        client: ClientName,
        apps: Vec<AppName>,
        lives: Option<Duration>,
    ) -> Result<(ApiKey, ApiKeyRecord), ClientError> {
        let key = ApiKey::new(random(&*self.entropy)?, random(&*self.entropy)?);
        let created = self.clock.now();
        let record = ApiKeyRecord {
            id: key.id.clone(),
            client,
            apps,
            hash: key.hash(),
            created,
            expires: lives.map(|span| created.plus(span)),
            revoked: None,
        };
        if !self.store.insert_api_key(record.clone(), MAX_LIVE).await? {
            return Err(ClientError::TooManyLive { client: record.client });
        }
        tracing::info!(key = %record.id, client = %record.client, "an API key was made");
        Ok((key, record))
    }

    /// Every API key on record, without its secret.
    pub async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        self.store.api_keys().await
    }

    /// Stops an API key for good.
    pub async fn revoke(&self, id: &ApiKeyId) -> Result<(), ClientError> {
        if !self.store.revoke_api_key(id, self.clock.now()).await? {
            return Err(ClientError::NotLive { id: id.clone() });
        }
        tracing::info!(key = %id, "an API key was revoked");
        Ok(())
    }
}

/// An API key could not be made or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client has as many as it may.
    #[error(
        "client {client} has {MAX_LIVE} live API keys already: revoke the one that is no longer used (`countersign clients list`)"
    )]
    TooManyLive {
        /// Whose.
        client: ClientName,
    },
    /// No such key, or stopped already.
    #[error("there is no live API key {id} (`countersign clients list` shows them)")]
    NotLive {
        /// Its id.
        id: ApiKeyId,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}
