//! Configuration of the audit log.

use serde::{Deserialize, Serialize};

/// The section `[audit]` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Each node records each second how many tokens it issued, by app and operation.
    pub tokens: bool,
}
