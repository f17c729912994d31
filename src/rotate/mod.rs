//! A key's life. [`Ceremony`] is what operators do by hand: make, take in, activate. [`plan`] decides purely what a
//! rotation needs next.

mod ceremony;
pub mod plan;

pub use ceremony::{Activated, Ceremony, CeremonyError};
