//! Authentication of operators by their tokens, and records of refused ones.

use super::{OperationError, Operator};
use crate::{
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        operator::{OperatorRecord, OperatorToken},
    },
    store::StoreError,
};

/// Outcome of the authentication of an operator.
#[derive(Debug)]
pub enum Authentication {
    /// No operator is on record whose token would be accepted.
    NobodyOnRecord,
    /// The token is not the one of a live operator; callers do not learn the reason.
    Refused,
    /// Operator whose token it is.
    Accepted(Box<OperatorRecord>),
}

impl Operator {
    /// Authenticates an operator by the records as they are now, so that a revocation holds at once.
    pub async fn authenticate(&self, presented: Option<&str>) -> Result<Authentication, OperationError> {
        let records = self.store.operators().await?;
        let now = self.clock.untrusted_now();
        if !records.iter().any(|record| record.is_live(now)) {
            return Ok(Authentication::NobodyOnRecord);
        }
        let Some(token) = presented.and_then(|text| OperatorToken::parse(text).ok()) else {
            return Ok(Authentication::Refused);
        };
        let hash = token.hash();
        // The id is public; the secret is compared in constant time.
        let own = records.into_iter().find(|record| record.token == token.id && record.hash.matches(&hash));
        let Some(record) = own else { return Ok(Authentication::Refused) };
        // A token that does not expire needs no clock.
        let now = if record.expires.is_some() { self.clock.trusted_now()? } else { now };
        Ok(if record.is_live(now) { Authentication::Accepted(Box::new(record)) } else { Authentication::Refused })
    }

    /// Returns true where an operator is on record whose token is accepted.
    pub async fn has_operators(&self) -> Result<bool, OperationError> {
        let now = self.clock.untrusted_now();
        Ok(self.store.operators().await?.iter().any(|record| record.is_live(now)))
    }

    /// Records that credentials of operators were refused. `why` names the address and their number, never a
    /// credential.
    pub async fn record_refused_credentials(&self, request_id: Option<&str>, why: String) -> Result<(), StoreError> {
        let name = "unknown operator";
        let actor = match request_id {
            Some(id) => Actor::of_request(name, id),
            None => Actor::named(name),
        };
        let event = AuditEvent {
            at: self.clock.untrusted_now(),
            actor,
            action: AuditAction::OperatorRefused,
            target: AuditTarget::default(),
            outcome: AuditOutcome::Refused,
            why,
        };
        self.store.append_events(vec![event]).await
    }
}
