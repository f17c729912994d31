//! Rotation part of the configuration.

use std::time::Duration;

use super::plan::Policy;
use crate::domain::ids::{AppName, RingName};

/// Rotation of one ring: `[rings.<name>.rotation]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub ring: RingName,
    pub policy: Policy,
    pub apps: Vec<AppConfig>,
    /// Time between two comparisons of Braze's lists with the records.
    pub check_every: Duration,
}

/// App of a ring, and its place at Braze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppConfig {
    pub app: AppName,
    /// Workspace and app id at Braze; `None`: operators add and delete its keys by hand.
    pub place: Option<(String, String)>,
}
