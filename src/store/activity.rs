//! The part of the store's interface that counts answers by the minute.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::StoreError;
use crate::{clock::UnixMillis, domain::ids::AppName};

/// Answers of one app in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActivityCount {
    /// Beginning of the minute.
    pub minute: UnixMillis,
    pub app: AppName,
    pub mints: u64,
    pub refreshes: u64,
    /// Requests for a token that were refused, or could not be answered.
    pub refused: u64,
}

/// Operations on counts of answers. They are kept for 8 days.
#[async_trait]
pub trait Activity: Send + Sync {
    /// Adds counts to those on record.
    async fn add_activity(&self, counts: Vec<ActivityCount>) -> Result<(), StoreError>;

    /// Returns the counts from this minute on, oldest first.
    async fn activity_since(&self, minute: UnixMillis) -> Result<Vec<ActivityCount>, StoreError>;
}
