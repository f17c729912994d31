//! The store in a PostgreSQL database, for many nodes.
//!
//! [`target`] reads the connection string, [`connect`] makes connections, [`database`] runs statements on a pool of
//! them, and [`migrations`] makes and migrates the tables. Everything stands in the schema `countersign`. No statement
//! needs the state of a connection, so that a pool in transaction mode (pgbouncer) may stand between.

mod batcher;
mod calls;
mod conditions;
mod connect;
mod creations;
mod database;
mod errors;
mod migrations;
mod provider_logins;
mod rows;
mod sessions;
mod target;
mod transactions;
mod users;

use std::sync::Arc;

pub use self::target::{BadUrl, Target};
use self::{
    batcher::Batcher,
    creations::Creations,
    database::Database,
    sessions::{Advances, PointReads},
};
use super::{Config, StoreError};
use crate::{domain::ids::InstallationId, telemetry::Metrics};

/// The store in a PostgreSQL database.
pub(super) struct PostgresStore {
    // Fields are dropped in this order: what waits is done before the connections close.
    creations: Batcher<Creations>,
    advances: Batcher<Advances>,
    reads: Batcher<PointReads>,
    database: Arc<Database>,
}

impl PostgresStore {
    /// Makes the tables in a database that has none.
    pub(super) async fn create(config: &Config, target: &Target, id: &InstallationId) -> Result<(), StoreError> {
        let database = Database::open(config, target, crate::telemetry::Metrics::new())?;
        migrations::create(&database, id).await
    }

    /// Opens the database, and migrates its tables as needed.
    pub(super) async fn open(config: &Config, target: &Target, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let database = Database::open(config, target, metrics)?;
        migrations::bring_up_to_date(&database).await?;
        Ok(Self::with(config, database))
    }

    fn with(config: &Config, database: Database) -> Self {
        let (database, max_sessions_per_user) = (Arc::new(database), config.max_sessions_per_user.get());
        let (name, metrics) = (&database.name, &database.metrics);
        let creations = Creations { database: Arc::clone(&database), max_sessions_per_user };
        Self {
            creations: Batcher::new(creations, name.clone(), Arc::clone(metrics)),
            advances: Batcher::new(Advances(Arc::clone(&database)), name.clone(), Arc::clone(metrics)),
            reads: Batcher::new(PointReads(Arc::clone(&database)), name.clone(), Arc::clone(metrics)),
            database,
        }
    }
}
