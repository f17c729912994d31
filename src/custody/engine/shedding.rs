//! When a signature is refused instead of queued: where it would wait too long.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What a signature takes before the first one was measured.
const FIRST_GUESS: Duration = Duration::from_micros(300);

/// A measured signature moves the average by one part in so many.
const WEIGHT: u64 = 16;

/// No measurement counts for more: a process that was stopped for an hour is no slower after it.
const LONGEST: Duration = Duration::from_secs(1);

/// How fast the queue moves, and how long it may be.
pub(super) struct Shedding {
    threads: u32,
    max_wait: Duration,
    /// Moving average of the time from one signature of a thread to its next, in nanoseconds. Whatever else the processor
    /// did meanwhile is in it; of a batch, each one's share.
    pace: AtomicU64,
}

impl Shedding {
    pub(super) fn new(threads: usize, max_wait: Duration) -> Self {
        Self {
            threads: u32::try_from(threads).unwrap_or(u32::MAX).max(1),
            max_wait,
            pace: AtomicU64::new(nanos(FIRST_GUESS)),
        }
    }

    /// How long a signature asked for now would wait, where so many wait already.
    pub(super) fn estimate(&self, waiting: usize) -> Duration {
        let all = self.pace.load(Relaxed).saturating_mul(waiting as u64);
        Duration::from_nanos(all) / self.threads
    }

    /// The estimate, where that is too long.
    pub(super) fn too_long(&self, waiting: usize) -> Option<Duration> {
        let wait = self.estimate(waiting);
        (wait > self.max_wait).then_some(wait)
    }

    /// A thread signed so many, and was ready for more after so long. Two threads may overwrite each other's share: an
    /// average loses nothing by that.
    pub(super) fn signed(&self, count: usize, took: Duration) {
        let share = nanos(took.min(LONGEST)) / (count as u64).max(1);
        let pace = self.pace.load(Relaxed);
        self.pace.store(pace - pace / WEIGHT + share / WEIGHT, Relaxed);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_estimate_is_the_queue_times_the_pace_by_the_threads() {
        let shedding = Shedding::new(2, MS);
        shedding.pace.store(1_000_000, Relaxed);
        assert_eq!(shedding.too_long(2), None, "exactly as long as allowed");
        assert_eq!(shedding.too_long(6), Some(3 * MS));
    }

    #[test]
    fn the_pace_follows_what_signatures_take() {
        let shedding = Shedding::new(1, MS);
        for _ in 0..200 {
            shedding.signed(1, 2 * MS);
        }
        let one = shedding.estimate(1);
        assert!((MS * 199 / 100..=2 * MS).contains(&one), "{one:?}");
        for _ in 0..200 {
            shedding.signed(8, 2 * MS);
        }
        let share = shedding.estimate(1);
        assert!((MS * 24 / 100..=MS * 26 / 100).contains(&share), "{share:?}");
    }

    #[test]
    fn no_measurement_is_too_long_to_go_on() {
        let shedding = Shedding::new(1, MS);
        for _ in 0..1000 {
            shedding.signed(1, Duration::MAX);
        }
        assert_eq!(shedding.estimate(0), Duration::ZERO);
        assert!(shedding.estimate(usize::MAX) > MS);
    }

    #[test]
    fn a_process_that_was_stopped_for_an_hour_is_soon_itself_again() {
        let shedding = Shedding::new(1, 30 * MS);
        shedding.signed(1, Duration::from_hours(1));
        for _ in 0..64 {
            shedding.signed(1, FIRST_GUESS);
        }
        assert_eq!(shedding.too_long(10), None);
    }
}
