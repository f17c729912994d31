//! Rule for events of the audit log that are left out, because a step was tried again.

use crate::domain::audit::{AuditAction, AuditEvent};

/// Parts of the last event about the same key at the same app.
pub(super) struct LastEvent<'a> {
    pub(super) action: &'a str,
    pub(super) why: &'a str,
    pub(super) actor: &'a str,
}

/// Returns false for an event that is always written: a refusal, or one about no key.
pub(super) fn may_repeat(event: &AuditEvent) -> bool {
    event.action != AuditAction::Refused && event.target.kid.is_some()
}

/// Returns whether an event repeats the last one: the same action for the same reason. What another actor saw or attested
/// is none.
pub(super) fn repeats(event: &AuditEvent, last: &LastEvent<'_>) -> bool {
    let by_same = event.action != AuditAction::Published || last.actor == event.actor.name;
    may_repeat(event) && last.action == event.action.as_str() && last.why == event.why && by_same
}
