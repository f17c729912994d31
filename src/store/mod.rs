//! All data that must survive a restart: sessions, opt-outs, records of signing keys and of their rotation, hashes of
//! API keys.
//!
//! Every store keeps these rules, and the conformance suite in `tests/it/store/mod.rs` checks them:
//! - A write that is answered is durable.
//! - Every racing write is a compare-and-set.
//! - A fault of the store itself is a [`StoreError`], never a wrong answer.
//! - The store holds no token and no user id, and a private key only sealed.

mod activity;
mod acts;
mod api_keys;
mod app_list;
mod audit_log;
mod config;
mod copy;
mod ends;
mod error;
mod facts;
mod failures;
mod loaded_keys;
mod operators;
mod postgres;
mod repetition;
mod retention;
mod rotations;
mod sealed_keys;
mod sqlite;
mod upkeep;
mod user_hash;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;

use crate::{
    clock::UnixMillis,
    domain::{
        audit::Actor,
        ids::{AppName, InstallationId, SessionId, UserHash},
        login_record::{LoginRecord, LogoutRecord},
        session::{Ended, Session},
    },
    files::{Breaches, Rule},
    telemetry::Metrics,
};

pub use activity::{Activity, ActivityCount};
pub use api_keys::ApiKeys;
pub use audit_log::{AuditHead, AuditLeaf, AuditLog, SavedCheckpoint};
pub use config::{Config, OnOutage, Password};
pub use copy::{CopiedTable, CopyError, Copying, copy};
pub use ends::{ENDS_KEPT, End, Ends, EndsPage, EndsPosition, Follower};
pub use error::StoreError;
pub use facts::{Fact, Weight};
pub use failures::{
    ALERT_REST, CountSpan, FAILURES_KEPT, FailureBatch, FailureCount, Failures, MINUTES_KEPT, ReportedVersion,
    ServiceEvent, ServiceEventKind, StoredExample, VERSIONS_KEPT,
};
pub use operators::{CreationRequest, CreationState, Operators};
pub use postgres::BadUrl;
use postgres::{PostgresStore, Target};
pub use rotations::{KeyChange, KeyLife, KeyMove, KeyTransaction, Keys, Nodes, PublicationChange, RingRecords};
pub use sealed_keys::SealedKeys;
pub use sqlite::Restoration;
pub use upkeep::{ClockRecord, Purged, Schema, Upkeep};
pub use user_hash::{UserHashError, open_user_hash_key, read_user_hash_key};

/// Checks the URL of a database.
///
/// # Errors
/// The reason, with what to do. It has no password.
pub fn check_url(url: &str) -> Result<(), BadUrl> {
    Target::parse(url).map(drop)
}

/// Hosts of the database's servers: their addresses where those are given, their names otherwise. There are none for a file or a
/// socket of this machine.
pub fn hosts(config: &Config) -> Vec<String> {
    database(config).ok().flatten().map_or_else(Vec::new, |target| target.hosts())
}

/// Breaches of the rule for owners and modes, in the store's files and their folder.
pub fn breaches(config: &Config, rule: &Rule) -> Breaches {
    if config.url.is_some() { Breaches::default() } else { sqlite::breaches(&config.path, rule) }
}

/// Creates an empty store of this installation. No other function creates one: in place of a store that is lost or not
/// mounted, an empty one would log everybody out.
///
/// # Errors
/// [`StoreError::Exists`] where there is a store, or a file of one; [`StoreError`] where none can be written.
pub async fn create(config: &Config, id: InstallationId, metrics: Arc<Metrics>) -> Result<Arc<dyn Store>, StoreError> {
    match database(config)? {
        Some(target) => PostgresStore::create(config, &target, &id).await?,
        None => sqlite::create(config, id)?,
    }
    open(config, metrics).await
}

