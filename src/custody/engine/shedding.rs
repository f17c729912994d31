//! Load shedding: a signature that would wait too long is refused instead of queued.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Estimated time of a signature before the first one is measured.
const INITIAL_ESTIMATE: Duration = Duration::from_micros(300);

/// Divisor of a measurement's weight in the moving average.
const WEIGHT: u64 = 16;

/// Limit of a measurement: a process that was stopped for an hour is not slower afterwards.
const MAX_MEASUREMENT: Duration = Duration::from_secs(1);

/// Estimate of the time in the queue, and its limit.
pub(super) struct Shedding {
    threads: u32,
    max_wait: Duration,
    /// Moving average of the time from one signature of a thread to its next, in nanoseconds. It includes other work of
    /// the processor; a signature of a batch counts with its share.
    average: AtomicU64,
}

impl Shedding {
    pub(super) fn new(threads: usize, max_wait: Duration) -> Self {
        Self {
            threads: u32::try_from(threads).unwrap_or(u32::MAX).max(1),
            max_wait,
            average: AtomicU64::new(nanos(INITIAL_ESTIMATE)),
        }
    }

    /// Estimated wait of a new signature behind `waiting` others.
    pub(super) fn estimate(&self, waiting: usize) -> Duration {
        let all = self.average.load(Relaxed).saturating_mul(waiting as u64);
        Duration::from_nanos(all) / self.threads
    }

    /// Estimated wait, where it is too long.
    pub(super) fn too_long(&self, waiting: usize) -> Option<Duration> {
        let wait = self.estimate(waiting);
        (wait > self.max_wait).then_some(wait)
    }

    /// Adds a measurement: a thread made `count` signatures in `took`. Two threads may overwrite each other's
    /// measurement, which does not matter to an average.
    pub(super) fn signed(&self, count: usize, took: Duration) {
        let share = nanos(took.min(MAX_MEASUREMENT)) / (count as u64).max(1);
        let average = self.average.load(Relaxed);
        self.average.store(average - average / WEIGHT + share / WEIGHT, Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_estimate_is_the_queue_times_the_average_by_the_threads() {
        let shedding = Shedding::new(2, MS);
        shedding.average.store(1_000_000, Relaxed);
        assert_eq!(shedding.too_long(2), None, "exactly as long as allowed");
        assert_eq!(shedding.too_long(6), Some(3 * MS));
    }

    #[test]
    fn the_average_follows_what_signatures_take() {
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
    fn the_longest_measurements_do_not_overflow_the_average() {
        let shedding = Shedding::new(1, MS);
        for _ in 0..1000 {
            shedding.signed(1, Duration::MAX);
        }
        assert_eq!(shedding.estimate(0), Duration::ZERO);
        assert!(shedding.estimate(usize::MAX) > MS);
    }

    #[test]
    fn the_estimate_recovers_after_the_process_was_stopped_for_an_hour() {
        let shedding = Shedding::new(1, 30 * MS);
        shedding.signed(1, Duration::from_hours(1));
        for _ in 0..64 {
            shedding.signed(1, INITIAL_ESTIMATE);
        }
        assert_eq!(shedding.too_long(10), None);
    }
}
