//! The tables `operators`, `console_sessions` and `creations`.

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    clock::UnixMillis,
    domain::{
        audit::Actor,
        operator::{ConsoleSession, OperatorName, OperatorRecord, SecretHash},
    },
    store::{CreationRequest, CreationState, Operators, StoreError},
};

#[async_trait]
impl Operators for PostgresStore {
    async fn operators(&self) -> Result<Vec<OperatorRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn insert_operator(&self, _operator: OperatorRecord, _actor: &Actor) -> Result<bool, StoreError> {
        todo!()
    }

    async fn revoke_operator(
        &self,
        _name: &OperatorName,
        _now: UnixMillis,
        _actor: &Actor,
    ) -> Result<bool, StoreError> {
        todo!()
    }

    async fn begin_console_session(
        &self,
        _session: ConsoleSession,
        _expired: UnixMillis,
        _actor: &Actor,
    ) -> Result<(), StoreError> {
        todo!()
    }

    async fn console_session(&self, _hash: SecretHash) -> Result<Option<ConsoleSession>, StoreError> {
        todo!()
    }

    async fn use_console_session(&self, _hash: SecretHash, _now: UnixMillis) -> Result<(), StoreError> {
        todo!()
    }

    async fn end_console_session(&self, _hash: SecretHash) -> Result<(), StoreError> {
        todo!()
    }

    async fn begin_creation(
        &self,
        _request: CreationRequest,
        _forgotten: UnixMillis,
    ) -> Result<CreationState, StoreError> {
        todo!()
    }

    async fn end_creation(&self, _actor: &str, _key: &str, _id: Option<&str>) -> Result<(), StoreError> {
        todo!()
    }
}
