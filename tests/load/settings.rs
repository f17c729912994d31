//! Parts and durations of a run, from the environment (docs/performance.md).

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
    /// The cost of a token beyond its signature.
    Overhead,
    /// The cost of the access line.
    AccessLine,
    /// Refreshes in a large store beside a small one.
    LargeStore,
    /// Refreshes with the store in PostgreSQL beside SQLite, and with many sessions there beside few.
    Postgres,
    /// Comparable servers with the same contract.
    Peers,
    /// Every kind of call at several loads over several numbers of connections.
    Grid,
    /// The cost of an exchange beside a generate.
    Exchange,
    /// Answers without a signature beside a route of axum with nothing around it.
    Bare,
    /// Reports of failures, alone and beside mints.
    Reports,
    /// Writes to the disk for each call.
    Writes,
}

const PARTS: [(&str, Part); 12] = [
    ("engines", Part::Engines),
    ("summary", Part::Summary),
    ("overhead", Part::Overhead),
    ("log", Part::AccessLine),
    ("refresh2m", Part::LargeStore),
    ("postgres", Part::Postgres),
    ("peers", Part::Peers),
    ("grid", Part::Grid),
    ("exchange", Part::Exchange),
    ("bare", Part::Bare),
    ("reports", Part::Reports),
    ("writes", Part::Writes),
];

/// Returns the parts that `LOAD_PARTS` names, or all.
pub fn parts() -> Vec<Part> {
    let Ok(chosen) = env::var("LOAD_PARTS") else { return PARTS.map(|(_, part)| part).to_vec() };
    let known = |name: &str| PARTS.iter().any(|(known, _)| *known == name);
    let names: Vec<&str> = chosen.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let all = PARTS.map(|(name, _)| name).join(", ");
    assert!(names.iter().all(|name| known(name)), "LOAD_PARTS knows {all}");
    PARTS.iter().filter(|(name, _)| names.contains(name)).map(|(_, part)| *part).collect()
}

/// Returns the duration of all rounds of one figure: `LOAD_SECONDS`.
pub fn seconds() -> Duration {
    Duration::from_secs_f64(number("LOAD_SECONDS").unwrap_or(10.0))
}

/// Returns the duration of one round.
pub fn round() -> Duration {
    seconds() / ROUNDS
}

/// Returns the duration of one cell of the grid.
pub fn cell() -> Duration {
    seconds() / 2
}

/// Returns the number of sessions in the large store: `LOAD_SESSIONS`.
pub fn sessions() -> usize {
    number("LOAD_SESSIONS").map_or(2_000_000, |sessions| sessions as usize)
}

/// Returns true if the services inherit `custody.batch = "off"` from the environment.
pub fn batches_are_off() -> bool {
    env::var("COUNTERSIGN_CUSTODY__BATCH").is_ok_and(|batch| batch == "off")
}

/// Returns true if a peer that cannot be started fails the run.
pub fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}

/// Returns the Python with the peer's packages: `LOAD_PYTHON`.
pub fn python() -> String {
    env::var("LOAD_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn number(name: &str) -> Option<f64> {
    env::var(name).ok()?.parse().ok()
}
