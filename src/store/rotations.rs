//! The part of the store's interface that rotation uses: records of signing keys, publications, reports of nodes,
//! leases, and the audit log.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::{
    clock::UnixMillis,
    domain::{
        audit::AuditEvent,
        ids::{AppName, Kid, RingName},
        key::{KeyLocation, KeyRecord, KeyState},
        rotation::{NodeReport, Progress, Publication, Published},
    },
};

/// A compare-and-set on a key's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The state that the key must be in now.
    pub from: KeyState,
    /// The key's record afterwards; only `state` and `changed` are written.
    pub to: KeyRecord,
}

/// A compare-and-set on the custody of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMove {
    pub kid: Kid,
    /// The state that the key must be in now; a move does not change it.
    pub state: KeyState,
    /// The location that must be on record now.
    pub from: KeyLocation,
    pub to: KeyLocation,
}

/// A compare-and-set on the publication of one key at one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationChange {
    pub app: AppName,
    pub kid: Kid,
    /// The publication that must be on record now; `None`: there must be none.
    pub from: Option<Publication>,
    /// The publication to put on record; `None`: it is removed.
    pub to: Option<Publication>,
}

/// Changes that are written together, or not at all. The audit log is part of them, so that no change is made without
/// its audit events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTransaction {
    /// A key to put on record; its id must not be on record yet.
    pub insert: Option<KeyRecord>,
    /// Changes of keys' states, made in this order.
    pub changes: Vec<KeyChange>,
    /// Moves of keys to another custody.
    pub moves: Vec<KeyMove>,
    /// Changes of publications, made in this order.
    pub publications: Vec<PublicationChange>,
    /// A ring's new progress. Its version is the one that must be on record now (0: none); the one written is higher
    /// by 1.
    pub progress: Option<(RingName, Progress)>,
    /// A key whose private half was destroyed, and the time of that; the first time stays on record.
    pub destroyed: Option<(Kid, UnixMillis)>,
    /// Events for the audit log. An event with the same action and outcome as the last one about the same key at the
    /// same app is left out, because a step was tried again; a refusal is always written.
    pub events: Vec<AuditEvent>,
}

/// Facts about a key that are kept beside its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyLife {
    /// The latest `exp` of a token that a node may have signed with the key.
    pub tokens_until: Option<UnixMillis>,
    /// The time at which the private half was destroyed.
    pub destroyed: Option<UnixMillis>,
}

/// All records of one key ring, as of one point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRecords {
    /// The ring's keys, oldest first.
    pub keys: Vec<(KeyRecord, KeyLife)>,
    /// The publications of these keys, by app and key.
    pub publications: Vec<Published>,
    pub progress: Progress,
}

/// Operations on the records of signing keys and of their rotation. Private halves are kept by custody, in
/// files or as [`SealedKeys`](super::SealedKeys).
#[async_trait]
pub trait Keys: Send + Sync {
    /// Returns every key on record, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;

    /// Writes all changes of a transaction, or none. Returns `false` where a record is not as the transaction says
    /// that it must be.
    async fn transact(&self, transaction: KeyTransaction) -> Result<bool, StoreError>;

    /// Returns all records of a ring.
    async fn ring(&self, ring: &RingName) -> Result<RingRecords, StoreError>;

    /// Returns the newest events about key rings in the audit log, newest first: of one ring, or of all (`None`).
    async fn audit_log(&self, ring: Option<&RingName>, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;
}

/// Operations by which nodes learn of each other and exclude each other.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Records a node's report. `signing` holds the node's active keys, each with the latest `exp` of a token that
    /// the node may sign with it before its next report.
    async fn report(&self, report: NodeReport, signing: Vec<(Kid, UnixMillis)>) -> Result<(), StoreError>;

    /// Returns the last report of each node that reported after `since`, ordered by name.
    async fn nodes(&self, since: UnixMillis) -> Result<Vec<NodeReport>, StoreError>;

    /// Deletes the report of a node that shuts down.
    async fn forget_node(&self, node: &str) -> Result<(), StoreError>;

    /// Acquires or renews a lease until `now` plus `ttl`. Returns `false` while another holder has it.
    async fn lease(&self, name: &str, holder: &str, now: UnixMillis, ttl: Duration) -> Result<bool, StoreError>;

    /// Releases a lease, if the holder still has it.
    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError>;
}
