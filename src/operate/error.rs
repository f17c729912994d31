//! The error of every operation, with the kind by which callers tell one from another.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{AuditOperationError, CeremonyError, ClientError, RingError, UnknownApp, UnknownRing, UserError};
use crate::{
    audit::AuditError, clock::ClockStopped, custody::CustodyError, rotate::RotateError, secret::NoEntropy,
    store::StoreError,
};

/// Kind of an error of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OperationErrorKind {
    /// What was asked for cannot be: a malformed or impossible request.
    Invalid,
    /// There is no such key, app, ring, client or operator.
    NotFound,
    /// The state does not allow it, or changed at the same moment.
    Conflict,
    /// The operator may not do it.
    Forbidden,
    /// The store, Braze or custody is out of reach, or the clock is not trusted: later it may succeed.
    Unavailable,
    /// It failed.
    Failed,
}

/// Error of an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OperationError {
    pub kind: OperationErrorKind,
    /// The cause, and what to do about it.
    pub message: String,
}

impl OperationError {
    /// Makes an error.
    pub fn new(kind: OperationErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Error with the causes of another one.
    fn of(kind: OperationErrorKind, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self::new(kind, causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}

use OperationErrorKind::{Conflict, Failed, Invalid, NotFound, Unavailable};

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        Self::of(if error.is_outage() { Unavailable } else { Failed }, &error)
    }
}

impl From<ClockStopped> for OperationError {
    fn from(error: ClockStopped) -> Self {
        Self::of(Unavailable, &error)
    }
}

impl From<NoEntropy> for OperationError {
    fn from(error: NoEntropy) -> Self {
        Self::of(Unavailable, &error)
    }
}

impl From<UnknownApp> for OperationError {
    fn from(error: UnknownApp) -> Self {
        Self::of(NotFound, &error)
    }
}

impl From<UnknownRing> for OperationError {
    fn from(error: UnknownRing) -> Self {
        Self::of(NotFound, &error)
    }
}

impl From<CeremonyError> for OperationError {
    fn from(error: CeremonyError) -> Self {
        let kind = match &error {
            CeremonyError::NoSuchKey(_) | CeremonyError::NoOrphan(_) | CeremonyError::UnknownRing(_) => NotFound,
            CeremonyError::EmptyId
            | CeremonyError::TooShort(_)
            | CeremonyError::Ambiguous { .. }
            | CeremonyError::Custody(CustodyError::Bits(_)) => Invalid,
            CeremonyError::Known(_)
            | CeremonyError::NotHeld { .. }
            | CeremonyError::Moving
            | CeremonyError::Raced
            | CeremonyError::State(_) => Conflict,
            CeremonyError::Clock(_) => Unavailable,
            CeremonyError::Store(error) if error.is_outage() => Unavailable,
            CeremonyError::Store(_) | CeremonyError::Import(_) | CeremonyError::Custody(_) => Failed,
        };
        Self::of(kind, &error)
    }
}

impl From<RingError> for OperationError {
    fn from(error: RingError) -> Self {
        match error {
            RingError::UnknownRing(error) => error.into(),
            RingError::UnknownApp(error) => error.into(),
            RingError::Store(error) | RingError::Rotate(RotateError::Store(error)) => error.into(),
            RingError::Rotate(error) => Self::of(Conflict, &error),
        }
    }
}

impl From<ClientError> for OperationError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::TooManyLive { .. } => Self::of(Conflict, &error),
            ClientError::NotLive { .. } | ClientError::UnknownApp(_) => Self::of(NotFound, &error),
            ClientError::Clock(error) => error.into(),
            ClientError::Store(error) => error.into(),
            ClientError::Entropy(error) => error.into(),
        }
    }
}

impl From<UserError> for OperationError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::UnknownApp(error) => error.into(),
            UserError::Clock(error) => error.into(),
            UserError::Store(error) => error.into(),
        }
    }
}

impl From<AuditOperationError> for OperationError {
    fn from(error: AuditOperationError) -> Self {
        match error {
            AuditOperationError::Store(error) => error.into(),
            AuditOperationError::Clock(error) => error.into(),
            AuditOperationError::Audit(AuditError::Fork(_) | AuditError::Forked(_)) => Self::of(Conflict, &error),
            AuditOperationError::Audit(_) | AuditOperationError::Output(_) => Self::of(Failed, &error),
        }
    }
}
