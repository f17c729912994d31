//! Rotation of key rings. [`plan`] decides purely about the next step of a ring's rotation; [`Rotator`] observes a ring, does the steps, and executes operators' commands; [`RotationScheduler`] runs
//! the rotator when that is due; [`drift()`] compares Braze's lists with the records.

mod commands;
mod config;
mod drift;
mod error;
mod observe;
pub mod plan;
mod reconcile;
mod records;
mod rotator;
mod schedule;
mod scheduler;

use std::time::Duration;

pub use config::{ADVISED_SOAK, Config, Ring, RingApp};
pub use drift::{Drift, drift};
pub use error::RotateError;
pub use observe::Observed;
pub use rotator::{Observer, Rotator, StepPhase};
pub use scheduler::{RotationScheduler, SchedulerSetup};

/// Time between two reports of a node that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// Time since its last report after which a node no longer counts as live: two reports may be lost. A token that it
/// signs after that is signed with a key that stays at Braze.
pub const NODE_LIVENESS: Duration = HEARTBEAT.saturating_mul(3);
