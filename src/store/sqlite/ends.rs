//! The log of ends, which triggers write, and what nodes say of how far they have followed it.
//!
//! Transactions are serial, and so an end is committed before any with a greater number gets one: a position in the log
//! is the number of the next row.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, rows};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{SessionId, UserHash},
        login_record::LoginHash,
    },
    store::{ENDS_KEPT, End, Ends, EndsPage, EndsPosition, Follower, StoreError, retention},
};

/// SELECT of the columns that [`end_of`] reads, in its order.
macro_rules! select_ends {
    ($from:literal) => {
        concat!("SELECT kind, subject, app, why, at, until", $from)
    };
}

/// The last number that was given, also where its row was deleted.
const LAST: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'ends'";

const SINCE: &str = select_ends!(", number FROM ends WHERE number >= ?1 AND number > ?2 ORDER BY number LIMIT ?3");

const STANDING: &str = "SELECT 'opt_out', user, app, NULL, since, NULL FROM opt_outs \
     UNION ALL SELECT 'user', user, app, NULL, ended_at, NULL FROM user_ends \
     UNION ALL SELECT 'app', NULL, app, NULL, ended_at, NULL FROM app_ends \
     UNION ALL SELECT 'login', login, app, NULL, issued_until, remembered_until FROM sign_outs LIMIT ?1";

/// The id up to which one statement reads: a longer one would keep the write-ahead log from beginning anew.
const NEXT_RANGE: &str = "SELECT id FROM sessions WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2";
/// Number of rows between two such ids.
const RANGE_ROWS: u32 = 50_000;

const ENDED: &str = "SELECT id, expires FROM sessions \
     WHERE id > ?1 AND (?2 IS NULL OR id <= ?2) AND ended IS NOT NULL AND expires > ?3 ORDER BY id LIMIT ?4";

const REPORT: &str = "INSERT INTO followers (node, position, looked, serves_until) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (node) DO UPDATE SET position = excluded.position, looked = excluded.looked, \
     serves_until = excluded.serves_until";

/// Forgets nodes that stopped without shutting down, but none that may still answer without the store.
const FORGET_FOLLOWERS: &str = "DELETE FROM followers WHERE looked < ?1 AND coalesce(serves_until, 0) <= ?2";

const FOLLOWERS: &str = "SELECT node, position, looked, serves_until FROM followers WHERE looked > ?1 ORDER BY node";

/// Time between two dates of the log.
const DATED_EVERY: Duration = Duration::from_hours(1);

/// Dates that are later than the purge's clock are of a clock that was wrong: their rows are dated again.
const FORGET_LATER_DATES: &str = "DELETE FROM ends_dates WHERE at > ?1";

const DATE: &str = "INSERT INTO ends_dates (at, number) SELECT ?1, coalesce((SELECT seq FROM sqlite_sequence \
     WHERE name = 'ends'), 0) WHERE NOT EXISTS (SELECT 1 FROM ends_dates WHERE at > ?2)";

/// The rows that the newest date of these covers.
const FORGET: &str = "DELETE FROM ends WHERE number IN (SELECT number FROM ends WHERE number <= \
     (SELECT max(number) FROM ends_dates WHERE at <= ?1) ORDER BY number LIMIT ?2)";

const FORGET_DATES: &str = "DELETE FROM ends_dates WHERE at < (SELECT max(at) FROM ends_dates WHERE at <= ?1)";

const FORGET_USER_ENDS: &str = "DELETE FROM user_ends WHERE (user, app) IN \
     (SELECT user, app FROM user_ends WHERE ended_at <= ?1 ORDER BY ended_at LIMIT ?2)";

#[async_trait]
impl Ends for SqliteStore {
    async fn ends_position(&self) -> Result<EndsPosition, StoreError> {
        self.read(position)
    }

    async fn ends_since(&self, from: EndsPosition, after: u64, limit: u32) -> Result<EndsPage, StoreError> {
        self.read_long(move |c| page(c, from, after, limit)).await
    }

    async fn standing_ends(&self, limit: u32) -> Result<Vec<End>, StoreError> {
        self.read_long(move |c| c.prepare_cached(STANDING)?.query_map([limit], end_of)?.collect()).await
    }

