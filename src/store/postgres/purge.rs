//! Deletion of sessions that expired long ago, as in SQLite's store: a bounded number at a time, in the order of their
//! ids, and from the first id again after the last. All nodes share the position, whose row one of them has locked while
//! it purges: they take turns, and none looks at what another has looked at.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction, types::Type};

use super::{
    activity,
    database::{Done, Steps},
    meta::{self, PURGED_TO},
    operators,
    rows::{self, RowError},
};
use crate::{
    clock::UnixMillis,
    store::{
        ENDS_KEPT, Purged,
        retention::{SESSIONS, USER_ENDS},
    },
};

const LOCK_POSITION: &str = "SELECT value FROM countersign.meta WHERE name = $1 FOR UPDATE SKIP LOCKED";

/// The last of the next `$2` + 1 sessions after `$1`; no row where there are fewer.
const LAST: &str = "SELECT id FROM countersign.sessions WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1";

/// Rows are locked in the order of their ids, as everywhere.
const DELETE_OLD: &str = "WITH old AS ( \
         SELECT id FROM countersign.sessions WHERE id > $1 AND ($2::bytea IS NULL OR id <= $2) AND expires <= $3 \
         ORDER BY id FOR UPDATE) \
     DELETE FROM countersign.sessions s USING old WHERE s.id = old.id";

/// Some of the ended logins, logout tokens and ends of users that need not be remembered any more. Rows that are in use
/// are left for the next time.
const FORGET: [&str; 2] = [
    "DELETE FROM countersign.sign_outs WHERE (app, login) IN (SELECT app, login FROM countersign.sign_outs \
         WHERE remembered_until <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM countersign.logout_tokens WHERE (app, id) IN (SELECT app, id FROM countersign.logout_tokens \
         WHERE remembered_until <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
];

/// Time between two dates of the log.
const DATED_EVERY: Duration = Duration::from_hours(1);

const FORGET_USER_ENDS: &str = "DELETE FROM countersign.user_ends WHERE (user_hash, app) IN ( \
     SELECT user_hash, app FROM countersign.user_ends WHERE ended_at <= $1 ORDER BY ended_at LIMIT $2 \
     FOR UPDATE SKIP LOCKED)";

/// Dates that are later than the purge's clock are of a clock that was wrong: their rows are dated again.
const FORGET_LATER_DATES: &str = "DELETE FROM countersign.ends_dates WHERE at > $1";

/// Dates the log, unless that was done after `$2`.
const DATE_ENDS: &str = "INSERT INTO countersign.ends_dates (at, number) \
     SELECT $1, coalesce((SELECT max(number) FROM countersign.ends), 0) \
     WHERE NOT EXISTS (SELECT 1 FROM countersign.ends_dates WHERE at > $2) ON CONFLICT DO NOTHING";

/// Some of the rows that the newest of the old dates covers.
const FORGET_ENDS: &str = "DELETE FROM countersign.ends WHERE number IN (SELECT number FROM countersign.ends \
     WHERE number <= (SELECT max(number) FROM countersign.ends_dates WHERE at <= $1) ORDER BY number LIMIT $2)";

const FORGET_DATES: &str = "DELETE FROM countersign.ends_dates \
     WHERE at < (SELECT max(at) FROM countersign.ends_dates WHERE at <= $1)";

/// Rows of transactions that there were not yet: they come from another server, by a restored backup. Whoever follows
/// would read them again each time, until this server has had as many transactions. They come once more, as of now.
const RENUMBER_ENDS: &str = "UPDATE countersign.ends SET xid = DEFAULT WHERE number IN ( \
     SELECT number FROM (SELECT number, xid FROM countersign.ends ORDER BY xid DESC LIMIT $1) AS last \
     WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))";

/// One purge.
pub(super) struct Purging {
    pub(super) now: UnixMillis,
    /// Greatest number of sessions that are examined.
    pub(super) limit: u32,
}

#[async_trait]
impl Steps for Purging {
    type Answer = Purged;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Purged>, RowError> {
        let Some(reached) = position(transaction).await? else {
            // Another node purges.
            return Ok(Done::RollBack(Purged { deleted: 0, complete: true }));
        };
        self.forget(transaction).await?;
        let before_last = i64::from(self.limit.max(1)) - 1;
        let last = transaction.query_typed_opt(LAST, &[(&reached, Type::BYTEA), (&before_last, Type::INT8)]).await?;
        let last: Option<Vec<u8>> = last.as_ref().map(|row| rows::get(row, 0)).transpose()?;
        let params =
            [(&reached as _, Type::BYTEA), (&last as _, Type::BYTEA), (&self.now.minus(SESSIONS).0 as _, Type::INT8)];
        let deleted = transaction.execute_typed(DELETE_OLD, &params).await?;
        meta::put(transaction, PURGED_TO, &hex::encode(last.as_deref().unwrap_or_default())).await?;
        Ok(Done::Commit(Purged { deleted, complete: last.is_none() }))
    }
}

impl Purging {
    /// Deletes what need not be remembered any more.
    async fn forget(&self, transaction: &Transaction<'_>) -> Result<(), RowError> {
        let limit = i64::from(self.limit);
        for forget in FORGET {
            transaction.execute_typed(forget, &[(&self.now.0, Type::INT8), (&limit, Type::INT8)]).await?;
        }
        let oldest = self.now.minus(USER_ENDS).0;
        transaction.execute_typed(FORGET_USER_ENDS, &[(&oldest, Type::INT8), (&limit, Type::INT8)]).await?;
        operators::forget(transaction, self.now, limit).await?;
        activity::forget(transaction, self.now, limit).await?;
        self.forget_log(transaction, limit).await
    }

    async fn forget_log(&self, transaction: &Transaction<'_>, limit: i64) -> Result<(), RowError> {
        let (now, last, oldest) = (self.now.0, self.now.minus(DATED_EVERY).0, self.now.minus(ENDS_KEPT).0);
        transaction.execute_typed(FORGET_LATER_DATES, &[(&now, Type::INT8)]).await?;
        transaction.execute_typed(DATE_ENDS, &[(&now, Type::INT8), (&last, Type::INT8)]).await?;
        transaction.execute_typed(FORGET_ENDS, &[(&oldest, Type::INT8), (&limit, Type::INT8)]).await?;
        transaction.execute_typed(FORGET_DATES, &[(&oldest, Type::INT8)]).await?;
        transaction.execute_typed(RENUMBER_ENDS, &[(&limit, Type::INT8)]).await?;
        Ok(())
    }
}

/// Returns the last session that was examined, and locks the position; `None` where another node has locked it.
async fn position(transaction: &Transaction<'_>) -> Result<Option<Vec<u8>>, RowError> {
    let lock = [(&PURGED_TO as _, Type::TEXT)];
    let mut found = transaction.query_typed_opt(LOCK_POSITION, &lock).await?;
    if found.is_none() {
        // There may be none yet.
        transaction.query_typed(meta::PUT_FIRST, &[(&PURGED_TO, Type::TEXT), (&"", Type::TEXT)]).await?;
        found = transaction.query_typed_opt(LOCK_POSITION, &lock).await?;
    }
    found.as_ref().map(bytes_of).transpose()
}

fn bytes_of(row: &Row) -> Result<Vec<u8>, RowError> {
    hex::decode(rows::get::<&str>(row, 0)?).map_err(|why| rows::damaged(0, why))
}
