//! Deletion of sessions that expired long ago: a bounded number at a time, in the order of their ids, and from the
//! first id again after the last.
//!
//! A session that ended, or was not refreshed in time, stays until its absolute expiry and [`retention`](crate::store::retention) have passed:
//! until then one of its refresh tokens may still open, and the row says that the session is over.

use rusqlite::{Connection, params};

use crate::{
    clock::UnixMillis,
    store::{Purged, retention::SESSIONS},
};

const NEXT_RANGE: &str = "SELECT count(*), max(id) FROM (SELECT id FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2)";

const DELETE_OLD: &str = "DELETE FROM sessions WHERE id > ?1 AND id <= ?2 AND expires <= ?3";

/// Position of the sweep. It is kept in memory only: after a restart the sweep begins at the first id.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The last id that was examined; empty before the first.
    reached: Vec<u8>,
}

/// Examines the next `limit` sessions and deletes the old ones.
pub(super) fn sweep(c: &Connection, state: &mut Sweep, now: UnixMillis, limit: u32) -> rusqlite::Result<Purged> {
    let (examined, last): (u32, Option<Vec<u8>>) =
        c.prepare_cached(NEXT_RANGE)?.query_row(params![state.reached, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let deleted = match &last {
        Some(last) => delete_old(c, &state.reached, last, now)?,
        None => 0,
    };
    let complete = examined < limit;
    state.reached = if complete { Vec::new() } else { last.unwrap_or_default() };
    Ok(Purged { deleted, complete })
}

fn delete_old(c: &Connection, after: &[u8], last: &[u8], now: UnixMillis) -> rusqlite::Result<u64> {
    let deleted = c.prepare_cached(DELETE_OLD)?.execute(params![after, last, now.minus(SESSIONS).0])?;
    Ok(deleted as u64)
}
