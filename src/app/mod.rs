//! Composition: opens every room once, wires them, runs them until shutdown.

mod bootstrap;
mod demo;
mod dev;
mod process;
mod serve;
mod services;
mod signals;
mod watch;

/// What the command line needs of the room that rotates keys.
pub use crate::rotate::{
    Config as RotationConfig, Drift, Observed, Observer, RotateError, Rotator, StepPhase, drift, plan,
};
pub use bootstrap::{Layout, first_key};
pub use demo::{DemoConfig, DemoError, Shown, demo};
pub use dev::{Access, Dev, DevError};
pub use serve::{Listeners, Running, ServeError, open_public, serve};
pub use services::{Checked, OpenError, Services};
pub use signals::told_to_stop;
