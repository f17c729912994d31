//! Schema migrations: numbered, applied in order, never undone; as those of SQLite's store.
//!
//! They run in one transaction, under a lock that lasts as long as it: several nodes may start at once.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::{GenericClient, Row, Transaction, types::Type};

use super::{
    database::{Database, Done, Steps},
    errors::StoreName,
    meta::{self, INSTALLATION_ID, READABLE_FROM, SCHEMA},
    rows::{self, RowError},
    server::{Maker, Server},
};
use crate::{domain::ids::InstallationId, store::StoreError};

struct Migration {
    version: u32,
    /// The lowest schema version of a program that may still use the store afterwards.
    readable_from: u32,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 6] = [
    Migration { version: 1, readable_from: 1, sql: include_str!("../migrations/postgres/0001_start.sql") },
    Migration { version: 2, readable_from: 1, sql: include_str!("../migrations/postgres/0002_sealed_keys.sql") },
    Migration { version: 3, readable_from: 1, sql: include_str!("../migrations/postgres/0003_ends.sql") },
    Migration { version: 4, readable_from: 1, sql: include_str!("../migrations/postgres/0004_audit_leaves.sql") },
    Migration { version: 5, readable_from: 1, sql: include_str!("../migrations/postgres/0005_failures.sql") },
    Migration { version: 6, readable_from: 1, sql: include_str!("../migrations/postgres/0006_operators.sql") },
];

/// Newest schema version that this build knows.
pub(super) const KNOWN: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Longest time that migrations may take, those of other nodes before them included.
const LONGEST: Duration = Duration::from_mins(10);

/// Lock of all who make or migrate tables: "csgn" in ASCII. It lasts until the end of the transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'6373676e'::int8)";

/// Makes all tables in a database that has none, and puts the id of the installation on record.
pub(super) async fn create(database: &Database, id: &InstallationId) -> Result<(), StoreError> {
    database.run(&Creation { id, name: &database.name }).await?
}

/// Checks that the database is a store, and migrates it as needed. A store that is up to date is only read.
pub(super) async fn bring_up_to_date(database: &Database) -> Result<(), StoreError> {
    match check_usable(database).await {
        Err(StoreError::TooOld { .. }) => database.run(&Migrating { name: &database.name }).await?,
        checked => checked,
    }
}

/// Checks that the database is a store that this build can use as it is.
pub(super) async fn check_usable(database: &Database) -> Result<(), StoreError> {
    database.snapshot(&Check { name: &database.name }).await?
}

/// Makes all tables in the transaction that is open on a connection. Returns `false` where they are there already.
pub(super) async fn create_in<C: GenericClient + Sync>(client: &C, name: &StoreName) -> Result<bool, StoreError> {
    name.check(client.batch_execute(LOCK).await)?;
    let server = name.check(Server::ask(client).await)?;
    server.check(name)?;
    if server.maker == Maker::Nobody {
        return name.check(apply_after(client, 0).await).map(|()| true);
    }
    usable(client, &server, name).await.map(|()| false)
}

struct Creation<'a> {
    id: &'a InstallationId,
    name: &'a StoreName,
}

#[async_trait]
impl Steps for Creation<'_> {
    type Answer = Result<(), StoreError>;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Self::Answer>, RowError> {
        transaction.batch_execute(LOCK).await?;
        let server = Server::ask(transaction).await?;
        if let Err(why) = server.check(self.name) {
            return Ok(Done::RollBack(Err(why)));
        }
        match server.maker {
            Maker::Nobody => {}
            Maker::Us => return Ok(Done::RollBack(Err(self.name.exists()))),
            Maker::Other => return Ok(Done::RollBack(Err(self.name.of_others()))),
        }
        apply_after(transaction, 0).await?;
        meta::put(transaction, INSTALLATION_ID, &self.id.to_string()).await?;
        Ok(Done::Commit(Ok(())))
    }

    fn longest(&self, _: Duration) -> Duration {
        LONGEST
    }
}

struct Migrating<'a> {
    name: &'a StoreName,
}

#[async_trait]
impl Steps for Migrating<'_> {
    type Answer = Result<(), StoreError>;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Self::Answer>, RowError> {
        transaction.batch_execute(LOCK).await?;
        // Read under the lock: another node may have migrated the store while this one waited for it.
        match found(transaction).await? {
            Some(found) => apply_after(transaction, found).await?,
            None => return Ok(Done::RollBack(Err(self.name.damaged()))),
        }
        Ok(Done::Commit(Ok(())))
    }

    fn longest(&self, _: Duration) -> Duration {
        LONGEST
    }
}

struct Check<'a> {
    name: &'a StoreName,
}

#[async_trait]
impl Steps for Check<'_> {
    type Answer = Result<(), StoreError>;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Self::Answer>, RowError> {
        let server = Server::ask(transaction).await?;
        let checked = match server.check(self.name) {
            Ok(()) => usable(transaction, &server, self.name).await,
            refused => refused,
        };
        Ok(Done::Commit(checked))
    }
}

/// Checks that the tables are those of a store that this build can use.
async fn usable<C: GenericClient + Sync>(client: &C, server: &Server, name: &StoreName) -> Result<(), StoreError> {
    match server.maker {
        Maker::Us => {}
        Maker::Other => return Err(name.of_others()),
        Maker::Nobody => return Err(name.missing()),
    }
    let found = name.check(found(client).await)?.ok_or_else(|| name.damaged())?;
    // A store that does not say so may be used by programs of its own version only.
    let readable_from = name.check(number(client, READABLE_FROM).await)?.unwrap_or(u32::MAX);
    match found {
        ..KNOWN => Err(name.too_old(found, KNOWN)),
        KNOWN => Ok(()),
        _ if readable_from <= KNOWN => Ok(()),
        _ => Err(name.too_new(found, KNOWN)),
    }
}

/// Returns the schema version that the store has.
async fn found<C: GenericClient + Sync>(client: &C) -> Result<Option<u32>, RowError> {
    number(client, SCHEMA).await
}

/// Returns the schema version in a row of [`meta::GET`].
pub(super) fn version_of(row: &Row) -> Result<u32, RowError> {
    rows::parsed(row, 0)
}

async fn number<C: GenericClient + Sync>(client: &C, name: &str) -> Result<Option<u32>, RowError> {
    let row = client.query_typed_opt(meta::GET, &[(&name, Type::TEXT)]).await?;
    row.as_ref().map(version_of).transpose()
}

/// Applies all migrations after a version.
async fn apply_after<C: GenericClient + Sync>(client: &C, version: u32) -> Result<(), RowError> {
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > version) {
        client.batch_execute(migration.sql).await?;
        meta::put(client, SCHEMA, &migration.version.to_string()).await?;
        meta::raise(client, READABLE_FROM, migration.readable_from).await?;
    }
    Ok(())
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
