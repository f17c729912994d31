//! The part of the store's interface that keeps the audit log: leaves of a Merkle tree, appended in the transactions of
//! the changes that they record, its head, its checkpoints and the sealed key that signs them.

use async_trait::async_trait;

use super::StoreError;
use crate::{clock::UnixMillis, domain::audit::AuditEvent};

/// Leaf of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLeaf {
    /// Position in the log, from 0 without a gap.
    pub index: u64,
    /// The exact text that the tree is built on: one JSON object with version, installation id, epoch and index.
    pub text: String,
    /// The act as the columns of the same row show it; `None` where they hold none: somebody changed them.
    pub shown: Option<AuditEvent>,
}

/// Head of the audit log: one row, which every append locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Number of leaves.
    pub size: u64,
    /// Number of the epoch, from 1; a restore begins a new one.
    pub epoch: u32,
    /// Index of the epoch's first leaf.
    pub epoch_begun_at: u64,
    /// Number of acts that took effect and wait for their leaves: appends failed.
    pub waiting: u64,
    /// Description of a fork that was found; while there is one, operators' acts are refused, but those that stop
    /// something.
    pub fork: Option<String>,
}

/// Checkpoint that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedCheckpoint {
    pub epoch: u32,
    pub size: u64,
    pub at: UnixMillis,
    /// Signed note (C2SP).
    pub note: String,
    /// Roots of the perfect subtrees, from the largest, 32 bytes each: a later checkpoint goes on from them.
    pub subtrees: Vec<u8>,
}

/// Operations on the audit log. The operations of the other traits that change something append their own leaves, each in
/// the transaction of the change: an act whose leaf cannot be appended is not done. One that stops something
/// ([`AuditAction::stops_something`]) is done all the same: its record waits in the store or, where not even that can be
/// written, in the memory and the log of this process.
///
/// While a fork is on record, acts that stop nothing fail with [`StoreError::Forked`].
///
/// [`AuditAction::stops_something`]: crate::domain::audit::AuditAction::stops_something
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends acts that change nothing in the store: intents and outcomes of acts outside it, batches of tokens. All of
    /// them are one transaction. Acts that wait, and rows that a node of the version before wrote, are appended first, also
    /// where no event is given. A fork refuses intents only: what was done already is recorded.
    async fn append_events(&self, events: Vec<AuditEvent>) -> Result<(), StoreError>;

    /// Returns the head.
    async fn audit_head(&self) -> Result<AuditHead, StoreError>;

    /// Returns up to `limit` leaves, from index `from` on, in their order.
    async fn audit_leaves(&self, from: u64, limit: u32) -> Result<Vec<AuditLeaf>, StoreError>;

    /// Returns the sealed key that signs checkpoints; `None` in a store that has none yet.
    async fn audit_key(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the sealed key, if it still is `from`, and appends the event of that, if one is given. Returns `false`
    /// where it is another.
    async fn replace_audit_key(
        &self,
        from: Option<Vec<u8>>,
        to: Vec<u8>,
        event: Option<AuditEvent>,
    ) -> Result<bool, StoreError>;

    /// Puts a checkpoint on record, unless one of its epoch and size is there.
    async fn save_checkpoint(&self, checkpoint: SavedCheckpoint) -> Result<(), StoreError>;

    /// Returns the newest checkpoints, newest first.
    async fn checkpoints(&self, limit: u32) -> Result<Vec<SavedCheckpoint>, StoreError>;

    /// Begins a new epoch, whose first leaf is this event; it describes the old head. A fork on record is over then. What
    /// waits is appended later. Returns `false`, and does nothing, where size or epoch are not those of `from` any more.
    async fn begin_epoch(&self, from: AuditHead, event: AuditEvent) -> Result<bool, StoreError>;

    /// Puts a fork on record. The first one stays.
    async fn report_fork(&self, description: &str) -> Result<(), StoreError>;
}
