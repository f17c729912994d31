//! Conversion of PostgreSQL's errors into [`StoreError`].

use std::{error::Error as _, fmt::Display, io, path::Path, sync::Arc, time::Duration};

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::SqlState;

use super::{Target, rows::RowError};
use crate::store::StoreError;

/// What to do where a store is missing.
const REMEDY: &str = "If store.url names another database than before, correct it; `pg_restore` restores a backup, and \
                      then `countersign db restored` ends the sessions that it has; `countersign db create` begins with \
                      an empty store";

/// The store's name in errors: its connection string, without a password.
#[derive(Clone, Debug)]
pub(super) struct StoreName(Arc<str>);

impl Display for StoreName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StoreName {
    /// Returns the name of the store at `target`.
    pub(super) fn new(target: &Target) -> Self {
        Self(target.to_string().into())
    }

    /// Returns the error for a store that answers, and must not be used because of `why`.
    pub(super) fn unavailable(&self, why: impl Display) -> StoreError {
        StoreError::Unavailable { store: self.0.to_string(), why: why.to_string() }
    }

    /// Returns the error for a store that cannot be reached, or takes no writes, because of `why`.
    pub(super) fn out_of_reach(&self, why: impl Display) -> StoreError {
        StoreError::OutOfReach { store: self.0.to_string(), why: why.to_string() }
    }

    /// Returns the error for a write to a store that is open for reading only.
    pub(super) fn read_only(&self) -> StoreError {
        StoreError::ReadOnly { store: self.0.to_string() }
    }

    /// Returns the error for a store that must be migrated before it can be used.
    pub(super) fn too_old(&self, found: u32, known: u32) -> StoreError {
        StoreError::TooOld { store: self.0.to_string(), found, known }
    }

    /// Returns the error for a store that was made by a later version.
    pub(super) fn too_new(&self, found: u32, known: u32) -> StoreError {
        StoreError::TooNew { store: self.0.to_string(), found, known }
    }

    /// Returns the error for an act that is refused, because of that fork of the audit log.
    pub(super) fn forked(&self, why: String) -> StoreError {
        StoreError::Forked { store: self.0.to_string(), why }
    }

    /// Returns the error for an answer that did not come in time.
    pub(super) fn silent(&self, timeout: Duration) -> StoreError {
        self.out_of_reach(format_args!("there was no answer within {timeout:?} (store.timeout)"))
    }

    /// Returns the error for a row that cannot be read, or a statement that failed.
    pub(super) fn refused(&self, why: &RowError) -> StoreError {
        match why {
            RowError::Column(why) if is_outage(why) => self.out_of_reach(explain(why)),
            RowError::Column(why) if is_forked(why) => self.forked(explain(why)),
            RowError::Column(why) => self.unavailable(explain(why)),
            why => self.unavailable(why),
        }
    }

    /// Converts the error of a row or a statement, if there is one.
    pub(super) fn check<T, E: Into<RowError>>(&self, answer: Result<T, E>) -> Result<T, StoreError> {
        answer.map_err(|why| self.refused(&why.into()))
    }

    /// Returns the error for a database without a store.
    pub(super) fn missing(&self) -> StoreError {
        StoreError::Missing { path: self.0.to_string(), what: "has no tables".to_owned(), remedy: REMEDY }
    }

    /// Returns the error for a database that has a store where one is to be made.
    pub(super) fn exists(&self) -> StoreError {
        let why = "has a store already: name another database in store.url, or, if nobody needs that store any more, run \
                   `DROP SCHEMA countersign CASCADE` in this one";
        StoreError::Exists { path: self.0.to_string(), why: why.to_owned() }
    }

    /// Returns the error for a store with rows where an empty one is needed.
    pub(super) fn occupied(&self, table: &str) -> StoreError {
        let why = format!("has rows in the table {table}: name a database without a store, or with an empty one");
        StoreError::Exists { path: self.0.to_string(), why }
    }

    /// Returns the error for a schema of the store's name that is somebody else's.
    pub(super) fn of_others(&self) -> StoreError {
        self.unavailable("its schema `countersign` is not a store of countersign: name another database in store.url")
    }

    /// Returns the error for a store without values that every store has.
    pub(super) fn damaged(&self) -> StoreError {
        self.unavailable("values of its table countersign.meta are gone: restore a backup")
    }

