//! The log of ends, and what nodes say of how far they have followed it.

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    database::Param,
    ends_position::{Horizon, TIMELINE},
    rows::{self, RowError},
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginHash,
    },
    store::{End, Ends, EndsPage, EndsPosition, Follower, StoreError, retention::REPORTS},
};

/// Page of the log: the ends that `$ends` selects, beside where the database stands. It has one row, too, where there is
/// no end. Where it stands is read first, and once.
macro_rules! page {
    ($ends:literal) => {
        concat!(
            "WITH here AS MATERIALIZED (SELECT countersign.timeline(), \
                 pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_is_in_recovery()) \
             SELECT * FROM here LEFT JOIN LATERAL ( \
                 SELECT number, kind, subject, app, why, at, until FROM countersign.ends ",
            $ends,
            ") page ON true ORDER BY page.number"
        )
    };
}

/// Ends after the number `$1`, from the first.
const WHOLE: &str = page!("WHERE number > $1 ORDER BY number LIMIT $2");

/// Ends of transactions from `$3` on. `+ 0` keeps the planner from the numbers' index, in which it would read the whole
/// log to find the few that are new.
const SINCE: &str = page!("WHERE xid >= $3::xid8 AND number > $1 ORDER BY number + 0 LIMIT $2");

const POSITION: &str = "SELECT countersign.timeline(), pg_snapshot_xmax(pg_current_snapshot())::text::bigint";

/// Columns as those of an end in the log.
const STANDING: &str = "SELECT 'opt_out', user_hash, app, NULL, since, NULL::bigint FROM countersign.opt_outs \
     UNION ALL SELECT 'user', user_hash, app, NULL, ended_at, NULL FROM countersign.user_ends \
     UNION ALL SELECT 'app', NULL, app, NULL, ended_at, NULL FROM countersign.app_ends \
     UNION ALL SELECT 'login', login, app, NULL, issued_until, remembered_until FROM countersign.sign_outs LIMIT $1";

/// By an index that has only sessions that have ended.
const ENDED_SESSIONS: &str = "SELECT id, expires FROM countersign.sessions \
     WHERE ended IS NOT NULL AND id > $1 AND expires > $2 ORDER BY id LIMIT $3";

/// One statement, since every node sends it every second. Nodes that stopped without shutting down are forgotten, but none
/// that may still answer without the store.
const REPORT: &str = "WITH report AS ( \
         INSERT INTO countersign.followers (node, position, looked, serves_until) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (node) DO UPDATE SET position = excluded.position, looked = excluded.looked, \
             serves_until = excluded.serves_until) \
     DELETE FROM countersign.followers WHERE looked < $5 AND coalesce(serves_until, 0) <= $3";

/// Where the database stands is behind a position that was reported to another server.
const FOLLOWERS: &str = "WITH here AS MATERIALIZED (SELECT countersign.timeline(), \
         pg_snapshot_xmax(pg_current_snapshot())::text::bigint) \
     SELECT here.*, node, position, looked, serves_until FROM here, countersign.followers \
     WHERE looked > $1 ORDER BY node COLLATE \"C\"";

#[async_trait]
impl Ends for PostgresStore {
    async fn ends_position(&self) -> Result<EndsPosition, StoreError> {
        let found = self.read(POSITION, &[]).await?;
        let name = &self.database.name;
        let row = found.first().ok_or_else(|| name.unavailable("it does not say how many transactions it had"))?;
        name.check(Horizon::of(row)).map(EndsPosition::from)
    }

