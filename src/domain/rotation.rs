//! What is on record about replacing keys: who was shown to hold which key, what was begun, who has loaded what, and
//! the audit log of what was done.

use std::collections::BTreeSet;

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::ids::{AppName, Kid, RingName};
use crate::clock::UnixMillis;

/// What a ring is about to do. It is saved with a version, so that of two workers one goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Goal {
    /// Nothing is under way.
    #[default]
    Idle,
    /// Another key is to sign.
    Rotating,
    /// The right key signs; what is left over is being cleared away.
    CleaningUp,
}

impl Goal {
    /// Name of the goal in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Where a ring's rotation stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Counts the changes of this record; 0: there is none yet.
    pub version: u64,
    /// What is to be reached.
    pub goal: Goal,
    /// The key that this rotation made; given up with it.
    pub new_key: Option<Kid>,
}

/// What is known of one key at one app of Braze.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// When Braze was last asked to take it; the answer may have been lost.
    pub asked: Option<UnixMillis>,
    /// Since when Braze lists it, or since when an operator attests that it does. `None`: not proven.
    pub shown: Option<UnixMillis>,
    /// Braze's own id for it; none where it was attested.
    pub braze_id: Option<String>,
}

/// A publication, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The app.
    pub app: AppName,
    /// The key.
    pub kid: Kid,
    /// What is known.
    #[serde(flatten)]
    pub publication: Publication,
}

/// What a serving node last said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its name; a new one at each start.
    pub node: String,
    /// When it said so.
    pub seen: UnixMillis,
    /// The keys it could sign with at once.
    pub loaded: BTreeSet<Kid>,
}

/// What happened to a key, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AuditAction {
    /// It was made or taken in.
    Created,
    /// Braze is asked to take it.
    Publishing,
    /// Braze lists it, or an operator attests so.
    Published,
    /// It signs.
    Activated,
    /// It becomes the primary key of an app.
    MadePrimary,
    /// It signs no more, and has no living token.
    Retired,
    /// It is deleted at Braze.
    Withdrawn,
    /// Its private half is destroyed.
    Destroyed,
    /// It was declared compromised.
    Compromised,
    /// Something was asked for and not done.
    Refused,
    /// A rotation was begun.
    Begun,
    /// A rotation was given up.
    Aborted,
    /// The key before signs again.
    RolledBack,
}

impl AuditAction {
    /// Name of the action in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// When.
    pub at: UnixMillis,
    /// The ring.
    pub ring: RingName,
    /// The key; none where it is about the ring.
    pub kid: Option<Kid>,
    /// The app of Braze; none where it is about all of them.
    pub app: Option<AppName>,
    /// What happened.
    pub action: AuditAction,
    /// Who did it: an operator at a command line, or a node by its timer.
    pub actor: String,
    /// Why.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores hold these names: another one would be unreadable.
    #[test]
    fn goals_and_actions_are_stored_under_these_names() {
        let goals = ["idle", "rotating", "cleaning_up"];
        for (goal, name) in Goal::VARIANTS.iter().zip(goals) {
            assert_eq!((goal.as_str(), name.parse().as_ref()), (name, Ok(goal)));
            assert_eq!(serde_json::to_value(goal).unwrap(), name);
        }
        let actions = [
            "created",
            "publishing",
            "published",
            "activated",
            "made_primary",
            "retired",
            "withdrawn",
            "destroyed",
            "compromised",
            "refused",
            "begun",
            "aborted",
            "rolled_back",
        ];
        for (action, name) in AuditAction::VARIANTS.iter().zip(actions) {
            assert_eq!((action.as_str(), name.parse().as_ref()), (name, Ok(action)));
            assert_eq!(serde_json::to_value(action).unwrap(), name);
        }
        assert_eq!((Goal::VARIANTS.len(), AuditAction::VARIANTS.len()), (goals.len(), actions.len()));
        assert!("Idle".parse::<Goal>().is_err());
    }
}
