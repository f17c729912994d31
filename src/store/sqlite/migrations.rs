//! The tables' versions: numbered migrations, forward only.
//!
//! A migration that only adds things leaves `readable_from` where it was, so that the version before can go on beside
//! the new one (a rolling update, a rollback). One that an older program would stumble over raises it.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::errors::StoreName;
use crate::store::StoreError;

/// Marks the file as ours: "csgn".
const APPLICATION_ID: i32 = 0x6373_676e;

struct Migration {
    version: u32,
    /// The lowest schema version of a program that may still use the store afterwards.
    readable_from: u32,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 3] = [
    Migration { version: 1, readable_from: 1, sql: include_str!("../migrations/sqlite/0001_start.sql") },
    Migration { version: 2, readable_from: 1, sql: include_str!("../migrations/sqlite/0002_rotation.sql") },
    Migration { version: 3, readable_from: 3, sql: include_str!("../migrations/sqlite/0003_audit_log.sql") },
];

/// The newest schema this build knows.
pub(super) const KNOWN: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The schema the store has.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Migrates the store as needed, or says why it cannot be used. A store that is up to date is only read.
pub(super) fn bring_up_to_date(connection: &mut Connection, name: &StoreName) -> Result<(), StoreError> {
    let found = name.check(found(connection))?;
    if found < KNOWN {
        return name.check(migrate(connection))?.map_err(|Foreign| foreign(name));
    }
    if name.check(is_foreign(connection))? {
        return Err(foreign(name));
    }
    let readable_from = name.check(readable_from(connection))?;
    if found > KNOWN && readable_from > KNOWN { Err(name.too_new(found, KNOWN)) } else { Ok(()) }
}

/// The file is somebody else's.
struct Foreign;

fn foreign(name: &StoreName) -> StoreError {
    name.unavailable("it is a database, but not one of countersign's; give the path of another file")
}

/// All that is missing, in one transaction: another process sees all of it or none, and waits its turn.
fn migrate(connection: &mut Connection) -> rusqlite::Result<Result<(), Foreign>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_foreign(&transaction)? {
        return Ok(Err(Foreign));
    }
    // Read again: another process may have migrated it while this one waited.
    let found = found(&transaction)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        apply(&transaction, migration)?;
    }
    transaction.commit().map(Ok)
}

fn apply(connection: &Connection, migration: &Migration) -> rusqlite::Result<()> {
    connection.execute_batch(migration.sql)?;
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('readable_from', ?1) \
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        params![migration.readable_from],
    )?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", migration.version)
}

/// Whether there is something in the file that no version of this program made.
fn is_foreign(connection: &Connection) -> rusqlite::Result<bool> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let used: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    Ok(used && id != APPLICATION_ID)
}

fn readable_from(connection: &Connection) -> rusqlite::Result<u32> {
    let found = connection.query_row("SELECT value FROM meta WHERE name = 'readable_from'", [], |row| row.get(0));
    // A store that does not say may be used by its own version only.
    found.optional().map(|found| found.unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        for (migration, version) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.version, version);
            assert!((1..=version).contains(&migration.readable_from));
        }
    }
}
