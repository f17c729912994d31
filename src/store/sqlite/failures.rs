//! Counts of failures that apps report.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
    clock::UnixMillis,
    store::{FailureCount, Failures, StoreError},
};

#[async_trait]
impl Failures for SqliteStore {
    async fn add_failures(&self, _counts: Vec<FailureCount>) -> Result<(), StoreError> {
        todo!()
    }

    async fn failures_since(&self, _since: UnixMillis) -> Result<Vec<FailureCount>, StoreError> {
        todo!()
    }
}
