//! Records of key rotation in the store: goals, publications at Braze, and reports of nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::ids::{AppName, Kid};
use crate::clock::UnixMillis;

/// Goal of a ring's rotation.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Goal {
    /// No rotation is in progress.
    #[default]
    Idle,
    /// A new key is to become active.
    Rotating,
    /// The right key is active; the other keys are being removed.
    CleaningUp,
}

impl Goal {
    /// Name of the goal in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Progress of a ring's rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Number of changes of this record, for compare-and-set; 0: there is no record.
    pub version: u64,
    pub goal: Goal,
    /// Key that this rotation made; it retires when the rotation is aborted.
    pub new_key: Option<Kid>,
}

/// Publication of one key at one app of Braze.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// Time of the last request to add the key; its answer may have been lost.
    pub asked: Option<UnixMillis>,
    /// Time since which Braze lists the key, or an operator attests so. `None`: not proven.
    pub shown: Option<UnixMillis>,
    /// Braze's id of the key; `None` where an operator attested it.
    pub braze_id: Option<String>,
}

/// Publication with its app and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    pub app: AppName,
    pub kid: Kid,
    #[serde(flatten)]
    pub publication: Publication,
}

/// Last report of a serving node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeReport {
    /// Name of the node; a new one at each start.
    pub node: String,
    /// Time of the report.
    pub seen: UnixMillis,
    /// Keys that the node could sign with at once, each with the custody that it was loaded from. A node of an older
    /// version does not say which one.
    pub loaded: BTreeMap<Kid, Option<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores hold these names: another one would be unreadable.
    #[test]
    fn goals_are_stored_under_these_names() {
        let goals = ["idle", "rotating", "cleaning_up"];
        for (goal, name) in Goal::VARIANTS.iter().zip(goals) {
            assert_eq!((goal.as_str(), name.parse().as_ref()), (name, Ok(goal)));
            assert_eq!(serde_json::to_value(goal).unwrap(), name);
        }
        assert_eq!(Goal::VARIANTS.len(), goals.len());
        assert!("Idle".parse::<Goal>().is_err());
    }
}
