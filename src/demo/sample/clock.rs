//! Clock of the sample: it is moved through the week, and then runs as the machine's.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use crate::clock::{BootId, Clock, SystemClock, UnixMillis};

/// Value of [`SampleClock::held`] once the clock runs.
const RUNS: i64 = i64::MAX;

/// Clock that stands still until it is moved, and runs from its release on.
pub(super) struct SampleClock {
    held: AtomicI64,
    /// Boot time less the wall clock, in milliseconds, for this clock: the same number before and after the release, so
    /// that the release is no step of the wall clock.
    offset: i64,
}

impl SampleClock {
    /// Clock that stands still this long ago.
    pub(super) fn ago(span: Duration) -> Self {
        let (now, boot) = (SystemClock.now(), UnixMillis(0).plus(SystemClock.since_boot().saturating_add(span)));
        Self { held: AtomicI64::new(now.minus(span).0), offset: boot.0.saturating_sub(now.0) }
    }

    /// Moves the clock that stands still; never back.
    pub(super) fn hold(&self, at: UnixMillis) {
        self.held.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Lets the clock run.
    pub(super) fn release(&self) {
        self.held.store(RUNS, Ordering::Relaxed);
    }
}

impl Clock for SampleClock {
    fn now(&self) -> UnixMillis {
        match self.held.load(Ordering::Relaxed) {
            RUNS => SystemClock.now(),
            held => UnixMillis(held),
        }
    }

    fn since_boot(&self) -> Duration {
        let boot = self.now().0.saturating_add(self.offset);
        Duration::from_millis(u64::try_from(boot).unwrap_or_default())
    }

    fn boot_id(&self) -> BootId {
        SystemClock.boot_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_forward_with_boot_time_and_then_runs() {
        let clock = SampleClock::ago(Duration::from_hours(1));
        let reading = || (clock.now(), clock.since_boot());
        let (begin, boot) = reading();
        assert_eq!(reading(), (begin, boot), "it stands still");
        clock.hold(begin.plus(Duration::from_mins(5)));
        assert_eq!(reading(), (begin.plus(Duration::from_mins(5)), boot + Duration::from_mins(5)));
        clock.hold(begin);
        assert_eq!(clock.now(), begin.plus(Duration::from_mins(5)), "never back");
        clock.release();
        let (now, later) = (clock.now(), clock.since_boot());
        assert!(now >= begin.plus(Duration::from_hours(1)), "{now:?}");
        assert!(later >= boot + Duration::from_hours(1));
    }
}