    /// Returns the error for a backup to a file, which is PostgreSQL's own work.
    pub(super) fn no_backup(&self, to: &Path) -> StoreError {
        let path = to.display();
        let why = format!(
            "is not written, since the store is in PostgreSQL: run `pg_dump --format=custom --schema=countersign \
             --file={path} --dbname='{self}'`, or use the backups of the whole server"
        );
        StoreError::Backup { path: path.to_string(), why }
    }

    /// Returns the error for a connection that the pool did not give.
    pub(super) fn no_connection(&self, why: &PoolError, timeout: Duration) -> StoreError {
        match why {
            PoolError::Backend(why) if is_outage(why) => self.out_of_reach(explain(why)),
            PoolError::Backend(why) => self.unavailable(explain(why)),
            PoolError::Timeout(TimeoutType::Wait) => self.out_of_reach(format_args!(
                "all connections were in use for {timeout:?}: the database is slow, or store.connections too small"
            )),
            PoolError::Timeout(_) => self.out_of_reach(format_args!("no connection was made within {timeout:?}")),
            why => self.unavailable(why),
        }
    }
}

/// Returns PostgreSQL's message, followed by advice in the common cases. It has no values of parameters, as neither the
/// server's details are shown.
pub(super) fn explain(why: &tokio_postgres::Error) -> String {
    let message = match (why.as_db_error(), why.source()) {
        (Some(refused), _) => refused.message().to_owned(),
        (None, Some(source)) => format!("{why}: {source}").replacen("error connecting to server: ", "", 1),
        (None, None) => why.to_string(),
    };
    match advice(why, &message) {
        Some(advice) => format!("{message}: {advice}"),
        None => message,
    }
}

fn advice(why: &tokio_postgres::Error, message: &str) -> Option<&'static str> {
    if let Some(code) = why.code() {
        return advice_by_code(code, message);
    }
    let source = why.source()?;
    if takes_no_writes(why) {
        return Some("it is a standby; name all servers in store.url, and the one that takes writes is used");
    }
    if let Some(failed) = source.downcast_ref::<io::Error>() {
        return advice_by_kind(failed, message);
    }
    if message.contains("does not support TLS") {
        return Some(
            "turn `ssl` on there, or say sslmode=disable in store.url where nobody else can read the connection",
        );
    }
    if message.contains("failed to lookup address") {
        return Some("correct the host in store.url, or the name service of this machine");
    }
    message.contains("password missing").then_some(
        "put it into a file and name that in store.password_file, or set COUNTERSIGN_STORE__PASSWORD, or use .pgpass",
    )
}

/// Advice by SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn advice_by_code(code: &SqlState, message: &str) -> Option<&'static str> {
    if message.contains("server_login_retry") {
        return Some(
            "the server behind pgbouncer does not answer; set server_login_retry = 1 there, so that it is tried each second",
        );
    }
    let advice = match *code {
        SqlState::INVALID_PASSWORD => "look at the user in store.url, and at store.password_file (or .pgpass)",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if message.contains("pg_hba") => {
            "add a line for this host, user and database to the server's pg_hba.conf"
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => "look at the user in store.url; `createuser` makes one",
        SqlState::INVALID_CATALOG_NAME => "make it with `createdb`, or correct its name in store.url",
        SqlState::TOO_MANY_CONNECTIONS => {
            "lower store.connections, raise max_connections of the server, or put pgbouncer between"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "it is a standby, or set to be read-only; name all servers in store.url, with target_session_attrs=read-write"
        }
        SqlState::DISK_FULL => "make room on the database's disk; no restart is needed",
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "the role has too few privileges; docs/postgresql.md lists them (`countersign db migrate` runs as the owner)"
        }
        SqlState::DUPLICATE_PSTATEMENT | SqlState::INVALID_SQL_STATEMENT_NAME => {
            "a pool stands between: set store.prepared = false"
        }
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => {
            "the store's tables were removed: restore a backup"
        }
        SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            "it starts or stops; no restart of this service is needed"
        }
        SqlState::QUERY_CANCELED => "a statement_timeout of the role or database ends statements",
        _ => return None,
    };
    Some(advice)
}

fn advice_by_kind(why: &io::Error, message: &str) -> Option<&'static str> {
    if message.contains("UnknownIssuer") {
        return Some("name the authority's certificate in store.ca_file");
    }
    if message.contains("invalid peer certificate") {
        return Some("the certificate must be valid for the host in store.url");
    }
    match why.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            Some("no server runs there, or store.url has another host or port")
        }
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("the host is down, or a firewall is between")
        }
        io::ErrorKind::PermissionDenied => Some(
            "this machine forbids it: look at the owner and mode of the socket, or, for a host, at IPAddressDeny= of the unit \
             (`countersign doctor` names the drop-in) and at the packet filter",
        ),
        _ => None,
    }
}

