//! Reports on rotations, as JSON for programs and as text for people.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::sources::KeySource;
use crate::{
    clock::UnixMillis,
    domain::{audit::AuditEvent, ids::RingName},
    rotate::plan::{self, Blocker, Forecast, Next, Snapshot, Step},
};

/// Step that was done.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    done: Step,
    /// Text of the step.
    pub what: String,
    /// Reason of the step.
    pub why: String,
}

impl StepReport {
    pub(super) fn new(step: &Step, reason: &str) -> Self {
        Self { done: step.clone(), what: step.to_string(), why: reason.to_owned() }
    }
}

/// Forecast of a rotation.
#[derive(Debug, Serialize)]
pub struct RingPlan {
    pub ring: RingName,
    pub plan: Forecast,
    /// Source of what is known about the keys of each app at Braze.
    pub sources: Vec<KeySource>,
}

/// State of a ring at the end of an operation.
///
/// The order is from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing is left to do.
    Done,
    /// A blocker must end first.
    Waiting,
    /// Braze does not answer for an app.
    BrazeSilent,
}

impl RingPlan {
    /// Returns true where the forecast ends because Braze does not answer for an app.
    pub fn is_silent(&self) -> bool {
        has_silent(&self.plan.stuck)
    }
}

fn has_silent(blockers: &[Blocker]) -> bool {
    blockers.iter().any(|one| matches!(one, Blocker::Silent { .. }))
}

impl Outcome {
    fn of(next: &Next) -> Self {
        match next {
            Next::Idle { .. } => Self::Done,
            Next::Wait { blockers, .. } if has_silent(blockers) => Self::BrazeSilent,
            Next::Wait { .. } | Next::Do { .. } => Self::Waiting,
        }
    }
}

/// Result of an operation that reconciled a ring.
#[derive(Debug)]
pub struct RingOutcome {
    ring: RingName,
    next: Next,
    steps: Vec<StepReport>,
}

impl RingOutcome {
    pub(super) fn new(ring: RingName, next: Next, steps: Vec<StepReport>) -> Self {
        Self { ring, next, steps }
    }

    /// State of the ring.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(&self.next)
    }
}

impl Serialize for RingOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = next_as_json(&self.next);
        value["ring"] = json!(self.ring);
        value["steps"] = json!(self.steps);
        value.serialize(serializer)
    }
}

impl std::fmt::Display for RingOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&next_as_text(&self.ring, &self.next))
    }
}

/// Status of a ring.
#[derive(Debug)]
pub struct RingStatus {
    snapshot: Snapshot,
    next: Next,
    /// Newest lines of its audit log, newest first.
    pub audit_log: Vec<AuditEvent>,
}

/// Key of a ring in a status.
#[derive(Clone, Debug)]
pub struct KeyStatus {
    pub kid: String,
    /// State of the key, and `destroyed` where its private half is.
    pub state: String,
    /// Time at which it entered that state.
    pub since: UnixMillis,
    /// Latest end of a token that a node may have signed with it.
    pub tokens_until: Option<UnixMillis>,
}

impl RingStatus {
    pub(super) fn new(snapshot: Snapshot, audit_log: Vec<AuditEvent>) -> Self {
        Self { next: plan::next(&snapshot), snapshot, audit_log }
    }

    /// State of the ring; [`Outcome::Done`] where no rotation is in progress.
    pub fn outcome(&self) -> Outcome {
        if self.snapshot.goal == crate::domain::rotation::Goal::Idle { Outcome::Done } else { Outcome::of(&self.next) }
    }

    /// First line of the status: name, goal and nodes of the ring.
    pub fn headline(&self) -> String {
        let Snapshot { ring, goal, nodes, .. } = &self.snapshot;
        format!("Ring {ring} ({}), {} live nodes", goal.as_str(), nodes.len())
    }

    /// Keys of the ring.
    pub fn keys(&self) -> impl Iterator<Item = KeyStatus> + '_ {
        self.snapshot.keys.iter().map(|key| {
            let state = key.record.state.as_str();
            KeyStatus {
                kid: key.record.kid.to_string(),
                state: if key.destroyed { format!("{state}, destroyed") } else { state.to_owned() },
                since: key.record.changed,
                tokens_until: key.tokens_until,
            }
        })
    }

    /// Returns the next step, or the blockers, as text.
    pub fn next_as_text(&self) -> String {
        next_as_text(&self.snapshot.ring, &self.next)
    }
}

impl Serialize for RingStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Snapshot { ring, goal, keys, nodes, .. } = &self.snapshot;
        let mut value = next_as_json(&self.next);
        value["ring"] = json!(ring);
        value["goal"] = json!(goal);
        value["keys"] = keys.iter().map(key_as_json).collect();
        value["nodes"] = nodes.iter().map(|node| json!({ "node": node.node, "loaded": node.loaded })).collect();
        value["audit_log"] = json!(self.audit_log);
        value.serialize(serializer)
    }
}

fn key_as_json(key: &plan::KeySnapshot) -> Value {
    json!({
        "kid": key.record.kid, "state": key.record.state, "since": key.record.changed,
        "tokens_until": key.tokens_until, "destroyed": key.destroyed,
    })
}

fn next_as_json(next: &Next) -> Value {
    match next {
        Next::Idle { due } => json!({ "done": true, "waiting": [], "due": due }),
        Next::Do { step, reason } => json!({ "done": false, "next": step, "why": reason, "waiting": [] }),
        Next::Wait { blockers, until } => {
            let texts: Vec<String> = blockers.iter().map(ToString::to_string).collect();
            json!({ "done": false, "waiting": blockers, "texts": texts, "until": until })
        }
    }
}

fn next_as_text(ring: &RingName, next: &Next) -> String {
    match next {
        Next::Idle { due: None } => "Idle: nothing is left to do.".to_owned(),
        Next::Idle { due: Some(due) } => format!("Idle. The next rotation is due at {due}."),
        Next::Do { step, .. } => format!("Next: {step}."),
        Next::Wait { blockers, until } => {
            let mut lines = vec!["Waiting:".to_owned()];
            lines.extend(blockers.iter().map(|blocker| format!("  {blocker}")));
            lines.extend(until.map(|until| {
                format!(
                    "A running service goes on by itself; or run `countersign rotate run --ring {ring}` again from {until}."
                )
            }));
            lines.join("\n")
        }
    }
}
