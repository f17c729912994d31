//! Changes of the service, beside which a rise of failures is shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    clock::UnixMillis,
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome},
        ids::{AppName, RingName},
    },
    store::{ServiceEvent, ServiceEventKind},
};

/// Time before a rise from which changes are shown.
const BEFORE: Duration = Duration::from_hours(1);
/// Time after the beginning of a rise until which they are: its minute, and what is recorded after it took effect.
const AFTER: Duration = Duration::from_mins(1);
/// Largest number of changes that are shown.
const SHOWN: usize = 5;

/// Change of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    pub at: UnixMillis,
    /// Description, with names of this installation.
    pub what: String,
}

/// Returns the changes of this app, its ring and the service before a rise that begins at `begins`, newest first.
pub(super) fn before(
    begins: UnixMillis,
    app: &AppName,
    ring: Option<&RingName>,
    acts: &[AuditEvent],
    events: &[ServiceEvent],
) -> Vec<Change> {
    let is_near = |at: UnixMillis| at >= begins.minus(BEFORE) && at <= begins.plus(AFTER);
    let of_app = |act: &&AuditEvent| {
        let is_of_ring = act.target.ring.as_ref().is_none_or(|of| Some(of) == ring);
        is_of_ring && act.target.app.as_ref().is_none_or(|of| of == app)
    };
    let happened = |act: &&AuditEvent| matches!(act.outcome, AuditOutcome::Done | AuditOutcome::Unknown);
    let acts = acts.iter().filter(|act| is_near(act.at)).filter(of_app).filter(happened);
    let mut changes: Vec<Change> = acts.filter_map(of_act).collect();
    let starts = events.iter().enumerate().filter(|(_, event)| is_near(event.at));
    changes.extend(starts.map(|(at, event)| of_event(event, &events[..at])));
    changes.sort_by(|one, other| (other.at, &one.what).cmp(&(one.at, &other.what)));
    changes.dedup();
    changes.truncate(SHOWN);
    changes
}

/// Change by an act; `None` for an act that no token depends on.
fn of_act(act: &AuditEvent) -> Option<Change> {
    let verb = match act.action {
        AuditAction::Published => "published",
        AuditAction::Activated => "activated",
        AuditAction::MadePrimary => "made primary",
        AuditAction::Withdrawn => "withdrawn",
        AuditAction::Compromised => "declared compromised",
        AuditAction::RolledBack => "made active again",
        AuditAction::Destroyed => "destroyed",
        _ => return None,
    };
    let kid: String = act.target.kid.as_ref().map_or("?", |kid| kid.as_str()).chars().take(8).collect();
    let at_app = act.target.app.as_ref().map_or_else(String::new, |app| format!(" at app {app}"));
    Some(Change { at: act.at, what: format!("key {kid}… {verb}{at_app}") })
}

fn of_event(event: &ServiceEvent, earlier: &[ServiceEvent]) -> Change {
    let before = earlier.last().map(|earlier| earlier.version.as_str());
    let what = match (event.kind, before) {
        (ServiceEventKind::Started, Some(before)) if before != event.version => {
            format!("version {} started after {before}", event.version)
        }
        (ServiceEventKind::Started, _) => format!("version {} started", event.version),
        (ServiceEventKind::Reloaded, _) => "configuration reloaded".to_owned(),
    };
    Change { at: event.at, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{Actor, AuditTarget};

    const MINUTE: i64 = 60_000;

    fn act(minute: i64, action: AuditAction, app: Option<&str>) -> AuditEvent {
        AuditEvent {
            at: UnixMillis(minute * MINUTE),
            actor: Actor::service(),
            action,
            target: AuditTarget {
                ring: Some("main".parse().unwrap()),
                app: app.map(|app| app.parse().unwrap()),
                ..AuditTarget::default()
            },
            outcome: AuditOutcome::Done,
            why: String::new(),
        }
    }

    fn event(minute: i64, kind: ServiceEventKind, version: &str) -> ServiceEvent {
        let (node, version) = ("n".to_owned(), version.to_owned());
        ServiceEvent { at: UnixMillis(minute * MINUTE), node, kind, version }
    }

    #[test]
    fn changes_are_those_of_the_hour_before_and_of_the_app() {
        let acts = [
            act(30, AuditAction::Activated, None),
            act(100, AuditAction::Withdrawn, Some("web")),
            act(100, AuditAction::Withdrawn, Some("ios")),
            act(101, AuditAction::Begun, None),
            act(120, AuditAction::Activated, None),
        ];
        let events = [
            event(5, ServiceEventKind::Started, "1.0"),
            event(99, ServiceEventKind::Started, "1.1"),
            event(100, ServiceEventKind::Reloaded, "1.1"),
        ];
        let ring = "main".parse().unwrap();
        let found = before(UnixMillis(101 * MINUTE), &"web".parse().unwrap(), Some(&ring), &acts, &events);
        let found: Vec<_> = found.iter().map(|change| (change.at.0 / MINUTE, change.what.as_str())).collect();
        assert_eq!(
            found,
            [
                (100, "configuration reloaded"),
                (100, "key ?… withdrawn at app web"),
                (99, "version 1.1 started after 1.0")
            ]
        );
        let other = "other".parse().unwrap();
        let found = before(UnixMillis(101 * MINUTE), &"web".parse().unwrap(), Some(&other), &acts, &[]);
        assert_eq!(found, []);
    }
}