    async fn ended_sessions(
        &self,
        after: SessionId,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<(SessionId, UnixMillis)>, StoreError> {
        let (mut found, mut reached) = (Vec::new(), Some(after));
        while let Some(after) = reached {
            let left = limit - u32::try_from(found.len()).unwrap_or(limit);
            let range = self.read_long(move |c| ended_in_range(c, after, now, left)).await?;
            found.extend(range.ended);
            reached = range.last.filter(|_| found.len() < limit as usize);
        }
        Ok(found)
    }

    async fn report_followed(&self, follower: Follower) -> Result<(), StoreError> {
        let position = self.name.check(rows::stored(follower.position.0))?;
        self.write(move |c| {
            let (looked, until) = (follower.looked, follower.serves_until.map(|until| until.0));
            c.prepare_cached(REPORT)?.execute(params![follower.node, position, looked.0, until])?;
            let oldest = looked.minus(retention::REPORTS);
            c.prepare_cached(FORGET_FOLLOWERS)?.execute(params![oldest.0, looked.0]).map(drop)
        })
        .await
    }

    async fn followers(&self, since: UnixMillis) -> Result<Vec<Follower>, StoreError> {
        self.read(|c| c.prepare_cached(FOLLOWERS)?.query_map([since.0], follower_of)?.collect())
    }
}

/// Returns the number of the next row.
fn position(c: &Connection) -> rusqlite::Result<EndsPosition> {
    let last: Option<u64> = c.prepare_cached(LAST)?.query_row([], |row| rows::unsigned(row, 0)).optional()?;
    Ok(EndsPosition(last.unwrap_or(0) + 1))
}

fn page(c: &Connection, from: EndsPosition, after: u64, limit: u32) -> rusqlite::Result<EndsPage> {
    let at_once = c.unchecked_transaction()?;
    let horizon = position(c)?;
    let values = params![rows::stored(from.0)?, rows::stored(after)?, limit];
    let ends = c
        .prepare_cached(SINCE)?
        .query_map(values, |row| Ok((rows::unsigned(row, 6)?, end_of(row)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    at_once.finish()?;
    Ok(EndsPage { horizon, complete: ends.len() < limit as usize, ends })
}

/// Ended sessions of one range of ids.
struct Range {
    ended: Vec<(SessionId, UnixMillis)>,
    /// Id after which the next range begins; `None` in the last.
    last: Option<SessionId>,
}

fn ended_in_range(c: &Connection, after: SessionId, now: UnixMillis, limit: u32) -> rusqlite::Result<Range> {
    let last: Option<[u8; 16]> =
        c.prepare_cached(NEXT_RANGE)?.query_row(params![after.0, RANGE_ROWS], |row| row.get(0)).optional()?;
    let ended = c
        .prepare_cached(ENDED)?
        .query_map(params![after.0, last, now.0, limit], |row| Ok((SessionId(row.get(0)?), rows::time(row, 1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Range { ended, last: last.map(SessionId) })
}

fn end_of(row: &Row<'_>) -> rusqlite::Result<End> {
    let app = || rows::optional_app(row, 2);
    let user = || row.get(1).map(UserHash);
    Ok(match row.get_ref(0)?.as_str()? {
        "session" => {
            End::Session { id: SessionId(row.get(1)?), why: rows::variant(row, 3)?, expires: rows::time(row, 5)? }
        }
        "user" => End::User { user: user()?, app: app()?, at: rows::time(row, 4)? },
        "app" => End::App { app: app()?, at: rows::time(row, 4)? },
        "opt_out" => End::OptOut { user: user()?, app: app()? },
        "opt_in" => End::OptIn { user: user()?, app: app()? },
        "login" => End::Login {
            app: rows::parsed(row, 2)?,
            login: LoginHash(row.get(1)?),
            issued_until: rows::time(row, 4)?,
            remembered_until: rows::time(row, 5)?,
        },
        other => return Err(rows::unknown(0, other)),
    })
}

fn follower_of(row: &Row<'_>) -> rusqlite::Result<Follower> {
    Ok(Follower {
        node: row.get(0)?,
        position: EndsPosition(rows::unsigned(row, 1)?),
        looked: rows::time(row, 2)?,
        serves_until: rows::optional(row, 3, rows::time)?,
    })
}

/// Puts an end of a user's sessions on record.
pub(super) fn end_user(c: &Connection, user: UserHash, app: &str, now: UnixMillis) -> rusqlite::Result<()> {
    let sql = "INSERT INTO user_ends (user, app, ended_at) VALUES (?1, ?2, ?3) \
               ON CONFLICT (user, app) DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)";
    c.prepare_cached(sql)?.execute(params![user.0, app, now.0]).map(drop)
}

/// Deletes some of the rows of the log that are older than [`ENDS_KEPT`], and of the ends of users that no session can
/// have outlived.
pub(super) fn forget(c: &Connection, now: UnixMillis, limit: u32) -> rusqlite::Result<()> {
    c.prepare_cached(FORGET_LATER_DATES)?.execute([now.0])?;
    c.prepare_cached(DATE)?.execute(params![now.0, now.minus(DATED_EVERY).0])?;
    let oldest = now.minus(ENDS_KEPT);
    c.prepare_cached(FORGET)?.execute(params![oldest.0, limit])?;
    c.prepare_cached(FORGET_DATES)?.execute([oldest.0])?;
    c.prepare_cached(FORGET_USER_ENDS)?.execute(params![now.minus(retention::USER_ENDS).0, limit])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrations;

    const T: UnixMillis = UnixMillis(1_795_000_000_000);

    fn store() -> Connection {
        let c = Connection::open_in_memory().unwrap();
        migrations::apply_all(&c).unwrap();
        c
    }

    fn at_hour(n: u64) -> UnixMillis {
        T.plus(Duration::from_hours(n))
    }

    /// Numbers of the rows after a purge at that hour.
    fn left(c: &Connection, hour: u64) -> Vec<u64> {
        forget(c, at_hour(hour), 100).unwrap();
        let page = page(c, EndsPosition(0), 0, 100).unwrap();
        page.ends.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn rows_are_forgotten_two_days_after_a_purge_found_them() {
        let c = store();
        let end = |user: u8| end_user(&c, UserHash([user; 32]), "", T).unwrap();
        end(1);
        assert_eq!(left(&c, 0), [1]);
        end(2);
        assert_eq!(left(&c, 1), [1, 2]);
        end(3);
        assert_eq!(left(&c, 47), [1, 2, 3]);
        assert_eq!(left(&c, 48), [2, 3]);
        assert_eq!(left(&c, 94), [3], "the second was found at hour 1, the third at hour 47");
        assert_eq!(left(&c, 95), [0; 0]);
        end(4);
        assert_eq!(left(&c, 95), [4], "a number is never used again");
        assert_eq!(position(&c).unwrap(), EndsPosition(5));
    }

    #[test]
    fn dates_of_a_clock_that_was_ahead_count_for_nothing() {
        let c = store();
        end_user(&c, UserHash([1; 32]), "", T).unwrap();
        assert_eq!(left(&c, 1000), [1]);
        assert_eq!(left(&c, 0), [1]);
        assert_eq!(left(&c, 47), [1]);
        assert_eq!(left(&c, 48), [0; 0]);
    }

    #[test]
    fn a_purge_takes_no_more_than_its_limit() {
        let c = store();
        for user in 1..=5 {
            end_user(&c, UserHash([user; 32]), "", T).unwrap();
        }
        forget(&c, T, 2).unwrap();
        forget(&c, at_hour(48), 2).unwrap();
        assert_eq!(left(&c, 48), [0; 0]);
        let kept: u64 = c.query_row("SELECT count(*) FROM user_ends", [], |row| rows::unsigned(row, 0)).unwrap();
        assert_eq!(kept, 5);
        let later = T.plus(retention::USER_ENDS);
        forget(&c, later, 2).unwrap();
        assert_eq!(c.query_row("SELECT count(*) FROM user_ends", [], |row| rows::unsigned::<u64>(row, 0)).unwrap(), 3);
    }

    /// The tables may have millions of rows; a look and a purge read those that they return or delete.
    #[test]
    fn looks_and_purges_search_by_keys() {
        let c = store();
        for query in [SINCE, NEXT_RANGE, ENDED, FORGET, FORGET_USER_ENDS] {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let plan: Vec<String> =
                statement.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap();
            assert!(plan.iter().all(|step| !step.starts_with("SCAN") && !step.contains("TEMP B-TREE")), "{plan:?}");
        }
    }

    /// A refresh must write no more pages than without the log.
    #[test]
    fn a_refresh_is_compiled_without_triggers() {
        let c = store();
        let program = |sql: &str| {
            let mut statement = c.prepare(&format!("EXPLAIN {sql}")).unwrap();
            let steps = statement.raw_query().mapped(|row| row.get::<_, String>("opcode"));
            steps.collect::<rusqlite::Result<Vec<_>>>().unwrap()
        };
        let refresh = program(crate::store::sqlite::sessions::ADVANCE);
        assert!(!refresh.iter().any(|step| step == "Program"), "{refresh:?}");
        let end = program("UPDATE sessions SET ended = 'logout' WHERE id = x'00'");
        assert!(end.iter().any(|step| step == "Program"), "{end:?}");
    }
}
