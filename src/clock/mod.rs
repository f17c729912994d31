//! Time as an argument: entry points ask the [`ClockGuard`] and give a [`UnixMillis`] to everything inside.
//!
//! The wall clock may be wrong. [`ClockState`] decides, from readings of it and of boot time, whether this process may
//! judge by it: [`ClockGuard::trusted_now`] gives no time while it may not.

mod config;
mod floor;
mod guard;
pub mod human_duration;
mod peers;
mod state;
#[cfg(test)]
mod tests;

use std::{sync::OnceLock, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use config::Config;
pub use floor::{ClockAcceptance, ClockFloor};
pub use guard::{ClockGuard, ClockStopped};
pub use human_duration::parse_duration;
pub use peers::{Peers, Votes};
pub use state::{ClockState, Evidence, MAX_STEP, Resumption, StopReason};

/// Point in time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Whole seconds since the epoch, rounded down, as JWT claims need them (RFC 7519 §2, NumericDate).
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Adds a duration; saturates at the latest instant.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// Subtracts a duration; saturates at the earliest instant.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// Time from `earlier` to this instant; zero where this is not later.
    pub fn since(self, earlier: Self) -> Duration {
        let elapsed = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(elapsed).unwrap_or(0))
    }
}

/// Error for a text that is not a point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: write it like 2026-11-21T07:05:00Z (RFC 3339)")]
pub struct BadTime(String);

impl std::str::FromStr for UnixMillis {
    type Err = BadTime;

    /// Parses RFC 3339, with `Z` or an offset.
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| BadTime(text.chars().take(64).collect()))?;
        Ok(Self(instant.as_millisecond()))
    }
}

impl std::fmt::Display for UnixMillis {
    /// RFC 3339 in UTC, e.g. `2026-11-21T07:05:00Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Whole milliseconds of a duration, at most `i64::MAX`.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Wall clock and boot time, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub wall: UnixMillis,
    /// Time since the machine booted, with the time for which it was suspended.
    pub boot: Duration,
}

impl Reading {
    /// Returns the wall clock less the boot time, in milliseconds: the same number as long as nobody sets the clock.
    pub fn offset(self) -> i64 {
        self.wall.0.saturating_sub(millis(self.boot))
    }
}

/// Identity of one boot of one machine. Boot times of different boots cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub Option<String>);

impl BootId {
    /// Returns true where both are known and equal.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.is_some() && self == other
    }
}

/// Source of the current time, right or wrong.
pub trait Clock: Send + Sync {
    /// Returns the time of the wall clock.
    fn now(&self) -> UnixMillis;

    /// Returns the time since the machine booted, with the time for which it was suspended.
    fn since_boot(&self) -> Duration;

    /// Returns the identity of this boot.
    fn boot_id(&self) -> BootId;
}

/// Clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the machine's clock")]
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => UnixMillis(millis(after)),
            Err(before) => UnixMillis(-millis(before.duration())),
        }
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(time).unwrap_or_default()
    }

    fn boot_id(&self) -> BootId {
        static ID: OnceLock<BootId> = OnceLock::new();
        let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        ID.get_or_init(|| BootId(read().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()))).clone()
    }
}
