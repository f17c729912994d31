//! Operations on API keys of backends: create, list, revoke.

use std::{sync::Arc, time::Duration};

use super::{UnknownApp, acts::Acts, names::KnownApps};
use crate::{
    clock::{ClockGuard, ClockStopped},
    domain::{
        api_key::{ApiKey, ApiKeyId, ApiKeyRecord},
        audit::{AuditAction, AuditTarget},
        ids::{AppName, ClientName},
    },
    secret::{Entropy, NoEntropy, random},
    store::{Store, StoreError},
};

/// Maximal number of live API keys of one client: the one in use and its replacement.
const MAX_LIVE: u32 = 2;

/// Operators' operations on API keys.
pub struct Clients {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) apps: KnownApps,
    pub(super) acts: Acts,
}

impl Clients {
    /// Makes an API key for a client; it expires after `lifetime`. Only the returned [`ApiKey`] has the secret.
    ///
    /// # Errors
    /// [`ClientError::UnknownApp`]; [`ClientError::TooManyLive`] where the client has as many live keys as one may have.
    pub async fn create(
        &self,
        client: ClientName,
        apps: Vec<AppName>,
        lifetime: Option<Duration>,
    ) -> Result<(ApiKey, ApiKeyRecord), ClientError> {
        let target = AuditTarget { client: Some(client.clone()), ..AuditTarget::default() };
        let created = self.put_on_record(client, apps, lifetime).await;
        if let Err(why @ (ClientError::UnknownApp(_) | ClientError::TooManyLive { .. } | ClientError::Clock(_))) =
            &created
        {
            self.acts.refused(AuditAction::ApiKeyCreated, target, why).await;
        }
        created
    }

    async fn put_on_record(
        &self,
        client: ClientName,
        apps: Vec<AppName>,
        lifetime: Option<Duration>,
    ) -> Result<(ApiKey, ApiKeyRecord), ClientError> {
        self.apps.check_configured(&apps)?;
        let key = ApiKey::new(random(&*self.entropy)?, random(&*self.entropy)?);
        let created = self.clock.trusted_now()?;
        let record = ApiKeyRecord {
            id: key.id.clone(),
            client,
            apps,
            hash: key.hash(),
            created,
            expires: lifetime.map(|span| created.plus(span)),
            revoked: None,
            last_used: None,
        };
        if !self.store.insert_api_key(record.clone(), MAX_LIVE, &self.acts.actor).await? {
            return Err(ClientError::TooManyLive { client: record.client });
        }
        tracing::info!(key = %record.id, client = %record.client, "an API key was made");
        Ok((key, record))
    }

    /// Every API key on record, without its secret.
    pub async fn list(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        self.store.api_keys().await
    }

    /// Revokes an API key for good; running servers refuse it within 2 s. Returns its client, where that has no live
    /// key any more.
    ///
    /// # Errors
    /// [`ClientError::NotLive`].
    pub async fn revoke(&self, id: &ApiKeyId) -> Result<Option<ClientName>, ClientError> {
        let now = self.clock.untrusted_now();
        if !self.store.revoke_api_key(id, now, &self.acts.actor).await? {
            let (not_live, api_key) = (ClientError::NotLive { id: id.clone() }, Some(id.clone()));
            let target = AuditTarget { api_key, ..AuditTarget::default() };
            self.acts.unchanged(AuditAction::ApiKeyRevoked, target, "there is no live API key of this id").await;
            return Err(not_live);
        }
        tracing::info!(key = %id, "an API key was revoked");
        let keys = self.list().await?;
        let client = keys.iter().find(|key| key.id == *id).map(|key| &key.client);
        let is_locked_out = |client: &&ClientName| !keys.iter().any(|key| key.client == **client && key.is_live(now));
        Ok(client.filter(is_locked_out).cloned())
    }
}

/// Reason why an API key could not be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client has as many live keys as one may have: two, so that one can replace the other.
    #[error(
        "client {client} has {MAX_LIVE} live API keys already: revoke the one that is no longer used (`countersign clients list`)"
    )]
    TooManyLive { client: ClientName },
    /// No live key has this id.
    #[error("there is no live API key {id} (`countersign clients list` shows them)")]
    NotLive { id: ApiKeyId },
    #[error(transparent)]
    Clock(#[from] ClockStopped),
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}
