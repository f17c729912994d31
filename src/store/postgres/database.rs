//! Statements on a pool of connections.

use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use tokio_postgres::{
    Client, Row, Transaction,
    types::{ToSql, Type},
};

use super::{Target, connect, errors::StoreName};
use crate::{
    store::{Config, StoreError},
    telemetry::Metrics,
};

/// Parameter of a statement, with its type: the server need not be asked for it first.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Pool of connections to one database.
pub(super) struct Database {
    pool: Pool,
    pub(super) name: StoreName,
    pub(super) metrics: Arc<Metrics>,
}

impl Database {
    /// Makes the pool; it connects when the first statement needs it.
    pub(super) fn open(config: &Config, target: &Target, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let name = StoreName::new(target);
        let pool = connect::pool(config, target).map_err(|why| name.unavailable(why))?;
        Ok(Self { pool, name, metrics })
    }

    /// Returns a connection that nobody else uses.
    pub(super) async fn connection(&self) -> Result<Connection, StoreError> {
        self.pool.get().await.map(Connection).map_err(|why| self.name.unavailable(why))
    }

    /// Runs a statement, and returns its rows.
    pub(super) async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection().await?;
        self.name.check(connection.0.query_typed(sql, params).await)
    }

    /// Runs a statement, and returns the number of rows that it changed.
    pub(super) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        let connection = self.connection().await?;
        self.name.check(connection.0.execute_typed(sql, params).await)
    }
}

/// Connection of the pool; it goes back when it is dropped.
pub(super) struct Connection(Object);

impl Connection {
    /// Client whose statements use this connection.
    pub(super) fn client(&self) -> &Client {
        &self.0
    }

    /// Closes the connection, which the pool replaces.
    pub(super) fn discard(self) {
        drop(Object::take(self.0));
    }

    /// Begins a transaction; it is rolled back when it is dropped.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_>, tokio_postgres::Error> {
        (**self.0).transaction().await
    }
}