/// Opens the store to read and write, and migrates it as needed.
///
/// # Errors
/// [`StoreError::Missing`] where there is none; [`StoreError`] where it cannot be opened, its file has loose permissions,
/// or it was written by a later version.
pub async fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match database(config)? {
        Some(target) => Arc::new(PostgresStore::open(config, target, metrics).await?),
        None => Arc::new(sqlite::SqliteStore::open(config, metrics)?),
    })
}

/// Opens the store to read; a write fails with [`StoreError::ReadOnly`].
///
/// # Errors
/// [`StoreError::TooOld`] where the store must be migrated first; otherwise as [`open`].
pub async fn open_read_only(config: &Config, metrics: Arc<Metrics>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match database(config)? {
        Some(target) => Arc::new(PostgresStore::open_read_only(config, target, metrics).await?),
        None => Arc::new(sqlite::SqliteStore::open_read_only(config, metrics)?),
    })
}

/// Begins to restore a backup in place of a lost store: copies it beside the store's path and checks the copy, which is
/// used only once it is put [in place](Restoration::put_in_place).
///
/// # Errors
/// [`StoreError::Exists`] where a file of a store still exists; [`StoreError::Backup`] where the backup cannot be
/// copied, is damaged, or is not a store, or the store is in PostgreSQL.
pub fn restore(config: &Config, backup: &Path) -> Result<Restoration, StoreError> {
    match database(config)? {
        Some(target) => Err(postgres::no_restoration(&target, backup)),
        None => Restoration::begin(config, backup),
    }
}

/// Returns the PostgreSQL database that is the store, if one is.
fn database(config: &Config) -> Result<Option<Target>, StoreError> {
    let target = config.url.as_deref().map(Target::parse).transpose();
    target.map_err(|why| StoreError::Unavailable { store: "in store.url".to_owned(), why: format!("the URL {why}") })
}

/// All operations of a store.
pub trait Store:
    Sessions
    + ProviderLogins
    + Users
    + Ends
    + Keys
    + SealedKeys
    + Nodes
    + ApiKeys
    + AuditLog
    + Failures
    + Operators
    + Activity
    + Upkeep
{
}

impl<T> Store for T where
    T: Sessions
        + ProviderLogins
        + Users
        + Ends
        + Keys
        + SealedKeys
        + Nodes
        + ApiKeys
        + AuditLog
        + Failures
        + Operators
        + Activity
        + Upkeep
{
}

/// Operations on single sessions. A session is one device's chain of refresh tokens.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Creates a session, unless its user is opted out of its app. Where the user then has more than
    /// [`Config::max_sessions_per_user`] live sessions on the app, the ones that were refreshed longest ago end as
    /// [`Ended::Evicted`].
    async fn create_session(&self, session: Session) -> Result<Creation, StoreError>;

    /// Creates a session as [`Self::create_session`] does, or as [`ProviderLogins::create_session_of_login`] does where it
    /// begins with a login, but only where no other has to end for it: else nothing is written, and the answer is
    /// [`Creation::Full`].
    async fn create_session_within_limit(
        &self,
        session: Session,
        login: Option<LoginRecord>,
    ) -> Result<Creation, StoreError>;

    /// Returns a session; `None` where there is none. [`Session::ended`] is [`Ended::OptedOut`] while its user is
    /// opted out, else the session's own end, else [`Ended::Revoked`] where all sessions of its app were ended.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// Advances a session, if its counter is still `from`, and neither it nor all sessions of its app have ended, and
    /// its user is not opted out. Returns `false` where one of these does not hold: read the session again.
    async fn advance_session(&self, step: Advance) -> Result<bool, StoreError>;

    /// Puts a session on record that began while the store was out of reach, as it was then, unless a row of its id is
    /// on record. Its row has ended from the start where [`Session::ended`] says so, or where an end of its user or of
    /// its login, on record since, covers it; an opt-out and an end of its app are found as for every session. Where it
    /// is live, other sessions of the user may end for it, as for a new one. The caller has checked that it has not
    /// expired: rows stay at least until then, so that no session is put on record twice.
    async fn adopt_session(
        &self,
        session: Session,
        login: Option<LoginRecord>,
        actor: &Actor,
    ) -> Result<(), StoreError>;

    /// Ends a session for good. Returns `false` where there is none, or it has ended already; the first end stays on
    /// record.
    async fn end_session(&self, id: SessionId, why: Ended, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError>;
}

