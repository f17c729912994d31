//! Rotation of key rings. [`plan`] has the pure decision about the next step of a ring's rotation; [`Rotator`] observes
//! a ring, does the steps, and executes operators' commands; [`RotationScheduler`] runs the rotator when that is due;
//! [`drift()`] compares Braze's lists with the records.

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
pub use scheduler::{RotationScheduler, SchedulerSetup, SteppedScheduler};

/// Interval at which a node reports that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// Time since its last report after which a node no longer counts as live: two reports may be lost. Where it still
/// signs after that, Braze still holds the key that it signs with.
pub const NODE_LIVENESS: Duration = HEARTBEAT.saturating_mul(3);
