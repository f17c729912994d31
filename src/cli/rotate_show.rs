//! Rotations in words and as JSON.

use serde_json::{Value, json};

use super::output::{table, time_or_dash};
use crate::{
    app::plan::{self, Next},
    domain::ids::RingName,
};

pub(super) fn as_text(ring: &RingName, forecast: &plan::Forecast) -> String {
    let mut lines = vec![format!("Ring {ring}: `countersign rotate run --ring {ring}` would")];
    for line in &forecast.lines {
        let (at, what, why) = (line.at, &line.what, &line.why);
        lines.push(if line.waits { format!("  {at}  … {what}") } else { format!("  {at}  {what}: {why}") });
    }
    if !forecast.stuck.is_empty() {
        lines.push("  … and wait there until somebody helps".to_owned());
    }
    if let Some(due) = forecast.due {
        lines.push(format!("The next rotation by policy: {due}"));
    }
    lines.join("\n")
}

pub(super) fn next_as_json(next: &Next) -> Value {
    match next {
        Next::Idle { due } => json!({ "done": true, "waiting": [], "due": due }),
        Next::Do { step, reason } => json!({ "done": false, "next": step, "why": reason, "waiting": [] }),
        Next::Wait { blockers, until } => {
            let texts: Vec<String> = blockers.iter().map(ToString::to_string).collect();
            json!({ "done": false, "waiting": blockers, "texts": texts, "until": until })
        }
    }
}

pub(super) fn next_as_text(next: &Next) -> String {
    match next {
        Next::Idle { due: None } => "At rest: nothing is left to do.".to_owned(),
        Next::Idle { due: Some(due) } => format!("At rest. The next rotation is due at {due}."),
        Next::Do { step, .. } => format!("Next: {step}."),
        Next::Wait { blockers, until } => {
            let mut lines = vec!["Waiting:".to_owned()];
            lines.extend(blockers.iter().map(|blocker| format!("  {blocker}")));
            lines.extend(until.map(|until| {
                format!("A running service goes on by itself; or `countersign rotate run` from {until}.")
            }));
            lines.join("\n")
        }
    }
}

pub(super) fn key_as_json(key: &plan::KeySnapshot) -> Value {
    json!({
        "kid": key.record.kid, "state": key.record.state, "since": key.record.changed,
        "tokens_until": key.tokens_until, "destroyed": key.destroyed,
    })
}

pub(super) fn status_text(
    ring: &RingName,
    snapshot: &plan::Snapshot,
    next: &Next,
    audit_log: &[crate::domain::rotation::AuditEvent],
) -> String {
    let keys = snapshot.keys.iter().map(|key| {
        let state = if key.destroyed {
            format!("{}, destroyed", key.record.state.as_str())
        } else {
            key.record.state.as_str().to_owned()
        };
        [key.record.kid.to_string(), state, key.record.changed.to_string(), time_or_dash(key.tokens_until)]
    });
    let audit_log = audit_log.iter().map(|event| {
        let kid = event.kid.as_ref().map_or_else(String::new, ToString::to_string);
        let app = event.app.as_ref().map_or_else(String::new, ToString::to_string);
        [event.at.to_string(), event.action.as_str().to_owned(), kid, app, event.actor.clone(), event.why.clone()]
    });
    format!(
        "Ring {ring} ({}), {} live nodes\n{}\n\n{}\n\nLast in the audit_log:\n{}",
        snapshot.goal.as_str(),
        snapshot.nodes.len(),
        table(&["KID", "STATE", "SINCE", "TOKENS UNTIL"], keys),
        next_as_text(next),
        table(&["AT", "ACTION", "KID", "APP", "ACTOR", "WHY"], audit_log),
    )
}
