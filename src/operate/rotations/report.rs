//! Reports on rotations, as JSON for programs and as text for people. The text is made of what the JSON holds, so that
//! a report that another process made reads the same.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{next_step, sources::KeySource};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::AuditEvent,
        ids::{Kid, RingName},
        key::KeyState,
        rotation::Goal,
    },
    rotate::plan::{self, Blocker, Forecast, Next, Snapshot, Step},
};

/// Step that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepReport {
    pub done: Step,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RingOutcome {
    pub ring: RingName,
    /// Steps that were done.
    pub steps: Vec<StepReport>,
    /// Next step, or the blockers.
    #[serde(flatten, with = "next_step")]
    #[schema(value_type = next_step::Fields)]
    pub next: Next,
}

impl RingOutcome {
    pub(super) fn new(ring: RingName, next: Next, steps: Vec<StepReport>) -> Self {
        Self { ring, steps, next }
    }

    /// State of the ring.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(&self.next)
    }

    /// Time from `now` until it is worth reconciling again; `None` where there is nothing to wait for.
    pub fn pause(&self, now: UnixMillis) -> Option<Duration> {
        pause(&self.next, now)
    }
}

/// Time until it is worth reconciling again; `None` where there is nothing to wait for.
pub(super) fn pause(next: &Next, now: UnixMillis) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_millis(500);
    match next {
        Next::Idle { .. } => None,
        Next::Do { .. } => Some(SHORTEST),
        Next::Wait { blockers, until } => {
            let longest = Duration::from_secs(if waits_for_nodes(blockers) { 1 } else { 30 });
            let span = until.map_or(Duration::from_secs(5), |until| until.since(now));
            Some(span.clamp(SHORTEST, longest))
        }
    }
}

/// Returns true where nodes have yet to load a key, which takes seconds.
pub(super) fn waits_for_nodes(blockers: &[Blocker]) -> bool {
    blockers.iter().any(|blocker| matches!(blocker, Blocker::Nodes { .. }))
}

impl std::fmt::Display for RingOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&next_step::as_text(&self.ring, &self.next))
    }
}

/// Status of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RingStatus {
    pub ring: RingName,
    pub goal: Goal,
    pub keys: Vec<KeyStatus>,
    /// Live nodes.
    pub nodes: Vec<NodeStatus>,
    /// Next step, or the blockers.
    #[serde(flatten, with = "next_step")]
    #[schema(value_type = next_step::Fields)]
    pub next: Next,
    /// Newest lines of its audit log, newest first.
    pub audit_log: Vec<AuditEvent>,
}

/// Key of a ring in a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyStatus {
    pub kid: Kid,
    pub state: KeyState,
    /// Time at which it entered that state.
    pub since: UnixMillis,
    /// Latest end of a token that a node may have signed with it.
    pub tokens_until: Option<UnixMillis>,
    /// Time from which no token of a retiring key can be alive, margin included: then it may be deleted at Braze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_to_delete: Option<UnixMillis>,
    /// The private half is destroyed.
    pub destroyed: bool,
}

impl KeyStatus {
    /// State of the key, and `destroyed` where its private half is.
    pub fn state_as_text(&self) -> String {
        let state = self.state.as_str();
        if self.destroyed { format!("{state}, destroyed") } else { state.to_owned() }
    }
}

/// Reason why a rotation waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitReason {
    /// Text of the blocker.
    pub what: String,
    /// Time at which it ends by itself.
    pub until: Option<UnixMillis>,
    /// It is a fault, which somebody must mend.
    pub is_fault: bool,
}

/// Live node in the status of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    pub node: String,
    /// Keys that the node could sign with at once.
    pub loaded: BTreeSet<Kid>,
}

impl RingStatus {
    pub(super) fn new(snapshot: Snapshot, audit_log: Vec<AuditEvent>) -> Self {
        let key = |key: &plan::KeySnapshot| KeyStatus {
            kid: key.record.kid.clone(),
            state: key.record.state,
            since: key.record.changed,
            tokens_until: key.tokens_until,
            safe_to_delete: (key.record.state == KeyState::Retiring).then(|| plan::tokens_expired(&snapshot, key)),
            destroyed: key.destroyed,
        };
        let keys = snapshot.keys.iter().map(key).collect();
        let node = |node: plan::NodeSnapshot| NodeStatus { node: node.node, loaded: node.loaded };
        Self {
            next: plan::next(&snapshot),
            ring: snapshot.ring,
            goal: snapshot.goal,
            keys,
            nodes: snapshot.nodes.into_iter().map(node).collect(),
            audit_log,
        }
    }

    /// State of the ring; [`Outcome::Done`] where no rotation is in progress.
    pub fn outcome(&self) -> Outcome {
        if self.goal == Goal::Idle { Outcome::Done } else { Outcome::of(&self.next) }
    }

    /// First line of the status: name, goal and nodes of the ring.
    pub fn headline(&self) -> String {
        format!("Ring {} ({}), {} live nodes", self.ring, self.goal.as_str(), self.nodes.len())
    }

    /// Next step and its reason; `None` where there is none now.
    pub fn next_step(&self) -> Option<(String, String)> {
        match &self.next {
            Next::Do { step, reason } => Some((step.to_string(), reason.clone())),
            Next::Wait { .. } | Next::Idle { .. } => None,
        }
    }

    /// Reasons why the rotation waits.
    pub fn waits(&self) -> Vec<WaitReason> {
        let reason = |blocker: &Blocker| WaitReason {
            what: blocker.to_string(),
            until: blocker.until(),
            is_fault: blocker.is_fault(),
        };
        match &self.next {
            Next::Wait { blockers, .. } => blockers.iter().map(reason).collect(),
            Next::Do { .. } | Next::Idle { .. } => Vec::new(),
        }
    }

    /// Time at which the next rotation is due by policy.
    pub fn due(&self) -> Option<UnixMillis> {
        if let Next::Idle { due } = self.next { due } else { None }
    }

    /// Returns the next step, or the blockers, as text.
    pub fn next_as_text(&self) -> String {
        next_step::as_text(&self.ring, &self.next)
    }
}
