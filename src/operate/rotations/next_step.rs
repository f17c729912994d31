//! Next step of a rotation, or its blockers, as JSON for programs and as text for people.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::{
    clock::UnixMillis,
    domain::ids::RingName,
    rotate::plan::{Blocker, Next, Step},
};

/// Next step, or the blockers, or nothing to do; members that no other kind has tell them apart.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = NextStep)]
#[serde(untagged)]
pub(super) enum Fields {
    /// Step that is done next.
    Do { done: bool, next: Step, why: String, waiting: Vec<Blocker> },
    /// Blockers that must end first.
    Wait {
        done: bool,
        waiting: Vec<Blocker>,
        texts: Vec<String>,
        #[schema(required)]
        until: Option<UnixMillis>,
    },
    /// Nothing is left to do.
    Idle {
        done: bool,
        waiting: Vec<Blocker>,
        /// Time at which the next rotation is due by policy.
        #[schema(required)]
        due: Option<UnixMillis>,
    },
}

/// Writes the fields into the object that has them.
pub(super) fn serialize<S: Serializer>(next: &Next, serializer: S) -> Result<S::Ok, S::Error> {
    let fields = match next.clone() {
        Next::Idle { due } => Fields::Idle { done: true, waiting: Vec::new(), due },
        Next::Do { step, reason } => Fields::Do { done: false, next: step, why: reason, waiting: Vec::new() },
        Next::Wait { blockers, until } => {
            let texts = blockers.iter().map(ToString::to_string).collect();
            Fields::Wait { done: false, waiting: blockers, texts, until }
        }
    };
    fields.serialize(serializer)
}

/// Reads the fields of the object that has them.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Next, D::Error> {
    Ok(match Fields::deserialize(deserializer)? {
        Fields::Do { next: step, why: reason, .. } => Next::Do { step, reason },
        Fields::Wait { waiting: blockers, until, .. } => Next::Wait { blockers, until },
        Fields::Idle { due, .. } => Next::Idle { due },
    })
}

/// Describes the next step, or the blockers.
pub(super) fn as_text(ring: &RingName, next: &Next) -> String {
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
