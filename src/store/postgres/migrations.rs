//! Schema migrations: numbered, applied in order, never undone; as those of SQLite's store.

use super::database::Database;
use crate::{domain::ids::InstallationId, store::StoreError};

struct Migration {
    version: u32,
    /// The lowest schema version of a program that may still use the store afterwards.
    readable_from: u32,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 1] =
    [Migration { version: 1, readable_from: 1, sql: include_str!("../migrations/postgres/0001_start.sql") }];

/// Newest schema version that this build knows.
pub(super) const KNOWN: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Makes all tables, and puts the id of the installation on record.
pub(super) async fn create(_database: &Database, _id: &InstallationId) -> Result<(), StoreError> {
    todo!()
}

/// Checks that the database is a store, and migrates it as needed.
pub(super) async fn bring_up_to_date(_database: &Database) -> Result<(), StoreError> {
    todo!()
}
