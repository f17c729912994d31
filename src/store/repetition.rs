//! Rule for events of the audit log that are left out, because a step was tried again.

use crate::domain::audit::{AuditAction, AuditEvent};

/// Parts of the last event about the same key at the same app.
pub(super) struct LastEvent<'a> {
    pub(super) action: &'a str,
    pub(super) outcome: &'a str,
    pub(super) why: &'a str,
    pub(super) actor: &'a str,
}

/// Returns false for an event that is always written: a refusal, or one about no key.
pub(super) fn may_repeat(event: &AuditEvent) -> bool {
    event.action != AuditAction::Refused && event.target.ring.is_some() && event.target.kid.is_some()
}

/// Returns whether an event repeats the last one: the same action with the same outcome for the same reason. What another
/// actor saw or attested is none.
pub(super) fn repeats(event: &AuditEvent, last: &LastEvent<'_>) -> bool {
    let by_same = event.action != AuditAction::Published || last.actor == event.actor.name;
    let is_same = last.action == event.action.as_str() && last.outcome == event.outcome.as_str();
    may_repeat(event) && is_same && last.why == event.why && by_same
}
