//! The audit log's leaves, head, checkpoints and key.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
    domain::audit::AuditEvent,
    store::{AuditHead, AuditLeaf, AuditLog, SavedCheckpoint, StoreError},
};

#[async_trait]
impl AuditLog for SqliteStore {
    async fn append_events(&self, _events: Vec<AuditEvent>) -> Result<(), StoreError> {
        todo!()
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        todo!()
    }

    async fn audit_leaves(&self, _from: u64, _limit: u32) -> Result<Vec<AuditLeaf>, StoreError> {
        todo!()
    }

    async fn audit_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }

    async fn replace_audit_key(
        &self,
        _from: Option<Vec<u8>>,
        _to: Vec<u8>,
        _event: Option<AuditEvent>,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    async fn save_checkpoint(&self, _checkpoint: SavedCheckpoint) -> Result<(), StoreError> {
        todo!()
    }

    async fn checkpoints(&self, _limit: u32) -> Result<Vec<SavedCheckpoint>, StoreError> {
        todo!()
    }

    async fn begin_epoch(&self, _from: AuditHead, _event: AuditEvent) -> Result<bool, StoreError> {
        todo!()
    }

    async fn report_fork(&self, _description: &str) -> Result<(), StoreError> {
        todo!()
    }
}
