//! The table `activity`.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
    clock::UnixMillis,
    store::{Activity, ActivityCount, StoreError},
};

#[async_trait]
impl Activity for SqliteStore {
    async fn add_activity(&self, _counts: Vec<ActivityCount>) -> Result<(), StoreError> {
        todo!()
    }

    async fn activity_since(&self, _minute: UnixMillis) -> Result<Vec<ActivityCount>, StoreError> {
        todo!()
    }
}
