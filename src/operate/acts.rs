//! Records of operators' acts that no transaction of the store records: intents and outcomes of acts outside it, acts that
//! changed nothing, and refusals.

use std::{fmt::Display, sync::Arc};

use crate::{
    clock::ClockGuard,
    domain::audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
    store::{Store, StoreError},
};

/// Records of one operator's acts.
#[derive(Clone)]
pub(super) struct Acts {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) actor: Actor,
}

impl Acts {
    /// Returns the event of an act that is done.
    pub(super) fn event(&self, action: AuditAction, target: AuditTarget, why: &str) -> AuditEvent {
        AuditEvent {
            // A record decides nothing, and acts that stop something do not wait for a clock.
            at: self.clock.untrusted_now(),
            actor: self.actor.clone(),
            action,
            target,
            outcome: AuditOutcome::Done,
            why: why.to_owned(),
        }
    }

    /// Records the intent of an act outside the store. Where this fails, the act must not be done.
    pub(super) async fn intend(&self, event: &AuditEvent) -> Result<(), StoreError> {
        self.store.append_events(vec![event.clone().intended()]).await
    }

    /// Records the outcome of an act outside the store. Where this fails, the intent is the last record of the act.
    pub(super) async fn end(&self, event: AuditEvent, outcome: AuditOutcome, because: &str) {
        self.note(event.ended(self.clock.untrusted_now(), outcome, because)).await;
    }

    /// Records that an act changed nothing.
    pub(super) async fn unchanged(&self, action: AuditAction, target: AuditTarget, why: &str) {
        self.note(AuditEvent { outcome: AuditOutcome::Unchanged, ..self.event(action, target, why) }).await;
    }

    /// Records that an act was refused.
    pub(super) async fn refused(&self, action: AuditAction, target: AuditTarget, why: &(impl Display + Sync)) {
        self.note(AuditEvent { outcome: AuditOutcome::Refused, ..self.event(action, target, &why.to_string()) }).await;
    }

    /// Appends what no act waits for.
    async fn note(&self, event: AuditEvent) {
        let (action, outcome) = (event.action.as_str(), event.outcome.as_str());
        if let Err(why) = self.store.append_events(vec![event]).await {
            tracing::warn!(action, outcome, %why, "the audit log does not have this");
        }
    }
}
