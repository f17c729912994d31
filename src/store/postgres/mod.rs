//! The store in a PostgreSQL database, for many nodes.
//!
//! [`target`] reads the connection string, [`connect`] makes connections, [`database`] runs statements on a pool of
//! them, and [`migrations`] makes and migrates the tables. Everything stands in the schema `countersign`. No statement
//! needs the state of a connection, so that a pool in transaction mode (pgbouncer) may stand between.

mod activity;
mod api_keys;
mod audit_append;
mod audit_leaves;
mod audit_log;
mod batcher;
mod calls;
mod conditions;
mod connect;
mod connection;
mod copy;
mod creations;
mod database;
mod ends;
mod ends_position;
mod errors;
mod facts;
mod failures;
mod key_transactions;
mod keys;
mod meta;
mod migrations;
mod nodes;
mod operators;
mod passfile;
mod provider_logins;
mod purge;
mod rows;
mod sealed_keys;
mod server;
mod session_ends;
mod sessions;
mod target;
mod transactions;
mod upkeep;
mod users;

use std::{path::Path, sync::Arc};

pub(super) use self::copy::Copied;
pub use self::target::BadUrl;
pub(super) use self::target::Target;
use self::{
    batcher::Batcher,
    creations::Creations,
    database::{Access, Database},
    session_ends::SessionEnds,
    sessions::{Advances, PointReads},
};
use super::{Config, StoreError};
use crate::{domain::ids::InstallationId, telemetry::Metrics};

/// The store in a PostgreSQL database.
pub(super) struct PostgresStore {
    // Fields are dropped in this order: what waits is done before the connections close.
    creations: Batcher<Creations>,
    advances: Batcher<Advances>,
    session_ends: Batcher<SessionEnds>,
    reads: Batcher<PointReads>,
    database: Arc<Database>,
    target: Target,
    connections: u32,
    prepared: bool,
}

impl PostgresStore {
    /// Makes the tables in a database that has none.
    pub(super) async fn create(config: &Config, target: &Target, id: &InstallationId) -> Result<(), StoreError> {
        let database = Database::open(config, target, Access::ReadAndWrite, Metrics::new())?;
        migrations::create(&database, id).await
    }

    /// Opens the database, and migrates its tables as needed.
    pub(super) async fn open(config: &Config, target: Target, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let database = Database::open(config, &target, Access::ReadAndWrite, metrics)?;
        migrations::bring_up_to_date(&database).await?;
        Ok(Self::with(config, target, database))
    }

    /// Opens the database for reading only.
    pub(super) async fn open_read_only(
        config: &Config,
        target: Target,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let database = Database::open(config, &target, Access::Read, metrics)?;
        migrations::check_usable(&database).await?;
        Ok(Self::with(config, target, database))
    }

    fn with(config: &Config, target: Target, database: Database) -> Self {
        let (database, max_sessions_per_user) = (Arc::new(database), config.max_sessions_per_user.get());
        let (name, timeout, metrics) = (&database.name, config.timeout, &database.metrics);
        let creations = Creations { database: Arc::clone(&database), max_sessions_per_user };
        Self {
            creations: Batcher::new(creations, name.clone(), timeout, Arc::clone(metrics)),
            advances: Batcher::new(Advances(Arc::clone(&database)), name.clone(), timeout, Arc::clone(metrics)),
            session_ends: Batcher::new(SessionEnds(Arc::clone(&database)), name.clone(), timeout, Arc::clone(metrics)),
            reads: Batcher::new(PointReads(Arc::clone(&database)), name.clone(), timeout, Arc::clone(metrics)),
            database,
            target,
            connections: config.connections.get(),
            prepared: config.prepared,
        }
    }
}

/// Returns the error for a backup that is to be restored by this program: PostgreSQL's own tools do that.
pub(super) fn no_restoration(target: &Target, backup: &Path) -> StoreError {
    let path = backup.display();
    let why = format!(
        "is not restored by this command, since the store is in PostgreSQL: run `pg_restore --dbname='{target}' {path}` (or \
         restore the whole server), then `countersign db restored`"
    );
    StoreError::Backup { path: path.to_string(), why }
}
