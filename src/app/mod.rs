//! Composition: opens every room once, wires them, runs them until shutdown.

mod demo;
mod dev;
mod bootstrap;
mod services;
mod process;
mod rotation;
mod serve;
mod signals;
mod watch;

/// What the command line needs of the room that rotates keys.
pub use crate::rotate::{Config as RotationConfig, Drift, Look, Moment, Observer, RotateError, Rotor, drift, plan};
pub use demo::{DemoConfig, DemoError, Shown, demo};
pub use dev::{Access, Dev, DevError};
pub use bootstrap::{Layout, first_key};
pub use services::{Checked, Services, OpenError};
pub use serve::{Listeners, Running, ServeError, open_public, serve};
pub use signals::told_to_stop;
