//! Operations on the store: its schema, a backup, and the end of every session after a restore.

use std::{path::PathBuf, sync::Arc};

use crate::{
    clock::Clock,
    store::{Schema, Store, StoreError},
};

/// Operators' operations on the store.
pub struct StoreUpkeep {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
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

    /// Ends every session of every app. A restored backup needs this: some of its sessions may have been ended after it
    /// was made.
    pub async fn end_every_session(&self) -> Result<(), StoreError> {
        self.store.end_sessions_of_app(None, self.clock.now()).await
    }
}
