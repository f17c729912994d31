//! Schema migrations: numbered, applied in order, never undone.
//!
//! `readable_from` is the lowest schema version of a program that may use the store. A migration that only adds
//! tables or columns leaves it unchanged, so that the version before can run beside the new one (a rolling update, a
//! rollback). A migration that an older program would fail on raises it.

use rusqlite::{Connection, TransactionBehavior};

use super::{audit_append, errors::StoreName, meta};
use crate::{domain::ids::InstallationId, store::StoreError};

/// SQLite's `application_id` of a file that this program made: "csgn" in ASCII.
const APPLICATION_ID: i32 = 0x6373_676e;

struct Migration {
    version: u32,
    /// The lowest schema version of a program that may still use the store afterwards.
    readable_from: u32,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 11] = [
    Migration { version: 1, readable_from: 1, sql: include_str!("../migrations/sqlite/0001_start.sql") },
    Migration { version: 2, readable_from: 1, sql: include_str!("../migrations/sqlite/0002_rotation.sql") },
    Migration { version: 3, readable_from: 3, sql: include_str!("../migrations/sqlite/0003_audit_log.sql") },
    Migration { version: 4, readable_from: 4, sql: include_str!("../migrations/sqlite/0004_live_sessions.sql") },
    Migration { version: 5, readable_from: 4, sql: include_str!("../migrations/sqlite/0005_api_key_uses.sql") },
    Migration { version: 6, readable_from: 4, sql: include_str!("../migrations/sqlite/0006_sign_outs.sql") },
    Migration { version: 7, readable_from: 4, sql: include_str!("../migrations/sqlite/0007_sealed_keys.sql") },
    Migration { version: 8, readable_from: 4, sql: include_str!("../migrations/sqlite/0008_ends.sql") },
    Migration { version: 9, readable_from: 4, sql: include_str!("../migrations/sqlite/0009_audit_leaves.sql") },
    Migration { version: 10, readable_from: 4, sql: include_str!("../migrations/sqlite/0010_failures.sql") },
    Migration { version: 11, readable_from: 4, sql: include_str!("../migrations/sqlite/0011_operators.sql") },
];

/// Newest schema version that this build knows.
pub(super) const KNOWN: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Returns the schema version that the store has.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Maker of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// Some version of this program.
    Us,
    /// Another program.
    Other,
    /// Nobody yet: the file is empty.
    Nobody,
}

/// Returns the program that made the database.
pub(super) fn maker(connection: &Connection) -> rusqlite::Result<Maker> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let used: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    Ok(match (used, id) {
        (true, APPLICATION_ID) => Maker::Us,
        (true, _) => Maker::Other,
        (false, _) => Maker::Nobody,
    })
}

/// Makes all tables in an empty database, and puts the id of the installation on record.
pub(super) fn create(connection: &mut Connection, id: &InstallationId) -> rusqlite::Result<()> {
    migrate(connection)?;
    meta::adopt_installation_id(connection, id).map(drop)
}

/// Checks that the database is a store, and migrates it as needed. A store that is up to date is only read, not
/// written.
pub(super) fn bring_up_to_date(connection: &mut Connection, name: &StoreName) -> Result<(), StoreError> {
    match check_usable(connection, name) {
        Err(StoreError::TooOld { .. }) => name.check(migrate(connection)),
        checked => checked,
    }
}

/// Checks that the database is a store.
pub(super) fn check_maker(connection: &Connection, name: &StoreName) -> Result<(), StoreError> {
    match name.check(maker(connection))? {
        Maker::Us => Ok(()),
        Maker::Other => {
            Err(name.unavailable("it is a database, but not one of countersign's; give the path of another file"))
        }
        Maker::Nobody => Err(name.missing("is empty")),
    }
}

/// Checks that the database is a store that this build can use as it is.
pub(super) fn check_usable(connection: &Connection, name: &StoreName) -> Result<(), StoreError> {
    check_maker(connection, name)?;
    let found = name.check(found(connection))?;
    // A store that does not say so may be used by programs of its own version only.
    let readable_from = name.check(meta::readable_from(connection))?.unwrap_or(u32::MAX);
    match found {
        ..KNOWN => Err(name.too_old(found, KNOWN)),
        KNOWN => Ok(()),
        _ if readable_from <= KNOWN => Ok(()),
        _ => Err(name.too_new(found, KNOWN)),
    }
}

/// Applies all missing migrations in one transaction, so that another process sees all of them or none.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may have migrated the store while this one waited for the transaction.
    let found = found(&transaction)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        apply(&transaction, migration)?;
    }
    // Rows of `audit_log` become the first leaves.
    audit_append::append(&transaction, &[])?;
    transaction.commit()
}

fn apply(connection: &Connection, migration: &Migration) -> rusqlite::Result<()> {
    connection.execute_batch(migration.sql)?;
    meta::raise_readable_from(connection, migration.readable_from)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", migration.version)
}

/// Makes the tables in an empty database.
#[cfg(test)]
pub(super) fn apply_all(connection: &Connection) -> rusqlite::Result<()> {
    MIGRATIONS.iter().try_for_each(|migration| apply(connection, migration))
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
