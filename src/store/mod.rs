//! What must survive a restart: sessions, users who opted out, keys' records, API keys' hashes.
//!
//! The rules that every store keeps, and the conformance suite in `tests/it/store/mod.rs` checks:
//! an answer means that the write is durable; every racing write is a compare-and-set; whatever is wrong with the
//! store itself is a [`StoreError`], never a wrong answer; no token and no user id is ever in it.

mod rotations;
mod sqlite;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    clock::UnixMillis,
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        ids::{AppName, SessionId, UserHash},
        session::{Ended, Session},
    },
    telemetry::Metrics,
};

pub use rotations::{KeyChange, KeyLife, KeyTransaction, Keys, Nodes, PublicationChange, RingRecords};

/// Where the store is. `[store]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The SQLite file; its folder must exist.
    pub path: PathBuf,
    /// How many live sessions one user may have on one app; the oldest goes.
    pub max_sessions_per_user: u32,
}

/// Greatest lag of a clock behind the store's latest time ([`Upkeep::latest_time`]); a clock further behind is wrong.
pub const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// Opens the store, creating and migrating it as needed.
///
/// # Errors
/// [`StoreError`] where the file cannot be opened, has loose permissions, or was written by a later version.
pub fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(sqlite::SqliteStore::open(config, metrics)?))
}

/// All that a store does.
pub trait Store: Sessions + Users + Keys + Nodes + ApiKeys + Upkeep {}

impl<T: Sessions + Users + Keys + Nodes + ApiKeys + Upkeep> Store for T {}

/// One device's chain of refresh tokens.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Keeps a new session, unless the user is opted out of the app. Beyond the limit of live sessions of one user on
    /// one app, those that were refreshed longest ago are deleted; rows of dead sessions count too, and go first.
    async fn create_session(&self, session: Session) -> Result<Creation, StoreError>;

    /// The session as it stands. [`Session::ended`] tells everything that ended it: its own end, an end of all sessions
    /// of its app, and (first) its user's opt-out.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// Moves a session on, if its counter is still `from`, and neither it nor all sessions of its app have ended, and
    /// its user is not opted out. `false`: somebody was faster; look again.
    async fn advance_session(&self, step: Advance) -> Result<bool, StoreError>;

    /// Ends a session for good. `false` where there is none, or it has ended already; the first end stays on record.
    async fn end_session(&self, id: SessionId, why: Ended, now: UnixMillis) -> Result<bool, StoreError>;
}

/// A compare-and-set on a session's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The session.
    pub id: SessionId,
    /// The counter it must have now.
    pub from: u64,
    /// The counter it gets.
    pub to: u64,
    /// The time of it.
    pub rotated: UnixMillis,
    /// The new end of its idle life.
    pub idle_expires: UnixMillis,
}

/// What became of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is kept.
    Created {
        /// How many older live sessions of the user had to go for it; dead ones go first and are not counted.
        evicted: u64,
    },
    /// The user is opted out; nothing is kept.
    OptedOut,
}

/// What operators do to users.
#[async_trait]
pub trait Users: Send + Sync {
    /// Whether the user is opted out of the app, or of all.
    async fn is_opted_out(&self, user: UserHash, app: &AppName) -> Result<bool, StoreError>;

    /// Opts a user out of one app or of all. `false`: was so already.
    async fn opt_out(&self, user: UserHash, app: Option<&AppName>, now: UnixMillis) -> Result<bool, StoreError>;

    /// Takes exactly that opt-out back (of one app, or of all). `false`: there was none.
    async fn opt_in(&self, user: UserHash, app: Option<&AppName>) -> Result<bool, StoreError>;

    /// Ends a user's live sessions on one app or on all, for good, even while an opt-out hides them; how many those were.
    async fn end_sessions_of_user(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
    ) -> Result<u64, StoreError>;

    /// Ends every session of one app, or all of them, that was created at or before `now`; costs one row however many
    /// they are.
    async fn end_sessions_of_app(&self, app: Option<&AppName>, now: UnixMillis) -> Result<(), StoreError>;

    /// A user's sessions, newest first, the dead ones too while they are kept.
    async fn sessions_of_user(&self, user: UserHash) -> Result<Vec<Session>, StoreError>;
}

/// The records of API keys. Secrets are never in them, only their hashes.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Every API key on record, oldest first.
    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, StoreError>;

    /// Puts an API key on record, if its client has fewer than `max_live` that are live at its creation.
    async fn insert_api_key(&self, key: ApiKeyRecord, max_live: u32) -> Result<bool, StoreError>;

    /// Stops an API key for good. `false`: there is none, or it was stopped already.
    async fn revoke_api_key(&self, id: &ApiKeyId, now: UnixMillis) -> Result<bool, StoreError>;
}

/// What the service asks of the store for its own sake.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// A number that changes whenever a key's or an API key's record does; cheap enough to ask every second.
    async fn generation(&self) -> Result<u64, StoreError>;

    /// The sealed user-hash key, if one was kept.
    async fn user_hash_key(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the sealed user-hash key, if it still is `from` (`None`: if there is none). `false`: somebody was faster.
    async fn replace_user_hash_key(&self, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError>;

    /// Looks at no more than `limit` sessions, going round, and deletes those that died at least 7 days before `now`.
    /// Nothing is deleted while the clock is not to be trusted: behind the latest time on record, or days ahead of it,
    /// until it went on for an hour from there.
    async fn purge(&self, now: UnixMillis, limit: u32) -> Result<Purged, StoreError>;

    /// How many sessions are live at `now`, by app.
    async fn live_sessions(&self, now: UnixMillis) -> Result<Vec<(AppName, u64)>, StoreError>;

    /// The latest time this store has seen, to the minute; a clock far behind it is wrong. 0 in a new store. A time days
    /// ahead counts only once [`Upkeep::purge`] believes it.
    async fn latest_time(&self) -> Result<UnixMillis, StoreError>;

    /// Writes and reads one value, durably: fails where the disk is full or gone.
    async fn check(&self, now: UnixMillis) -> Result<(), StoreError>;

    /// The schema's version and the newest this build knows.
    async fn schema(&self) -> Result<Schema, StoreError>;

    /// Copies the whole store, consistently, to a file that must not exist yet.
    async fn backup(&self, to: PathBuf) -> Result<(), StoreError>;
}

/// What a round of purging did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// It looked and deleted.
    Rows {
        /// Sessions deleted.
        deleted: u64,
        /// Whether the round came to the end of the table.
        complete: bool,
    },
    /// It did nothing, because the clock is not to be trusted.
    ClockUntrusted,
}

/// The version of a store's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Schema {
    /// What the store has.
    pub found: u32,
    /// What this build brings.
    pub known: u32,
}

/// The store cannot answer. Never a reason to send a user away: the caller is asked to try again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Out of reach, full, locked, or damaged.
    #[error("the store {store} does not answer: {why}")]
    Unavailable {
        /// Which store.
        store: String,
        /// What the engine said.
        why: String,
    },
    /// Made by a later version of this program.
    #[error(
        "the store {store} has schema {found}, this build knows up to {known}: run a newer countersign, or restore a backup"
    )]
    TooNew {
        /// Which store.
        store: String,
        /// Its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The file can be read or written by others.
    #[error("{path} has mode {mode:04o}: others could read or change it; run `chmod {wanted:o} {path}`")]
    LooseMode {
        /// Which file.
        path: String,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        wanted: u32,
    },
}
