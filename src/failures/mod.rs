//! Failures that apps report: each is diagnosed from what is known here, and counted.

mod counts;

pub use counts::{Counts, Report};
