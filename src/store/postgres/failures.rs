//! Counts of failures that apps report.

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    clock::UnixMillis,
    store::{FailureBatch, FailureCount, Failures, StoreError},
};

#[async_trait]
impl Failures for PostgresStore {
    async fn add_failures(&self, _batch: FailureBatch) -> Result<(), StoreError> {
        todo!()
    }

    async fn failures_since(&self, _since: UnixMillis) -> Result<Vec<FailureCount>, StoreError> {
        todo!()
    }
}
