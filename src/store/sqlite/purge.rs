//! Deleting what is long dead, a bounded piece at a time, going round in the order of ids.
//!
//! A wrong clock could make every session look long dead. So nothing is deleted while the clock is more than
//! [`BEHIND`] behind the latest time on record, or more than [`AHEAD`] of it. A jump is believed once the clock went on
//! from there for [`PATIENCE`] (a service that was off for days; a record that a wrong clock had written): by then
//! somebody had the time to see the alarm, and the 7 days that the dead are kept have only just begun to count.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::upkeep::{latest_time, set_latest_time};
use crate::{clock::UnixMillis, store::Purged};

/// How long the dead are kept.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// How far behind the record a clock may be.
const BEHIND: Duration = Duration::from_mins(5);
/// How far ahead of the record a clock may be.
pub(super) const AHEAD: Duration = Duration::from_hours(48);
/// How far a clock that jumped must go on by itself before it is believed.
const PATIENCE: Duration = Duration::from_hours(1);

const NEXT_PIECE: &str = "SELECT count(*), max(id) FROM (SELECT id FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2)";

const DELETE_DEAD: &str = "DELETE FROM sessions WHERE id > ?1 AND id <= ?2 AND ( \
    ended_at <= ?3 OR idle_expires <= ?3 OR expires <= ?3 \
    OR (SELECT a.ended_at FROM app_ends a WHERE a.app = '') BETWEEN created AND ?3 \
    OR (SELECT e.ended_at FROM app_ends e WHERE e.app = sessions.app) BETWEEN created AND ?3)";

/// Where the sweep is. It is kept in memory: after a restart it begins again.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The last id that was looked at; empty before the first.
    reached: Vec<u8>,
    clock_check: PurgeClockCheck,
}

/// Looks at the next `limit` sessions, if the clock is to be trusted.
pub(super) fn sweep(c: &Connection, state: &mut Sweep, now: UnixMillis, limit: u32) -> rusqlite::Result<Purged> {
    let latest = latest_time(c)?;
    let Some(latest) = state.clock_check.believe(latest, now) else {
        return Ok(Purged::ClockUntrusted);
    };
    set_latest_time(c, latest)?;
    let (looked, last): (u32, Option<Vec<u8>>) =
        c.prepare_cached(NEXT_PIECE)?.query_row(params![state.reached, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let deleted = match &last {
        Some(last) => delete_dead(c, &state.reached, last, now)?,
        None => 0,
    };
    let complete = looked < limit;
    state.reached = if complete { Vec::new() } else { last.unwrap_or_default() };
    Ok(Purged::Rows { deleted, complete })
}

fn delete_dead(c: &Connection, after: &[u8], last: &[u8], now: UnixMillis) -> rusqlite::Result<u64> {
    let dead_since = now.minus(KEPT);
    let deleted = c.prepare_cached(DELETE_DEAD)?.execute(params![after, last, dead_since.0])?;
    Ok(deleted as u64)
}

/// Since when, by its own account, the clock is in doubt.
#[derive(Debug, Default)]
struct PurgeClockCheck(Option<UnixMillis>);

impl PurgeClockCheck {
    /// The new latest time on record, if the clock is to be trusted.
    fn believe(&mut self, latest: Option<UnixMillis>, now: UnixMillis) -> Option<UnixMillis> {
        let latest = latest.unwrap_or(now);
        if latest.since(now) <= BEHIND && now.since(latest) <= AHEAD {
            self.0 = None;
            return Some(latest.max(now));
        }
        let went_on = self.0.filter(|since| now >= *since && now.since(*since) <= AHEAD);
        if went_on.is_some_and(|since| now.since(since) >= PATIENCE) {
            self.0 = None;
            return Some(now);
        }
        // The first doubt, or the clock jumped again.
        self.0 = went_on.or(Some(now));
        None
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
    fn a_clock_near_the_record_is_trusted() {
        let mut clock_check = PurgeClockCheck::default();
        assert_eq!(clock_check.believe(None, T), Some(T));
        assert_eq!(clock_check.believe(Some(T), T.minus(BEHIND)), Some(T));
        assert_eq!(clock_check.believe(Some(T), T.plus(AHEAD)), Some(T.plus(AHEAD)));
    }

    #[test]
    fn a_jump_is_believed_after_an_hour_of_its_own() {
        for jumped in [T.plus(minutes(60 * 24 * 30)), T.minus(minutes(60 * 24))] {
            let mut clock_check = PurgeClockCheck::default();
            assert_eq!(clock_check.believe(Some(T), jumped), None);
            assert_eq!(clock_check.believe(Some(T), jumped.plus(minutes(59))), None);
            assert_eq!(clock_check.believe(Some(T), jumped.plus(minutes(61))), Some(jumped.plus(minutes(61))));
        }
    }

    #[test]
    fn a_second_jump_starts_the_hour_again() {
        let mut clock_check = PurgeClockCheck::default();
        let first = T.plus(minutes(60 * 24 * 30));
        let second = T.plus(minutes(60 * 24 * 60));
        assert_eq!(clock_check.believe(Some(T), first), None);
        assert_eq!(clock_check.believe(Some(T), second), None);
        assert_eq!(clock_check.believe(Some(T), first.plus(minutes(120))), None, "it went back");
        assert_eq!(clock_check.believe(Some(T), T.plus(minutes(1))), Some(T.plus(minutes(1))));
        assert_eq!(clock_check.believe(Some(T), first.plus(minutes(180))), None, "the doubt was over in between");
    }
}
