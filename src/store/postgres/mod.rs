//! The store in a PostgreSQL database, for many nodes.
//!
//! [`target`] reads the connection string, [`connect`] makes connections, [`database`] runs statements on a pool of
//! them, and [`migrations`] makes and migrates the tables. Everything stands in the schema `countersign`. No statement
//! needs the state of a connection, so that a pool in transaction mode (pgbouncer) may stand between.

mod connect;
mod database;
mod errors;
mod migrations;
mod passfile;
mod rows;
mod target;

use std::sync::Arc;

use self::database::Database;
pub use self::target::{BadUrl, Target};
use super::{Config, StoreError};
use crate::{domain::ids::InstallationId, telemetry::Metrics};

/// The store in a PostgreSQL database.
pub(super) struct PostgresStore {
    database: Database,
    max_sessions_per_user: u32,
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
        Ok(Self { database, max_sessions_per_user: config.max_sessions_per_user.get() })
    }
}
