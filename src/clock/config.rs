//! Configuration of the clock's guard.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::human_duration;

/// The section `[clock]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Time for which a clock that was set forward, by at most a day, must run steadily before it is trusted again.
    #[serde(with = "human_duration")]
    pub patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { patience: Duration::from_mins(10) }
    }
}
