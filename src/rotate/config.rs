//! Configuration of rotation, and the rings that are made from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::human_duration,
    domain::ids::{AppName, RingName},
};

/// Braze's advice for the time between calls that depend on each other (Braze, "API limits").
pub const ADVISED_SOAK: Duration = Duration::from_mins(5);

/// Rotation policy of a ring. `[rings.<name>.rotation]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Time that a key signs before the next rotation begins; `None`: only operators begin rotations.
    #[serde(with = "human_duration::option", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// Keeps a published key ready beside the one that signs.
    pub standby: bool,
    /// Time for which every app must have listed a key before it signs; [`ADVISED_SOAK`] by default.
    #[serde(with = "human_duration")]
    pub soak: Duration,
    /// Time that a key stays at Braze after the end of its last token.
    #[serde(with = "human_duration")]
    pub margin: Duration,
    /// Time between two comparisons of Braze's lists with the records.
    #[serde(with = "human_duration")]
    pub check_every: Duration,
    /// Longest token lifetime of the ring's apps, from their sections.
    #[serde(skip)]
    pub longest_life: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            every: None,
            standby: false,
            soak: ADVISED_SOAK,
            margin: Duration::from_mins(10),
            check_every: Duration::from_mins(10),
            longest_life: Duration::ZERO,
        }
    }
}

/// Ring that apps use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    pub name: RingName,
    pub config: Config,
    pub apps: Vec<RingApp>,
}

impl Ring {
    /// Returns true where any app of the ring has a list at Braze.
    pub(super) fn has_list(&self) -> bool {
        self.apps.iter().any(|app| app.at_braze.is_some())
    }
}

/// App of a ring, with its workspace and id at Braze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingApp {
    pub app: AppName,
    /// Workspace and app id at Braze; `None`: operators add and delete its keys by hand.
    pub at_braze: Option<(String, String)>,
}
