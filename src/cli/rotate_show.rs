//! Rotations as text for people.

use super::output::{table, time_or_dash};
use crate::operate::{RingPlan, RingStatus};

/// Describes a plan, with the sources of what it says about Braze; `program` begins the command that carries it out.
pub(super) fn plan_text(ring_plan: &RingPlan, program: &str) -> String {
    let RingPlan { ring, plan, sources } = ring_plan;
    let mut lines: Vec<String> = sources.iter().map(ToString::to_string).collect();
    lines.push(format!("Ring {ring}: `{program} rotate run --ring {ring}` would, at these times at the earliest,"));
    for line in &plan.lines {
        let (at, what, why) = (line.at, &line.what, &line.why);
        lines.push(if line.waits { format!("  {at}  … {what}") } else { format!("  {at}  {what}: {why}") });
    }
    if ring_plan.is_silent() {
        lines.push("  … and go on when Braze answers".to_owned());
    } else if !plan.stuck.is_empty() {
        lines.push("  … and wait for an operator".to_owned());
    }
    if let Some(due) = plan.due {
        lines.push(format!("The next rotation by policy: {due}"));
    }
    lines.join("\n")
}

pub(super) fn status_text(status: &RingStatus) -> String {
    let keys = status
        .keys
        .iter()
        .map(|key| [key.kid.to_string(), key.state_as_text(), key.since.to_string(), time_or_dash(key.tokens_until)]);
    let events = status.audit_log.iter().map(|event| {
        let kid = event.target.kid.as_ref().map_or_else(String::new, ToString::to_string);
        let app = event.target.app.as_ref().map_or_else(String::new, ToString::to_string);
        let (action, outcome) = (event.action.as_str().to_owned(), event.outcome.as_str().to_owned());
        [event.at.to_string(), action, outcome, kid, app, event.actor.name.clone(), event.why.clone()]
    });
    format!(
        "{}\n{}\n\n{}\n\nAudit log, newest first:\n{}",
        status.headline(),
        table(&["KID", "STATE", "SINCE", "TOKENS UNTIL"], keys),
        status.next_as_text(),
        table(&["AT", "ACTION", "OUTCOME", "KID", "APP", "ACTOR", "WHY"], events),
    )
}
