//! What a run measures, and for how long: from the environment (docs/performance.md).

use std::{env, time::Duration};

/// Pairs of measurements behind a figure; the median counts.
pub const ROUNDS: u32 = 5;

/// The parts of a run, in the order they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Raw signatures of several libraries.
    Engines,
    /// The figures that have targets.
    Summary,
    /// Refreshes in a large store beside a small one.
    LargeStore,
    /// Other people's servers under the same contract.
    Peers,
    /// Every kind of call at several loads over several numbers of connections.
    Grid,
}

const PARTS: [(&str, Part); 5] = [
    ("engines", Part::Engines),
    ("summary", Part::Summary),
    ("refresh2m", Part::LargeStore),
    ("peers", Part::Peers),
    ("grid", Part::Grid),
];

/// The parts that `LOAD_PARTS` names, or all of them.
pub fn parts() -> Vec<Part> {
    let Ok(chosen) = env::var("LOAD_PARTS") else { return PARTS.map(|(_, part)| part).to_vec() };
    let known = |name: &str| PARTS.iter().any(|(known, _)| *known == name);
    let names: Vec<&str> = chosen.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    assert!(names.iter().all(|name| known(name)), "LOAD_PARTS knows engines, summary, refresh2m, peers, grid");
    PARTS.iter().filter(|(name, _)| names.contains(name)).map(|(_, part)| *part).collect()
}

/// How long the rounds behind one figure take together: `LOAD_SECONDS`.
fn seconds() -> Duration {
    Duration::from_secs_f64(number("LOAD_SECONDS").unwrap_or(10.0))
}

/// How long one round takes.
pub fn round() -> Duration {
    seconds() / ROUNDS
}

/// How long one cell of the grid takes.
pub fn cell() -> Duration {
    seconds() / 2
}

/// Sessions in the large store: `LOAD_SESSIONS`.
pub fn sessions() -> usize {
    number("LOAD_SESSIONS").map_or(2_000_000, |sessions| sessions as usize)
}

/// Whether a peer that cannot be started is a failure.
pub fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}

/// The Python that has the peer's packages: `LOAD_PYTHON`.
pub fn python() -> String {
    env::var("LOAD_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn number(name: &str) -> Option<f64> {
    env::var(name).ok()?.parse().ok()
}
