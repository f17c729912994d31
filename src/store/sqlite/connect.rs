//! How connections are opened.

use std::{path::Path, thread, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

/// How long a write waits for another process's, and the start for another process's migration.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a read waits. In WAL mode it hardly ever has to; it may be on a thread that others need.
const READ_PATIENCE: Duration = Duration::from_millis(500);
/// How long the start sleeps before it asks for WAL mode again.
const PAUSE: Duration = Duration::from_millis(10);
/// More than there are statements, so that each is prepared once a connection.
const STATEMENTS: usize = 64;

/// The one connection that writes. Every commit is on the disk before it is answered (`synchronous=FULL`).
pub(super) fn writing(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITE_PATIENCE)?;
    use_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Deleted rows are overwritten where their page is written anyway.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    // 16 MiB of pages; a log that a long read made large is cut back to 64 MiB.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn reading(path: &Path) -> rusqlite::Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READ_PATIENCE)
}

fn open(path: &Path, access: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
    let careful = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, access | careful)?;
    connection.busy_timeout(patience)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Turns WAL mode on. The engine does not wait by itself where two processes do that to a new file at once.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let mut left = WRITE_PATIENCE;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(why) if why.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && left > PAUSE => {
                thread::sleep(PAUSE);
                left = left.saturating_sub(PAUSE);
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