/// A compare-and-set on a session's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    pub id: SessionId,
    /// The counter that the session must have now.
    pub from: u64,
    /// The counter that it gets.
    pub to: u64,
    /// The time of this advance.
    pub rotated: UnixMillis,
    /// The new time at which the session expires if it is not refreshed.
    pub idle_expires: UnixMillis,
}

/// Outcome of [`Sessions::create_session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The session is on record.
    Created {
        /// Number of the user's live sessions that were ended for it.
        evicted: u64,
    },
    /// The user is opted out; nothing was written.
    OptedOut,
    /// Another session of the user would have to end for it; nothing was written.
    Full,
    /// The login at the provider has ended; nothing was written.
    SignedOut,
}

/// Operations on sessions that began with a login at an identity provider.
#[async_trait]
pub trait ProviderLogins: Send + Sync {
    /// Creates a session of a login, as [`Sessions::create_session`] does, unless the login has ended.
    async fn create_session_of_login(&self, session: Session, login: LoginRecord) -> Result<Creation, StoreError>;

    /// Returns whether a login has ended for an app, as far as ended logins are remembered.
    async fn is_signed_out(&self, app: &AppName, login: LoginRecord) -> Result<bool, StoreError>;

    /// Carries out a logout for an app, once: ends the sessions of its logins that began with a credential that it
    /// covers, as [`Ended::Logout`], and remembers the logins as ended.
    async fn sign_out(
        &self,
        app: &AppName,
        logout: LogoutRecord,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<SignedOut, StoreError>;
}

/// Outcome of [`ProviderLogins::sign_out`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// The logout was carried out.
    Now {
        /// Number of live sessions that were ended.
        ended: u64,
    },
    /// A logout of this id was carried out before; nothing was written.
    Before,
}

/// Operations on all sessions of a user or an app, and opt-outs.
#[async_trait]
pub trait Users: Send + Sync {
    /// Returns whether the user is opted out of the app, or of all apps.
    async fn is_opted_out(&self, user: UserHash, app: &AppName) -> Result<bool, StoreError>;

    /// Opts a user out of one app, or of all (`None`). Returns `false` where that opt-out is on record already.
    async fn opt_out(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError>;

    /// Removes exactly that opt-out: of one app, or of all (`None`). Returns `false` where there is none.
    async fn opt_in(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError>;

    /// Returns the number of opt-outs on record.
    async fn count_opt_outs(&self) -> Result<u64, StoreError>;

    /// Ends a user's sessions on one app, or on all (`None`), for good, even while the user is opted out. Returns the
    /// number of those that were live. The end is put on record, also where there was no session: one that began at or
    /// before `now` while the store was out of reach ends by it ([`Sessions::adopt_session`]).
    async fn end_sessions_of_user(
        &self,
        user: UserHash,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<u64, StoreError>;

    /// Ends every session of one app, or of all (`None`), that was created at or before `now`. It writes one row,
    /// however many sessions there are.
    async fn end_sessions_of_app(
        &self,
        app: Option<&AppName>,
        now: UnixMillis,
        actor: &Actor,
    ) -> Result<(), StoreError>;

    /// Returns a user's sessions, newest first, also those that ended or expired, until a purge deletes them.
    async fn sessions_of_user(&self, user: UserHash) -> Result<Vec<Session>, StoreError>;

    /// Returns whether a session or an opt-out of the app is on record. It may read the whole store.
    async fn has_records_of_app(&self, app: &AppName) -> Result<bool, StoreError>;
}
