//! Countersign.
pub mod clock;
pub mod domain;
pub mod secret;
pub mod telemetry;
