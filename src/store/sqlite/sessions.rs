//! The table `sessions`. A refresh is one UPDATE of one row.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, rows};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{SessionId, UserHash},
        login_record::LoginRecord,
        session::{Ended, Session},
    },
    store::{Advance, Creation, Sessions, StoreError},
};

/// SELECT of the columns that [`session_of`] reads, in its order.
macro_rules! select_session {
    ($where:literal) => {
        concat!(
            "SELECT id, app, user, counter, created, rotated, idle_expires, expires, ended, ",
            opted_out!(),
            ", ",
            app_ended!(),
            " FROM sessions ",
            $where
        )
    };
}
pub(super) use select_session;

const INSERT: &str = concat!(
    "INSERT INTO sessions (id, user, app, counter, created, rotated, idle_expires, expires, ended, ended_at) ",
    "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, iif(?9 IS NULL, NULL, ?5) ",
    "WHERE NOT EXISTS (SELECT 1 FROM opt_outs o WHERE o.user = ?2 AND (o.app = '' OR o.app = ?3))",
);

/// Number of a user's rows on an app that have no end of their own: the index has all that it needs.
const COUNT_NOT_ENDED: &str = "SELECT count(*) FROM sessions WHERE user = ?1 AND app = ?2 AND ended IS NULL";

/// These rows, without `?3`, in the order in which they are evicted, each with whether it is live at `?4`. Rows that
/// expired, or whose app's sessions were all ended, come first.
const IN_EVICTION_ORDER: &str = concat!(
    "SELECT id, idle_expires > ?4 AND expires > ?4 AND NOT ",
    app_ended!(),
    " AS live FROM sessions WHERE user = ?1 AND app = ?2 AND ended IS NULL AND id <> ?3 ",
    "ORDER BY live, rotated, id LIMIT ?5",
);

const EVICT: &str = "UPDATE sessions SET ended = ?2, ended_at = ?3 WHERE id = ?1";

const ADVANCE: &str = concat!(
    "UPDATE sessions SET counter = ?3, rotated = ?4, idle_expires = ?5 ",
    "WHERE id = ?1 AND counter = ?2 AND ended IS NULL AND NOT ",
    opted_out!(),
    " AND NOT ",
    app_ended!(),
);

/// Ends a session even while its user is opted out: after an opt-in the session must not be live again.
const END: &str =
    concat!("UPDATE sessions SET ended = ?2, ended_at = ?3 WHERE id = ?1 AND ended IS NULL AND NOT ", app_ended!());

#[async_trait]
impl Sessions for SqliteStore {
    async fn create_session(&self, session: Session) -> Result<Creation, StoreError> {
        let limit = i64::from(self.max_sessions_per_user);
        let counter = self.name.check(rows::stored(session.counter))?;
        self.write(move |c| insert_session(c, &session, counter, limit)).await
    }

    async fn create_session_within_limit(&self, session: Session) -> Result<Creation, StoreError> {
        let limit = i64::from(self.max_sessions_per_user);
        let counter = self.name.check(rows::stored(session.counter))?;
        self.write(move |c| {
            if not_ended(c, &session)? < limit {
                insert_session(c, &session, counter, limit)
            } else {
                Ok(Creation::Full)
            }
        })
        .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.read(|c| c.prepare_cached(select_session!("WHERE id = ?1"))?.query_row([id.0], session_of).optional())
    }

    async fn advance_session(&self, step: Advance) -> Result<bool, StoreError> {
        let from = self.name.check(rows::stored(step.from))?;
        let to = self.name.check(rows::stored(step.to))?;
        self.write(move |c| {
            let values = params![step.id.0, from, to, step.rotated.0, step.idle_expires.0];
            Ok(c.prepare_cached(ADVANCE)?.execute(values)? == 1)
        })
        .await
    }

    async fn adopt_session(&self, _session: Session, _login: Option<LoginRecord>) -> Result<(), StoreError> {
        Err(self.name.unavailable("skeleton"))
    }

