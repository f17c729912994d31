//! Rules for a clock that may be wrong. Each compares it with the latest time that the store has on record.
//!
//! A clock is suspect when it is more than [`CLOCK_TOLERANCE`] behind the record, or more than [`MAX_AHEAD`] ahead of
//! it. A suspect clock deletes nothing ([`PurgeClockCheck`]) and does not advance the record
//! ([`LatestTimeRecorder`]). It is accepted once it has run for [`STEADY_FOR`] without another jump, because it may
//! be right: the service may have been off for days, or a wrong clock may have written the record. Until then
//! operators have time to see the alarm.

use std::time::Duration;

use rusqlite::Connection;

use super::meta::{latest_time, set_latest_time};
use crate::{clock::UnixMillis, store::CLOCK_TOLERANCE};

/// Greatest lead of a clock over the latest time on record before it is suspect.
const MAX_AHEAD: Duration = Duration::from_hours(48);
/// Time that a suspect clock must run without another jump before it is accepted.
const STEADY_FOR: Duration = Duration::from_hours(1);
/// Greatest lag of the latest time on record behind the writes.
const MAX_LAG: Duration = Duration::from_mins(1);

/// Keeps the latest time on record no more than [`MAX_LAG`] behind the writes, at the cost of one row a minute.
///
/// A time more than [`MAX_AHEAD`] ahead of the record is left out: only a purge accepts such a clock.
#[derive(Debug, Default)]
pub(super) struct LatestTimeRecorder {
    /// The time that was last compared with the record.
    compared: Option<UnixMillis>,
}

impl LatestTimeRecorder {
    /// Records `now` if it advances the record. To be called in the transaction that happens at `now`.
    pub(super) fn record(&mut self, c: &Connection, now: UnixMillis) -> rusqlite::Result<()> {
        let is_near = |compared| now.since(compared) < MAX_LAG && compared.since(now) < MAX_LAG;
        if self.compared.is_some_and(is_near) {
            return Ok(());
        }
        let advances = latest_time(c)?.is_none_or(|latest| now > latest && now.since(latest) <= MAX_AHEAD);
        if advances {
            set_latest_time(c, now)?;
        }
        self.compared = Some(now);
        Ok(())
    }

    /// Forgets the last call of [`Self::record`], because its transaction was rolled back.
    pub(super) fn roll_back(&mut self) {
        self.compared = None;
    }
}

/// Decides whether a purge may trust its clock.
#[derive(Debug, Default)]
pub(super) struct PurgeClockCheck {
    /// The suspect clock's own time when it became suspect, or jumped again.
    suspect_since: Option<UnixMillis>,
}

impl PurgeClockCheck {
    /// Returns the new latest time to put on record, or `None` while the clock is suspect.
    pub(super) fn accept(&mut self, latest: Option<UnixMillis>, now: UnixMillis) -> Option<UnixMillis> {
        let latest = latest.unwrap_or(now);
        if latest.since(now) <= CLOCK_TOLERANCE && now.since(latest) <= MAX_AHEAD {
            self.suspect_since = None;
            return Some(latest.max(now));
        }
        // A clock that went back, or jumped again, must run for the whole time anew.
        let since = self.suspect_since.filter(|since| now >= *since && now.since(*since) <= MAX_AHEAD).unwrap_or(now);
        let is_steady = now.since(since) >= STEADY_FOR;
        self.suspect_since = (!is_steady).then_some(since);
        is_steady.then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: UnixMillis = UnixMillis(1_795_000_000_000);

    fn minutes(n: u64) -> Duration {
        Duration::from_mins(n)
    }

    #[test]
    fn a_clock_near_the_record_is_accepted() {
        let mut check = PurgeClockCheck::default();
        assert_eq!(check.accept(None, T), Some(T));
        assert_eq!(check.accept(Some(T), T.minus(CLOCK_TOLERANCE)), Some(T));
        assert_eq!(check.accept(Some(T), T.plus(MAX_AHEAD)), Some(T.plus(MAX_AHEAD)));
    }

    #[test]
    fn a_jump_is_accepted_after_an_hour_of_its_own() {
        for jumped in [T.plus(minutes(60 * 24 * 30)), T.minus(minutes(60 * 24))] {
            let mut check = PurgeClockCheck::default();
            assert_eq!(check.accept(Some(T), jumped), None);
            assert_eq!(check.accept(Some(T), jumped.plus(minutes(59))), None);
            assert_eq!(check.accept(Some(T), jumped.plus(minutes(61))), Some(jumped.plus(minutes(61))));
        }
    }

    #[test]
    fn a_second_jump_starts_the_hour_again() {
        let mut check = PurgeClockCheck::default();
        let first = T.plus(minutes(60 * 24 * 30));
        let second = T.plus(minutes(60 * 24 * 60));
        assert_eq!(check.accept(Some(T), first), None);
        assert_eq!(check.accept(Some(T), second), None);
        assert_eq!(check.accept(Some(T), first.plus(minutes(120))), None, "it went back");
        assert_eq!(check.accept(Some(T), T.plus(minutes(1))), Some(T.plus(minutes(1))));
        assert_eq!(check.accept(Some(T), first.plus(minutes(180))), None, "it was accepted in between");
    }
}
