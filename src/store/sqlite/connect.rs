//! Connections to the SQLite file.

use std::{path::Path, thread, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

/// Longest wait of a write for a write of another process, and of the start for a migration by another process. It is
/// shorter than `store.timeout` is by default, so that the error names the cause.
const WRITE_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest wait of a read for a lock. In WAL mode a read rarely waits. The limit is short, because a point read
/// blocks a thread of the async runtime.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause between two attempts to turn WAL mode on.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Capacity of a connection's statement cache: more than there are statements, so that each is prepared once.
const CACHED_STATEMENTS: usize = 64;

/// Opens a connection that writes. A commit returns once it is on the disk (`synchronous=FULL`).
pub(super) fn writing(path: &Path) -> rusqlite::Result<Connection> {
    prepared(unprepared(path)?)
}

/// Opens a connection that can write, and has not written anything yet.
pub(super) fn unprepared(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITE_TIMEOUT)
}

/// Turns WAL mode on, which writes to a database that has another mode, and sets the connection up for writes.
pub(super) fn prepared(connection: Connection) -> rusqlite::Result<Connection> {
    use_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Deleted rows are overwritten with zeros where that costs no extra write.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    // A cache of 16 MiB (negative: in KiB). A log that grew during a long read is truncated to 64 MiB.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(connection)
}

/// Opens a connection that writes to a file that nobody else uses, with a rollback journal. All that was committed is
/// in the file itself.
pub(super) fn alone(path: &Path) -> rusqlite::Result<Connection> {
    let connection = unprepared(path)?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Opens a connection that cannot write.
pub(super) fn reading(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READ_TIMEOUT)
}

fn open(path: &Path, access: OpenFlags, timeout: Duration) -> rusqlite::Result<Connection> {
    let safe = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, access | safe)?;
    connection.busy_timeout(timeout)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Turns WAL mode on. SQLite does not apply the busy timeout where two processes do so on a new file at the same
/// time.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let mut left = WRITE_TIMEOUT;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(why) if why.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && left > RETRY_PAUSE => {
                thread::sleep(RETRY_PAUSE);
                left = left.saturating_sub(RETRY_PAUSE);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_durable_and_readers_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("c.db");
        std::fs::write(&path, b"").unwrap();
        let writer = writing(&path).unwrap();
        let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let synchronous: i64 = writer.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", 2), "2 is FULL");
        writer.execute_batch("CREATE TABLE t (n)").unwrap();
        let refused = reading(&path).unwrap().execute("INSERT INTO t VALUES (1)", []).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::ReadOnly));
    }
}
