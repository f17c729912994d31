//! Faults of a store.

use crate::files::Breaches;

/// Fault of the store. A caller answers it with "try again later" (503), never with a refusal of the user.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A store, or a file of one, exists where one is to be created, restored or copied.
    #[error("{path} {why}")]
    Exists {
        /// The store's path or URL.
        path: String,
        /// Finding, as a verb with its object, and what to do.
        why: String,
    },
    /// There is no store, or an empty file or database in its place.
    #[error(
        "the store {path} {what}. It had the sessions, opt-outs, API keys and records of keys; an empty one in its \
         place would log everybody out. {remedy}"
    )]
    Missing {
        /// The store's path or URL.
        path: String,
        /// Finding, as a verb with its object.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The store is open for reading only.
    #[error("the store {store} is open for reading only")]
    ReadOnly {
        /// The store's path or URL.
        store: String,
    },
    /// The store was made by an earlier version, and is open for reading only.
    #[error("the store {store} has schema {found}, this build reads {known}: run `countersign db migrate` first")]
    TooOld {
        /// The store's path or URL.
        store: String,
        /// The store's schema version.
        found: u32,
        /// The newest schema version that this build knows.
        known: u32,
    },
    /// A backup cannot be read or written.
    #[error("{path}: {why}")]
    Backup { path: String, why: String },
    /// The store gives no answer: no connection, no answer in time, an error of input or output; or it can be read, and not
    /// written (a full disk, a standby). Requests are answered without it for a while, as `store.outage` says.
    #[error("the store {store} does not answer: {why}")]
    OutOfReach {
        /// The store's path or URL.
        store: String,
        /// The error of the engine or of the operating system.
        why: String,
    },
    /// The store answers, and must not be used: it was replaced, or is damaged.
    #[error("the store {store} cannot be used: {why}")]
    Unavailable {
        /// The store's path or URL.
        store: String,
        /// The error of the engine or of the operating system.
        why: String,
    },
    /// The audit log is not the one that a checkpoint describes: nothing is begun before somebody has looked at it.
    #[error(
        "the audit log of the store {store} was changed: {why}. Until that is settled, only acts that stop something are \
         carried out: look at `countersign audit verify`, then restore a backup, or go on with this log by `countersign audit \
         checkpoint --new-epoch --why TEXT`"
    )]
    Forked {
        /// The store's path or URL.
        store: String,
        /// The fork, as it was found.
        why: String,
    },
    /// The store was made by a later version of this program, which raised the lowest schema that may use it.
    #[error(
        "the store {store} has schema {found}, this build knows up to {known}: run a newer countersign, or restore a backup"
    )]
    TooNew {
        /// The store's path or URL.
        store: String,
        /// The store's schema version.
        found: u32,
        /// The newest schema version that this build knows.
        known: u32,
    },
    /// Owner or mode of the file or its folder breaks the rule.
    #[error("{0}")]
    Access(Breaches),
}

impl StoreError {
    /// Returns true where the store is out of reach, and requests may be answered without it.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::OutOfReach { .. })
    }
}
