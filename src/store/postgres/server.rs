//! Server and database, as they are when a store is opened: what they must be for a store.

use tokio_postgres::{GenericClient, Row};

use super::{
    errors::StoreName,
    rows::{self, RowError},
};
use crate::store::StoreError;

/// Oldest version that has all that the statements use, as `server_version_num` has it.
const OLDEST: i32 = 130_000;

/// `pg_class` and not `to_regclass`, which fails for a role without privileges on the schema.
const DESCRIBE: &str = "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
     current_setting('synchronous_commit'), current_setting('fsync'), pg_catalog.to_regnamespace('countersign') IS NOT NULL, \
     EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'countersign' AND c.relname = 'meta')";

/// Maker of the schema `countersign`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// Some version of this program.
    Us,
    /// Somebody else.
    Other,
    /// Nobody yet: there is no such schema.
    Nobody,
}

/// What the server says of itself and the database.
pub(super) struct Server {
    version: i32,
    shown_version: String,
    synchronous_commit: String,
    fsync: String,
    pub(super) maker: Maker,
}

impl Server {
    /// Asks the server.
    pub(super) async fn ask<C: GenericClient + Sync>(client: &C) -> Result<Self, RowError> {
        Self::of(&client.query_typed_one(DESCRIBE, &[]).await?)
    }

    fn of(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            version: rows::get(row, 0)?,
            shown_version: rows::get(row, 1)?,
            synchronous_commit: rows::get(row, 2)?,
            fsync: rows::get(row, 3)?,
            maker: match (rows::get(row, 4)?, rows::get(row, 5)?) {
                (_, true) => Maker::Us,
                (true, false) => Maker::Other,
                (false, false) => Maker::Nobody,
            },
        })
    }

    /// Fails where the server is too old, or confirms commits that a crash would undo.
    pub(super) fn check(&self, name: &StoreName) -> Result<(), StoreError> {
        if self.version < OLDEST {
            let shown = &self.shown_version;
            return Err(name.unavailable(format_args!("it runs PostgreSQL {shown}: version 13 or newer is needed")));
        }
        if self.fsync == "off" {
            tracing::warn!(store = %name, "the server runs with fsync = off: a crash of its machine loses the store");
        }
        check_commit(&self.synchronous_commit, name)
    }
}

/// Fails where the server confirms a commit before it is on its disk. The other values differ in what they wait for on a
/// standby only.
pub(super) fn check_commit(setting: &str, name: &StoreName) -> Result<(), StoreError> {
    if setting != "off" {
        return Ok(());
    }
    Err(name.unavailable(
        "synchronous_commit is off, so that a crash loses what was answered, and users are logged out: set it to on, for \
         the server, and for the role and the database if they have it (`ALTER ROLE … RESET synchronous_commit`)",
    ))
}
