//! Restoring a backup of the store.

use std::{path::Path, sync::Arc, time::Duration};

use super::{Ambient, OpenError, Services};
use crate::{
    audit::{self, AuditError},
    clock::{ClockStopped, UnixMillis},
    config::Settings,
    domain::{api_key::ApiKeyRecord, key::KeyRecord},
    store::{self, Store, StoreError},
    telemetry::Metrics,
};

/// Treatment of the API keys that were live when the backup was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveClients {
    /// They are valid again.
    Keep,
    /// They are revoked: some of them may have been revoked after the backup was made.
    Revoke,
}

/// Contents of a restored backup that an operator may not want back.
#[derive(Debug)]
pub struct Restored {
    /// Time since the last change in the backup, to the minute, where the clock is right.
    pub age: Result<Duration, ClockStopped>,
    /// API keys that are live in the backup; while the clock is stopped, none is taken for expired.
    pub api_keys: Vec<ApiKeyRecord>,
    /// Number of opt-outs. Those made after the backup are lost.
    pub opt_outs: u64,
    /// Keys, each with the reason why its private half cannot be used, where it must be.
    pub keys: Vec<(KeyRecord, Option<String>)>,
}

/// Reason why the sessions of a restored store are not ended.
#[derive(Debug, thiserror::Error)]
pub enum RestoredError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Clock(#[from] ClockStopped),
    /// Logins until then would end too.
    #[error("{0} is not over yet: give the time at which the store was restored, or none for now")]
    Later(UnixMillis),
}

impl Services {
    /// Restores a backup in place of a lost store, and ends every session in it: some of them may have been ended after
    /// the backup was made. The audit log begins a new epoch. Where this fails or is killed, no store is left: a second
    /// try begins anew, and no session came back.
    ///
    /// # Errors
    /// [`OpenError`] where a store still exists, the backup cannot be copied or is no store, or the sealing secrets or
    /// the key folder are not its own.
    pub async fn restore(settings: &Settings, backup: &Path, clients: LiveClients) -> Result<Restored, OpenError> {
        let restoration = store::restore(&settings.store(), backup)?;
        let ambient = Ambient::system();
        let copy = restoration.open().await?;
        if copy.user_hash_key().await?.is_none() {
            return Err(never_used(backup).into());
        }
        let services = Self::of(Arc::clone(&copy), settings, ambient, Metrics::new()).await?;
        let now = services.clock.untrusted_now();
        let why = format!("restored from {}", backup.display());
        audit::begin_epoch(&*services.store, &services.operator_actor(), &why, now).await?;
        let restored = services.look(clients).await?;
        drop((services, copy));
        restoration.put_in_place(now)?;
        Ok(restored)
    }

    /// Ends the sessions that began up to `before` in a store that somebody restored, as with `pg_restore`, and returns
    /// what came back with it.
    ///
    /// # Errors
    /// [`RestoredError`].
    pub async fn restored(
        settings: &Settings,
        before: Option<UnixMillis>,
        clients: LiveClients,
    ) -> Result<(Restored, UnixMillis), RestoredError> {
        let services = Self::open_for_command(settings, Ambient::system()).await?;
        let now = services.clock.trusted_now()?;
        let before = before.unwrap_or(now);
        if before > now {
            return Err(RestoredError::Later(before));
        }
        let actor = services.operator_actor();
        audit::begin_epoch(&*services.store, &actor, "restored by others, or lost its last writes", now).await?;
        services.store.end_sessions_of_app(None, before, &actor).await?;
        Ok((services.look(clients).await?, before))
    }

    /// Returns what came back with a restored store. Revokes its API keys where that is asked for.
    async fn look(&self, clients: LiveClients) -> Result<Restored, OpenError> {
        let store = &self.store;
        let (trusted, now) = (self.clock.trusted_now(), self.clock.untrusted_now());
        let last_change = last_change(&**store).await?;
        let age = trusted.map(|now| now.since(last_change));
        let mut api_keys = store.api_keys().await?;
        api_keys.retain(|key| trusted.map_or(key.revoked.is_none(), |now| key.is_live(now)));
        if clients == LiveClients::Revoke {
            for key in &api_keys {
                store.revoke_api_key(&key.id, now, &self.operator_actor()).await?;
            }
        }
        let mut keys = Vec::new();
        for key in store.keys().await? {
            let unusable = if key.state.is_held() { self.custodian().open(&key).await.err() } else { None };
            keys.push((key, unusable.map(|why| why.to_string())));
        }
        Ok(Restored { age, api_keys, opt_outs: store.count_opt_outs().await?, keys })
    }
}

/// Returns the time of the last change, by the clocks of the nodes that made it: heartbeats record theirs with the floor.
async fn last_change(store: &dyn Store) -> Result<UnixMillis, StoreError> {
    let (keys, api_keys) = (store.keys().await?, store.api_keys().await?);
    let of_keys = keys.iter().map(|key| key.changed);
    let of_api_keys = api_keys.iter().map(|key| key.revoked.unwrap_or(key.created));
    let of_heartbeat = store.clock_record().await?.floor.map(|floor| floor.wall);
    Ok(of_keys.chain(of_api_keys).chain(of_heartbeat).max().unwrap_or(UnixMillis(0)))
}

fn never_used(backup: &Path) -> StoreError {
    let why = "is of a store that was never used, in which there is nothing to restore".to_owned();
    StoreError::Backup { path: backup.display().to_string(), why }
}
