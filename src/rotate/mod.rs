//! A key's life, as operators drive it: [`Ceremony`] makes, takes in and activates keys.
//!
//! Rotation by plan joins here: it decides the same steps from what Braze lists.

mod ceremony;

pub use ceremony::{Activated, Ceremony, CeremonyError};
