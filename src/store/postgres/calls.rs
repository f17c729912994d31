//! Statements on behalf of a caller: measured, and finished even if the caller stops waiting.

use std::sync::Arc;

use tokio_postgres::Row;

use super::{
    PostgresStore,
    database::{Database, Param},
    transactions::Failure,
};
use crate::{
    store::StoreError,
    telemetry::{Stopwatch, StoreWork},
};

impl PostgresStore {
    /// Runs a statement that only reads, and returns its rows.
    pub(super) async fn read(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.database.read(sql, params).await
    }

    /// Runs a statement that writes. Returns whether it has a row, which is to say that it wrote something.
    pub(super) async fn has_written(&self, sql: &str, params: &[Param<'_>]) -> Result<bool, StoreError> {
        Ok(!self.database.write(sql, params).await?.is_empty())
    }

    /// Runs a write of its own. It is finished even if the caller stops waiting.
    pub(super) async fn write<T, F>(&self, work: impl FnOnce(Arc<Database>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.database.may_write()?;
        let watch = Stopwatch::start();
        let done = tokio::spawn(work(Arc::clone(&self.database))).await;
        self.database.metrics.store_worked(StoreWork::Write, watch.elapsed());
        let answer = done.map_err(|why| self.database.name.unavailable(why))?;
        answer.inspect(|_| self.database.metrics.committed(1)).map_err(|why| why.of(&self.database.name))
    }
}
