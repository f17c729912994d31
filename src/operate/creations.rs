//! Creations that may be asked for again, by the value of `Idempotency-Key`.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use super::{OperationError, Operator, error::OperationErrorKind};
use crate::store::{CreationRequest, CreationState};

/// Time for which a creation is remembered.
const MEMORY: Duration = Duration::from_hours(24);

/// Request that creates something, by the parts that a repetition has in common with it.
#[derive(Clone, Copy, Debug)]
pub struct RepeatableRequest<'a> {
    /// Value of `Idempotency-Key`.
    pub key: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub body: &'a [u8],
}

/// Earlier request with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// It made what has this id.
    Done { id: String },
    /// Its outcome is not known.
    Begun,
    /// It was another request.
    OtherRequest,
}

impl RepeatableRequest<'_> {
    /// SHA-256 of the method, the path and the body.
    fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for part in [self.method.as_bytes(), b" ", self.path.as_bytes(), b"\n", self.body] {
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

impl Operator {
    /// Begins a creation of this operator. Returns the earlier request with this key, where there is one: nothing must
    /// be created then.
    pub async fn begin_creation(&self, request: RepeatableRequest<'_>) -> Result<Option<Repetition>, OperationError> {
        let now = self.clock.trusted_now()?;
        let creation = CreationRequest {
            actor: self.actor.name.clone(),
            key: request.key.to_owned(),
            request: request.digest(),
            at: now,
        };
        Ok(match self.store.begin_creation(creation, now.minus(MEMORY)).await? {
            CreationState::New => None,
            CreationState::Begun => Some(Repetition::Begun),
            CreationState::Done { id } => Some(Repetition::Done { id }),
            CreationState::OtherRequest => Some(Repetition::OtherRequest),
        })
    }

    /// Records the outcome of a creation: the id of what it made, or its error. Where it may have been made all the
    /// same, the creation stays begun.
    pub async fn end_creation(&self, key: &str, outcome: Result<&str, OperationErrorKind>) {
        let id = match outcome {
            Ok(id) => Some(id),
            Err(OperationErrorKind::Unavailable | OperationErrorKind::Failed) => return,
            Err(_) => None,
        };
        if let Err(error) = self.store.end_creation(&self.actor.name, key, id).await {
            tracing::warn!(%error, "the outcome of a creation is not on record: its Idempotency-Key stays in use");
        }
    }
}