    async fn ends_since(&self, from: EndsPosition, after: u64, limit: u32) -> Result<EndsPage, StoreError> {
        let (from, after) = (Horizon::from(from), i64::try_from(after).unwrap_or(i64::MAX));
        let limit = i64::from(limit.max(1));
        let params: [Param<'_>; 3] =
            [(&after, Type::INT8), (&limit, Type::INT8), (&from.transaction_text(), Type::TEXT)];
        if from != Horizon::default() {
            let found = self.read(SINCE, &params).await?;
            if self.horizon(&found)?.timeline == from.timeline {
                return self.page(&found, limit);
            }
            // Since a failover, numbers of transactions are in use again.
        }
        let found = self.read(WHOLE, &params[..2]).await?;
        self.page(&found, limit)
    }

    async fn standing_ends(&self, limit: u32) -> Result<Vec<End>, StoreError> {
        let found = self.read(STANDING, &[(&i64::from(limit), Type::INT8)]).await?;
        self.database.name.check(found.iter().map(|row| end_of(row, 0)).collect())
    }

    async fn ended_sessions(
        &self,
        after: SessionId,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<(SessionId, UnixMillis)>, StoreError> {
        let params: [Param<'_>; 3] =
            [(&&after.0[..], Type::BYTEA), (&now.0, Type::INT8), (&i64::from(limit), Type::INT8)];
        let found = self.read(ENDED_SESSIONS, &params).await?;
        let session = |row: &Row| Ok((SessionId(rows::bytes(row, 0)?), rows::time(row, 1)?));
        self.database.name.check(found.iter().map(session).collect::<Result<_, RowError>>())
    }

    async fn report_followed(&self, follower: Follower) -> Result<(), StoreError> {
        let position = self.database.name.check(rows::stored(follower.position.0))?;
        let (until, oldest_kept) = (follower.serves_until.map(|until| until.0), follower.looked.minus(REPORTS));
        let params: [Param<'_>; 5] = [
            (&follower.node, Type::TEXT),
            (&position, Type::INT8),
            (&follower.looked.0, Type::INT8),
            (&until, Type::INT8),
            (&oldest_kept.0, Type::INT8),
        ];
        self.database.write(REPORT, &params).await.map(drop)
    }

    async fn followers(&self, since: UnixMillis) -> Result<Vec<Follower>, StoreError> {
        let found = self.read(FOLLOWERS, &[(&since.0, Type::INT8)]).await?;
        self.database.name.check(found.iter().map(follower_of).collect())
    }
}

impl PostgresStore {
    /// Reads where the database stood when it answered with a page. A standby may not have got what ended, so that it is
    /// as if there had been no answer.
    fn horizon(&self, found: &[Row]) -> Result<Horizon, StoreError> {
        let name = &self.database.name;
        let Some(first) = found.first() else { return Err(name.unavailable("a page of the log has no row")) };
        if name.check(rows::get(first, 2))? {
            return Err(name.out_of_reach("it is a standby, which may not know yet what has ended"));
        }
        name.check(Horizon::of(first))
    }

    fn page(&self, found: &[Row], limit: i64) -> Result<EndsPage, StoreError> {
        let horizon = self.horizon(found)?.into();
        let mut ends = Vec::with_capacity(found.len());
        for row in found {
            let number: Option<i64> = self.database.name.check(rows::get(row, NUMBER))?;
            if number.is_some() {
                ends.push(self.database.name.check(numbered(row))?);
            }
        }
        let complete = i64::try_from(ends.len()).is_ok_and(|count| count < limit);
        Ok(EndsPage { horizon, ends, complete })
    }
}

/// Column of the number in a page; those of the end follow.
const NUMBER: usize = TIMELINE + 3;

fn numbered(row: &Row) -> Result<(u64, End), RowError> {
    Ok((rows::unsigned(row, NUMBER)?, end_of(row, NUMBER + 1)?))
}

/// Reads an end from the columns from `first` on: kind, subject, app, why, at, until.
fn end_of(row: &Row, first: usize) -> Result<End, RowError> {
    let [subject, app, why, at, until] = [1, 2, 3, 4, 5].map(|column| first + column);
    let user = || rows::bytes(row, subject).map(UserHash);
    Ok(match rows::get(row, first)? {
        "session" => End::Session {
            id: SessionId(rows::bytes(row, subject)?),
            why: rows::parsed(row, why)?,
            expires: rows::time(row, until)?,
        },
        "user" => End::User { user: user()?, app: scope_of(row, app)?, at: rows::time(row, at)? },
        "app" => End::App { app: scope_of(row, app)?, at: rows::time(row, at)? },
        "opt_out" => End::OptOut { user: user()?, app: scope_of(row, app)? },
        "opt_in" => End::OptIn { user: user()?, app: scope_of(row, app)? },
        "login" => End::Login {
            app: rows::parsed(row, app)?,
            login: LoginHash(rows::bytes(row, subject)?),
            issued_until: rows::time(row, at)?,
            remembered_until: rows::time(row, until)?,
        },
        _ => return Err(rows::damaged(first, "it is no kind of end that this version knows")),
    })
}

/// Reads a column of one app, or of all (`None`).
fn scope_of(row: &Row, column: usize) -> Result<Option<AppName>, RowError> {
    match rows::get(row, column)? {
        "" => Ok(None),
        _ => rows::parsed(row, column).map(Some),
    }
}

/// A position that no transaction of this server has reached was on another one: nothing is known of that node.
fn follower_of(row: &Row) -> Result<Follower, RowError> {
    let (reported, here) = (EndsPosition(rows::unsigned(row, 3)?), EndsPosition::from(Horizon::of(row)?));
    let position = if reported > here { EndsPosition::default() } else { reported };
    let (node, looked, serves_until) = (rows::get(row, 2)?, rows::time(row, 4)?, rows::time_or_null(row, 5)?);
    Ok(Follower { node, position, looked, serves_until })
}
