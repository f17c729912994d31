//! What the store does for keys that are replaced: records, publications, nodes, a lease, and the audit log.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid, RingName},
        key::{KeyRecord, KeyState},
        rotation::{AuditEvent, NodeReport, Progress, Publication, Published},
    },
};

/// A compare-and-set on a key's state: what it must be, and the record as it should become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The state it must be in now.
    pub from: KeyState,
    /// The record afterwards; only `state` and `changed` are written.
    pub to: KeyRecord,
}

/// A compare-and-set on what is known of one key at one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationChange {
    /// The app.
    pub app: AppName,
    /// The key.
    pub kid: Kid,
    /// What must be on record now; `None`: nothing.
    pub from: Option<Publication>,
    /// What is on record afterwards; `None`: nothing.
    pub to: Option<Publication>,
}

/// What is written together, or not at all. The audit log is in the same transaction: no record, no action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTransaction {
    /// A key that is put on record.
    pub insert: Option<KeyRecord>,
    /// Keys that move from one state to another, in this order.
    pub changes: Vec<KeyChange>,
    /// What is known of keys at apps.
    pub publications: Vec<PublicationChange>,
    /// A ring's progress as it becomes; its version is the one that must be on record now.
    pub progress: Option<(RingName, Progress)>,
    /// A key whose private half is gone.
    pub destroyed: Option<(Kid, UnixMillis)>,
    /// What goes into the audit log. The repetition of what is the last line about the same key at the same app is left out:
    /// it was tried again.
    pub events: Vec<AuditEvent>,
}

/// What a key did and underwent, beside its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyLife {
    /// The latest end of a token that a node may have signed with it.
    pub tokens_until: Option<UnixMillis>,
    /// When its private half was destroyed.
    pub destroyed: Option<UnixMillis>,
}

/// How a ring stands, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRecords {
    /// Its keys, oldest first.
    pub keys: Vec<(KeyRecord, KeyLife)>,
    /// What is known of them at apps.
    pub publications: Vec<Published>,
    /// What is under way.
    pub progress: Progress,
}

/// The records of keys, and of replacing them. Private halves are custody's.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Every key on record, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;

    /// Writes all of an act, or nothing. `false`: something was not as the act says it must be, or the key that it puts on
    /// record is known already.
    async fn transact(&self, act: KeyTransaction) -> Result<bool, StoreError>;

    /// How a ring stands.
    async fn ring(&self, ring: &RingName) -> Result<RingRecords, StoreError>;

    /// The audit log's newest events, newest first: of one ring, or of all.
    async fn audit_log(&self, ring: Option<&RingName>, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;
}

/// What nodes tell each other through the store.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Takes a node's report, with the keys that sign on it now and the latest end of a token that they may sign until its
    /// next report.
    async fn report(&self, report: NodeReport, signing: Vec<(Kid, UnixMillis)>) -> Result<(), StoreError>;

    /// The reports of nodes that were seen after `since`, by name.
    async fn nodes(&self, since: UnixMillis) -> Result<Vec<NodeReport>, StoreError>;

    /// Forgets a node that goes.
    async fn forget_node(&self, node: &str) -> Result<(), StoreError>;

    /// Takes or keeps a lease for `span`: one holder has it at a time. `false`: another has it.
    async fn lease(&self, name: &str, holder: &str, now: UnixMillis, span: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back, if it is still the holder's.
    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError>;
}
