//! History of a key: the spans of its states, from its record and the audit log. Pure.

use super::svg::LaneSpan;
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome},
        key::{KeyRecord, KeyState},
    },
};

/// Returns the spans of a key's states. `events` are those of its ring, oldest first; where the log does not reach back
/// far enough, only what is certain is returned.
pub(super) fn spans(key: &KeyRecord, events: &[AuditEvent]) -> Vec<LaneSpan> {
    let mut changes = changes(key, events);
    if changes.last().is_none_or(|(_, state)| *state != key.state) {
        // The record is certain; what the log has of a later time is not about this state.
        changes.retain(|(at, _)| *at < key.changed);
        changes.push((key.changed, key.state));
    }
    let ends = changes.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
    let spans = changes.iter().zip(ends).map(|((from, state), until)| LaneSpan { state: *state, from: *from, until });
    spans.filter(|span| span.until.is_none_or(|until| span.from < until)).collect()
}

/// Times at which the key entered its states.
fn changes(key: &KeyRecord, events: &[AuditEvent]) -> Vec<(UnixMillis, KeyState)> {
    let mut changes: Vec<(UnixMillis, KeyState)> = Vec::new();
    let done = events.iter().filter(|event| event.outcome == AuditOutcome::Done && event.at >= key.created);
    for event in done {
        let now = changes.last().map(|(_, state)| *state);
        if let Some(state) = state_after(key, event, now).filter(|state| now != Some(*state)) {
            changes.push((event.at, state));
        }
    }
    let is_known_from_the_start = changes.first().is_none_or(|(_, state)| *state != KeyState::Pending)
        && (!changes.is_empty() || key.state == KeyState::Pending);
    if is_known_from_the_start {
        changes.insert(0, (key.created, KeyState::Pending));
    }
    changes
}

/// State of the key after an event; `None` where the event does not change it.
fn state_after(key: &KeyRecord, event: &AuditEvent, now: Option<KeyState>) -> Option<KeyState> {
    let is_of_key = event.target.kid.as_ref() == Some(&key.kid);
    match event.action {
        AuditAction::Created if is_of_key => Some(KeyState::Pending),
        // At one app it is a publication; for all of them it is the state.
        AuditAction::Published if is_of_key && event.target.app.is_none() => Some(KeyState::Published),
        AuditAction::Activated if is_of_key => Some(KeyState::Active),
        AuditAction::Activated if now == Some(KeyState::Active) => Some(KeyState::Retiring),
        AuditAction::Retired if is_of_key => Some(KeyState::Retired),
        AuditAction::Compromised if is_of_key => Some(KeyState::Compromised),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        audit::{Actor, AuditTarget},
        ids::Kid,
    };

    fn kid(n: u8) -> Kid {
        Kid::from_thumbprint(&[n; 32])
    }

    fn record(n: u8, state: KeyState, changed: i64) -> KeyRecord {
        KeyRecord {
            kid: kid(n),
            ring: "main".parse().unwrap(),
            state,
            bits: 2048,
            public_key: String::new(),
            custody: "file".to_owned(),
            locator: String::new(),
            created: UnixMillis(0),
            changed: UnixMillis(changed),
        }
    }

    fn event(at: i64, n: u8, action: AuditAction) -> AuditEvent {
        let target = AuditTarget { kid: Some(kid(n)), ring: Some("main".parse().unwrap()), ..AuditTarget::default() };
        let (actor, outcome) = (Actor::service(), AuditOutcome::Done);
        AuditEvent { at: UnixMillis(at), actor, action, target, outcome, why: String::new() }
    }

    fn shown(key: &KeyRecord, events: &[AuditEvent]) -> Vec<(&'static str, i64, Option<i64>)> {
        let shown = |span: LaneSpan| (span.state.as_str(), span.from.0, span.until.map(|until| until.0));
        spans(key, events).into_iter().map(shown).collect()
    }

    #[test]
    fn a_whole_life_is_the_log_of_the_ring() {
        let at_app = AuditEvent {
            target: AuditTarget { app: Some("web".parse().unwrap()), ..event(5, 1, AuditAction::Published).target },
            ..event(5, 1, AuditAction::Published)
        };
        let events = [
            event(0, 1, AuditAction::Created),
            at_app,
            event(10, 1, AuditAction::Published),
            event(20, 1, AuditAction::Activated),
            event(30, 2, AuditAction::Activated),
            event(40, 1, AuditAction::Retired),
        ];
        let expected = [
            ("pending", 0, Some(10)),
            ("published", 10, Some(20)),
            ("active", 20, Some(30)),
            ("retiring", 30, Some(40)),
            ("retired", 40, None),
        ];
        assert_eq!(shown(&record(1, KeyState::Retired, 40), &events), expected);
    }

    #[test]
    fn a_rollback_and_a_compromise_are_spans_of_their_own() {
        let events = [
            event(20, 1, AuditAction::Activated),
            event(30, 2, AuditAction::Activated),
            event(35, 1, AuditAction::Activated),
            event(50, 1, AuditAction::Compromised),
        ];
        let expected = [
            ("pending", 0, Some(20)),
            ("active", 20, Some(30)),
            ("retiring", 30, Some(35)),
            ("active", 35, Some(50)),
            ("compromised", 50, None),
        ];
        assert_eq!(shown(&record(1, KeyState::Compromised, 50), &events), expected);
    }

    #[test]
    fn without_a_log_only_the_present_state_is_certain() {
        assert_eq!(shown(&record(1, KeyState::Active, 20), &[]), [("active", 20, None)]);
        assert_eq!(shown(&record(1, KeyState::Pending, 0), &[]), [("pending", 0, None)]);
    }

    #[test]
    fn the_record_overrules_the_log() {
        let events = [event(20, 1, AuditAction::Activated), event(60, 1, AuditAction::Retired)];
        let expected = [("pending", 0, Some(20)), ("active", 20, Some(50)), ("compromised", 50, None)];
        assert_eq!(shown(&record(1, KeyState::Compromised, 50), &events), expected);
    }

    #[test]
    fn refused_acts_change_nothing() {
        let refused = AuditEvent { outcome: AuditOutcome::Refused, ..event(20, 1, AuditAction::Activated) };
        assert_eq!(shown(&record(1, KeyState::Pending, 0), &[refused]), [("pending", 0, None)]);
    }
}
