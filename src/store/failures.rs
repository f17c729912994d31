//! The part of the store's interface that keeps counts of failures that apps report.

use async_trait::async_trait;

use super::StoreError;
use crate::{clock::UnixMillis, domain::failure::FailureKey};

/// Counts of one row: reports of one kind in one minute, or in one hour after the roll-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureCount {
    /// Beginning of the minute or the hour.
    pub since: UnixMillis,
    pub key: FailureKey,
    pub reports: u64,
    /// Sketch of the distinct sessions that reported; two sketches merge, and none holds an id or a hash.
    pub sessions: Vec<u8>,
}

/// Operations on counts of failures.
#[async_trait]
pub trait Failures: Send + Sync {
    /// Adds counts to those on record, in one transaction: numbers are added, sketches are merged.
    async fn add_failures(&self, counts: Vec<FailureCount>) -> Result<(), StoreError>;

    /// Returns the counts from `since` on, oldest first: minutes, and hours where the minutes were rolled up.
    async fn failures_since(&self, since: UnixMillis) -> Result<Vec<FailureCount>, StoreError>;
}