    async fn end_session(&self, id: SessionId, why: Ended, now: UnixMillis) -> Result<bool, StoreError> {
        self.write(move |c| Ok(c.prepare_cached(END)?.execute(params![id.0, why.as_str(), now.0])? == 1)).await
    }
}

/// Inserts a session, and ends those that are too many then.
pub(super) fn insert_session(
    c: &Connection,
    session: &Session,
    counter: i64,
    limit: i64,
) -> rusqlite::Result<Creation> {
    let kept = c.prepare_cached(INSERT)?.execute(params![
        session.id.0,
        session.user.0,
        session.app.as_str(),
        counter,
        session.created.0,
        session.rotated.0,
        session.idle_expires.0,
        session.expires.0,
        session.ended.map(Ended::as_str),
    ])?;
    if kept == 0 {
        return Ok(Creation::OptedOut);
    }
    let rows = not_ended(c, session)?;
    let evicted = if rows > limit { evict(c, session, rows - limit)? } else { 0 };
    Ok(Creation::Created { evicted })
}

fn not_ended(c: &Connection, of: &Session) -> rusqlite::Result<i64> {
    c.prepare_cached(COUNT_NOT_ENDED)?.query_row(params![of.user.0, of.app.as_str()], |row| row.get(0))
}

/// Ends `surplus` older sessions of the user of `new` on its app. Returns the number of those that were live. The rows
/// stay, because their refresh tokens can still be presented.
fn evict(c: &Connection, new: &Session, surplus: i64) -> rusqlite::Result<u64> {
    let mut statement = c.prepare_cached(IN_EVICTION_ORDER)?;
    let values = params![new.user.0, new.app.as_str(), new.id.0, new.created.0, surplus];
    let evicted: Vec<([u8; 16], bool)> =
        statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut end = c.prepare_cached(EVICT)?;
    for (id, _) in &evicted {
        end.execute(params![id, Ended::Evicted.as_str(), new.created.0])?;
    }
    Ok(evicted.iter().map(|(_, live)| u64::from(*live)).sum())
}

/// Reads a session from the columns of `select_session!`.
pub(super) fn session_of(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: SessionId(row.get(0)?),
        app: rows::parsed(row, 1)?,
        user: UserHash(row.get(2)?),
        counter: rows::unsigned(row, 3)?,
        created: rows::time(row, 4)?,
        rotated: rows::time(row, 5)?,
        idle_expires: rows::time(row, 6)?,
        expires: rows::time(row, 7)?,
        ended: ended_of(row)?,
    })
}

/// Returns the end of a session: an opt-out first, else its own end, else the end of all sessions of its app.
fn ended_of(row: &Row<'_>) -> rusqlite::Result<Option<Ended>> {
    if row.get(9)? {
        return Ok(Some(Ended::OptedOut));
    }
    let own = row.get_ref(8)?.as_str_or_null()?.map(parse_end).transpose()?;
    let app_ended: bool = row.get(10)?;
    Ok(own.or(app_ended.then_some(Ended::Revoked)))
}

fn parse_end(name: &str) -> rusqlite::Result<Ended> {
    name.parse().map_err(|_| rows::damaged(8, UnknownEnd(name.to_owned())))
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an end of a session")]
struct UnknownEnd(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrations;

    /// A user may have thousands of ended rows; a login reads none of them.
    #[test]
    fn a_login_reads_no_ended_row() {
        let c = Connection::open_in_memory().unwrap();
        migrations::apply_all(&c).unwrap();
        for query in [COUNT_NOT_ENDED, IN_EVICTION_ORDER] {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            // Its parameters stay unbound.
            let plan: Vec<String> =
                statement.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap();
            let searched = "INDEX sessions_by_user (user=? AND app=? AND ended=?)";
            assert!(plan.iter().any(|step| step.contains(searched)), "{plan:?}");
        }
    }
}
