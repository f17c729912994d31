//! Formatting of figures.

use super::load::Outcome;

/// Formats seconds as milliseconds.
pub fn millis(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// Describes the requests that got no token; empty if there are none.
pub fn not_admitted<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let (refused, failed) = outcomes
        .fold((0, 0), |(refused, failed), outcome| (refused + outcome.refused.count(), failed + outcome.failed));
    if refused + failed == 0 { String::new() } else { format!("  {refused} refused, {failed} failed") }
}
