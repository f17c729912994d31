//! Operations on the audit log: read, verify, export, sign, change the key.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    audit::{self, AuditError, AuditKeys, VerifiedLog, VerifierKey},
    clock::{ClockGuard, ClockStopped, UnixMillis},
    domain::audit::{Actor, AuditEvent, Leaf},
    store::{AuditLeaf, SavedCheckpoint, Store, StoreError},
};

/// Operators' operations on the audit log.
pub struct AuditOperations {
    pub(super) store: Arc<dyn Store>,
    pub(super) keys: Arc<AuditKeys>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) actor: Actor,
}

/// Reason why an operation on the audit log failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditOperationError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Clock(#[from] ClockStopped),
    /// The leaves cannot be written.
    #[error("the records cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

/// Checkpoint that is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrintedCheckpoint {
    pub epoch: u32,
    pub size: u64,
    pub at: UnixMillis,
    /// Signed note.
    pub note: String,
}

impl From<SavedCheckpoint> for PrintedCheckpoint {
    fn from(SavedCheckpoint { epoch, size, at, note, .. }: SavedCheckpoint) -> Self {
        Self { epoch, size, at, note }
    }
}

impl AuditOperations {
    /// Returns records with their indexes: `limit` from the index `from` on, or the last ones.
    pub async fn list(&self, from: Option<u64>, limit: u32) -> Result<Vec<(u64, AuditEvent)>, AuditOperationError> {
        let from = match from {
            Some(from) => from,
            None => self.store.audit_head().await?.size.saturating_sub(limit.into()),
        };
        let leaves = self.store.audit_leaves(from, limit).await?;
        let event = |leaf: AuditLeaf| {
            let recorded = || Leaf::parse(&leaf.text).ok().map(|leaf| leaf.event);
            Some((leaf.index, leaf.shown.or_else(recorded)?))
        };
        Ok(leaves.into_iter().filter_map(event).collect())
    }

    /// Verifies the log; see [`audit::verify`].
    pub async fn verify(
        &self,
        given: &[(String, String)],
        anchors: &[VerifierKey],
    ) -> Result<VerifiedLog, AuditOperationError> {
        Ok(audit::verify(&*self.store, &self.keys, given, anchors).await?)
    }

    /// Signs the head of the log, after comparing the log with the checkpoint before.
    pub async fn checkpoint(&self) -> Result<PrintedCheckpoint, AuditOperationError> {
        Ok(audit::checkpoint(&*self.store, &self.keys, self.clock.trusted_now()?).await?.into())
    }

    /// Begins a new epoch, which ends a fork, and signs its head.
    pub async fn begin_epoch(&self, why: &str) -> Result<PrintedCheckpoint, AuditOperationError> {
        let now = self.clock.trusted_now()?;
        audit::begin_epoch(&*self.store, &self.actor, why, now).await?;
        self.checkpoint().await
    }

    /// Gives the text of every leaf to `write`. Returns their number, and the newest checkpoint: a new one, where the
    /// log is as it was signed before.
    pub async fn export(
        &self,
        write: impl FnMut(&str) -> Result<(), AuditOperationError>,
    ) -> Result<(u64, Option<PrintedCheckpoint>), AuditOperationError> {
        // A log that is another one is exported all the same, as evidence.
        let newest = match audit::checkpoint(&*self.store, &self.keys, self.clock.untrusted_now()).await {
            Ok(newest) => Some(newest),
            Err(AuditError::Fork(_) | AuditError::Forked(_)) => self.store.checkpoints(1).await?.pop(),
            Err(error) => return Err(error.into()),
        };
        Ok((audit::export(&*self.store, write).await?, newest.map(Into::into)))
    }

    /// Returns the key that verifies checkpoints of this epoch.
    pub async fn key(&self) -> Result<VerifierKey, AuditOperationError> {
        let head = self.store.audit_head().await?;
        let origin = audit::origin(&*self.store, &head).await?;
        let public = self.keys.read().await.map_err(AuditError::from)?.current.public();
        Ok(VerifierKey::new(origin.to_string(), public))
    }

    /// Replaces the key that signs checkpoints, and signs one with both keys.
    pub async fn replace_key(&self, why: &str) -> Result<(VerifierKey, PrintedCheckpoint), AuditOperationError> {
        let now = self.clock.trusted_now()?;
        let origin = audit::origin(&*self.store, &self.store.audit_head().await?).await?;
        let key = self.keys.replace(origin, &self.actor, why, now).await.map_err(AuditError::from)?;
        Ok((key, self.checkpoint().await?))
    }
}

/// Verifies an export; see [`audit::verify_lines`].
///
/// # Errors
/// Those of reading it.
pub fn verify_export(
    lines: impl std::io::BufRead,
    given: &[(String, String)],
    anchors: &[VerifierKey],
) -> std::io::Result<VerifiedLog> {
    audit::verify_lines(lines, given, anchors)
}
