//! Operations on the store: its schema and a backup.

use std::{path::PathBuf, sync::Arc};

use crate::store::{Schema, Store, StoreError};

/// Operators' operations on the store.
pub struct StoreUpkeep {
    pub(super) store: Arc<dyn Store>,
}

impl StoreUpkeep {
    /// Version of the store's tables, and the newest that this build knows.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        self.store.schema().await
    }

    /// Copies the whole store to a file that must not exist yet. A server may be running on the store.
    pub async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        self.store.backup(to).await
    }
}
