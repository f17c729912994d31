//! Databases of a real PostgreSQL server as engines of the suite: one direct, one through pgbouncer.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use countersign::{
    domain::ids::InstallationId,
    store::{self, Config, Store, StoreError},
    telemetry::Metrics,
};
use tokio::runtime::Handle;

use super::{Engine, MAX_SESSIONS};
use crate::support::postgres::{Database, Pooler, Server};

/// A database of its own.
pub(crate) struct Postgres {
    database: Database,
    pooled: bool,
    backup: Mutex<Option<Database>>,
}

impl Postgres {
    pub(crate) fn direct() -> Self {
        Self { database: Server::shared().database(), pooled: false, backup: Mutex::default() }
    }

    /// Statements of each process run on any of a few connections of pgbouncer.
    pub(crate) fn pooled() -> Self {
        Self { pooled: true, ..Self::direct() }
    }

    fn open_database(&self, database: &Database) -> Result<Arc<dyn Store>, StoreError> {
        let url = if self.pooled { Pooler::shared().url(&database.name) } else { database.url() };
        let max_sessions_per_user = NonZeroU32::new(MAX_SESSIONS).unwrap();
        // The suite says what a store does, not how fast; hundreds of logins of one user take turns.
        let timeout = Duration::from_mins(1);
        let config = Config { url: Some(url), max_sessions_per_user, timeout, ..Config::default() };
        tokio::task::block_in_place(|| Handle::current().block_on(open_or_create(&config)))
    }
}

async fn open_or_create(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match store::open(config, Metrics::new()).await {
        Err(StoreError::Missing { .. }) => {
            match store::create(config, InstallationId::new([7; 16]), Metrics::new()).await {
                Err(StoreError::Exists { .. }) => store::open(config, Metrics::new()).await,
                created => created,
            }
        }
        opened => opened,
    }
}

#[async_trait]
impl Engine for Postgres {
    fn open(&self) -> Arc<dyn Store> {
        self.open_database(&self.database).unwrap()
    }

    /// PostgreSQL's own tools make it.
    async fn back_up(&self, _: &Arc<dyn Store>) {
        let copy = tokio::task::block_in_place(|| self.database.dump_and_restore());
        *self.backup.lock().unwrap() = Some(copy);
    }

    fn open_backup(&self) -> Arc<dyn Store> {
        self.open_database(self.backup.lock().unwrap().as_ref().unwrap()).unwrap()
    }

    fn sql(&self, _: &str, postgres: &str) -> Result<(), String> {
        tokio::task::block_in_place(|| self.database.try_sql(postgres))
    }

    fn no_backup_because(&self) -> &'static str {
        "pg_dump"
    }
}
