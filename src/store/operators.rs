//! The part of the store's interface that keeps operators, their sessions of the console, and their creations.

use async_trait::async_trait;

use super::StoreError;
use crate::{
    clock::UnixMillis,
    domain::{
        audit::Actor,
        operator::{ConsoleSession, OperatorName, OperatorRecord, SecretHash},
    },
};

/// Request that creates something, as `Idempotency-Key` names it. It is remembered for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationRequest {
    /// Name of the actor who asks.
    pub actor: String,
    /// Value of `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of method, path and body.
    pub request: [u8; 32],
    pub at: UnixMillis,
}

/// State of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreationState {
    /// It was not asked for before; it is on record now as begun.
    New,
    /// It is begun, and its outcome is not on record.
    Begun,
    /// It is done; the id of what it made.
    Done { id: String },
    /// The key was used for another request.
    OtherRequest,
}

impl CreationState {
    /// State of a creation on record: of the same request, or of another; with the id of what it made.
    pub(super) fn found(is_same: bool, made: Option<String>) -> Self {
        match made {
            _ if !is_same => Self::OtherRequest,
            Some(id) => Self::Done { id },
            None => Self::Begun,
        }
    }
}

/// Operations on operators. A record holds the hash of a secret, never the secret.
#[async_trait]
pub trait Operators: Send + Sync {
    /// Returns every operator on record, oldest first.
    async fn operators(&self) -> Result<Vec<OperatorRecord>, StoreError>;

    /// Puts an operator on record. Returns `false` where a live one has that name at the time of its creation.
    async fn insert_operator(&self, operator: OperatorRecord, actor: &Actor) -> Result<bool, StoreError>;

    /// Revokes the operator of this name for good, and ends the sessions of the console that the token began. One that
    /// has expired is revoked, too: the clock may be wrong. Returns `false` where none is left to be revoked.
    async fn revoke_operator(&self, name: &OperatorName, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError>;

    /// Puts a session of the console on record, with the event that an operator logged in; deletes expired sessions,
    /// which were created at or before `expired`. Returns `false`, and writes nothing, where the token's operator is
    /// revoked or not on record.
    async fn begin_console_session(
        &self,
        session: ConsoleSession,
        expired: UnixMillis,
        actor: &Actor,
    ) -> Result<bool, StoreError>;

    /// Returns the session of the console with this hash, unless its operator is revoked.
    async fn console_session(&self, hash: SecretHash) -> Result<Option<ConsoleSession>, StoreError>;

    /// Records the time at which a session of the console was used last.
    async fn use_console_session(&self, hash: SecretHash, now: UnixMillis) -> Result<(), StoreError>;

    /// Ends a session of the console.
    async fn end_console_session(&self, hash: SecretHash) -> Result<(), StoreError>;

    /// Begins a creation, unless one of this actor and key is on record that was asked for after `forgotten`.
    async fn begin_creation(
        &self,
        request: CreationRequest,
        forgotten: UnixMillis,
    ) -> Result<CreationState, StoreError>;

    /// Records what a creation made; `None` where it failed and may be asked for again.
    async fn end_creation(&self, actor: &str, key: &str, id: Option<&str>) -> Result<(), StoreError>;
}
