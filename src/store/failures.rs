//! The part of the store's interface that keeps counts of failures that apps report.

use async_trait::async_trait;

use super::StoreError;
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Confidence, FailureExample, FailureKey, SdkVersion},
        session_sketch::SessionSketch,
    },
};

/// Counts of one row: reports of one kind in one minute, or in one hour after the roll-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureCount {
    /// Beginning of the minute or the hour.
    pub since: UnixMillis,
    pub key: FailureKey,
    pub reports: u64,
    /// Sketch of the distinct sessions that reported.
    pub sessions: SessionSketch,
}

/// Latest report of a cause at an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredExample {
    pub at: UnixMillis,
    pub key: FailureKey,
    pub confidence: Confidence,
    pub example: FailureExample,
}

/// Counts of one node that are written together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureBatch {
    pub counts: Vec<FailureCount>,
    /// At most one for each app and cause.
    pub examples: Vec<StoredExample>,
    /// SDK versions, with the sessions that reported with them.
    pub versions: Vec<(SdkVersion, SessionSketch)>,
}

impl FailureBatch {
    /// Returns true where there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.examples.is_empty() && self.versions.is_empty()
    }
}

/// Operations on counts of failures.
#[async_trait]
pub trait Failures: Send + Sync {
    /// Adds counts to those on record, in one transaction: numbers are added, sketches are merged.
    async fn add_failures(&self, batch: FailureBatch) -> Result<(), StoreError>;

    /// Returns the counts from `since` on, oldest first: minutes, and hours where the minutes were rolled up.
    async fn failures_since(&self, since: UnixMillis) -> Result<Vec<FailureCount>, StoreError>;
}