/// Returns true where the database cannot be reached, gives no answer or takes no writes, and so will answer again without
/// a change of what this program was told. Where the server answers and refuses this program (a password that is wrong
/// now, a role or privileges that are gone, another certificate), it is no outage: that is how an operator takes a node's
/// access away, and a node without access must not answer for longer. Neither is a table that is missing.
pub(super) fn is_outage(why: &tokio_postgres::Error) -> bool {
    match why.as_db_error() {
        Some(refusal) => is_outage_by_code(refusal.code()) && !is_refused_by_pooler(refusal.message()),
        None => why.is_closed() || takes_no_writes(why) || io_error(why).is_some_and(is_outage_by_kind),
    }
}

/// Returns true where an act was refused because of a fork of the audit log: `append_leaves` says this code.
pub(super) fn is_forked(why: &tokio_postgres::Error) -> bool {
    why.code().is_some_and(|code| code.code() == "CSF01")
}

/// pgbouncer says 08P01 where it has no server, or no connection to one in time.
fn is_outage_by_code(code: &SqlState) -> bool {
    // Connection; resources: disk, memory, connections.
    ["08", "53"].iter().any(|class| code.code().starts_with(class))
        || matches!(
            *code,
            SqlState::ADMIN_SHUTDOWN
                | SqlState::CRASH_SHUTDOWN
                | SqlState::CANNOT_CONNECT_NOW
                | SqlState::SYSTEM_ERROR
                | SqlState::IO_ERROR
                // A limit of the server ended the statement, or its wait for a lock.
                | SqlState::QUERY_CANCELED
                | SqlState::LOCK_NOT_AVAILABLE
                | SqlState::READ_ONLY_SQL_TRANSACTION
                // A standby refuses a transaction that may write by the first, and ends one that reads by the second.
                | SqlState::FEATURE_NOT_SUPPORTED
                | SqlState::T_R_SERIALIZATION_FAILURE
        )
}

/// Returns true for what pgbouncer says, also with 08P01, of a client that it does not serve.
fn is_refused_by_pooler(message: &str) -> bool {
    ["no such", "does not exist", "authentication failed"].iter().any(|said| message.contains(said))
}

fn is_outage_by_kind(why: &io::Error) -> bool {
    // Another certificate than the one to be trusted; a socket that this user may not open.
    !matches!(why.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied)
}

fn io_error(why: &tokio_postgres::Error) -> Option<&io::Error> {
    why.source().and_then(|source| source.downcast_ref())
}

/// Returns true where a server was left out by `target_session_attrs`.
pub(super) fn takes_no_writes(why: &tokio_postgres::Error) -> bool {
    // The driver's own error has no code of the system; that of a socket that may not be opened has.
    io_error(why).is_some_and(|why| why.kind() == io::ErrorKind::PermissionDenied && why.raw_os_error().is_none())
}

/// Returns true where the server rolled a transaction back because of others, so that it may be repeated
/// (<https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html>).
pub(super) fn may_be_repeated(why: &RowError) -> bool {
    let RowError::Column(why) = why else { return false };
    matches!(why.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE))
}

/// Returns true where the connection was lost: the server restarts, or closed it.
pub(super) fn is_lost(why: &RowError) -> bool {
    let RowError::Column(why) = why else { return false };
    let by_server = |code: &SqlState| {
        matches!(*code, SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW)
            || code.code().starts_with("08")
    };
    why.is_closed()
        || why.code().is_some_and(by_server)
        || why.source().is_some_and(<dyn std::error::Error>::is::<io::Error>)
}

/// Returns true where a connection is of no use any more: it is lost, its server takes no writes any more, or its
/// prepared statements are not those that the driver knows.
pub(super) fn is_broken(why: &RowError) -> bool {
    let RowError::Column(error) = why else { return false };
    let stale = |code: &SqlState| {
        matches!(
            *code,
            SqlState::READ_ONLY_SQL_TRANSACTION
                | SqlState::DUPLICATE_PSTATEMENT
                | SqlState::INVALID_SQL_STATEMENT_NAME
                | SqlState::FEATURE_NOT_SUPPORTED
        )
    };
    is_lost(why) || error.code().is_some_and(stale)
}
