//! A duration of a section, until each section is its room's own `Config`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::human_duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct HumanDuration(#[serde(with = "human_duration")] pub(super) Duration);
