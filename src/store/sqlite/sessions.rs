//! The table `sessions`. A refresh is one UPDATE of one row.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};

use super::{
    SqliteStore,
    creations::{adopt, insert_session, not_ended},
    provider_logins::insert_session_of_login,
    rows,
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, record_of},
        ids::{SessionId, UserHash},
        login_record::LoginRecord,
        session::{Ended, Session},
    },
    store::{
        Advance, Creation, Sessions, StoreError,
        acts::{end_of_adopted, session_ended},
    },
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

pub(super) const ADVANCE: &str = concat!(
    "UPDATE sessions SET counter = ?3, rotated = ?4, idle_expires = ?5 ",
    "WHERE id = ?1 AND counter = ?2 AND ended IS NULL AND NOT ",
    opted_out!(),
    " AND NOT ",
    app_ended!(),
);

/// Ends a session even while its user is opted out: after an opt-in the session must not be live again.
const END: &str = concat!(
    "UPDATE sessions SET ended = ?2, ended_at = ?3 WHERE id = ?1 AND ended IS NULL AND NOT ",
    app_ended!(),
    " RETURNING app, user",
);

#[async_trait]
impl Sessions for SqliteStore {
    async fn create_session(&self, session: Session) -> Result<Creation, StoreError> {
        let limit = i64::from(self.max_sessions_per_user);
        let counter = self.name.check(rows::stored(session.counter))?;
        self.write(move |c| insert_session(c, &session, counter, limit)).await
    }

    async fn create_session_within_limit(
        &self,
        session: Session,
        login: Option<LoginRecord>,
    ) -> Result<Creation, StoreError> {
        let limit = i64::from(self.max_sessions_per_user);
        let counter = self.name.check(rows::stored(session.counter))?;
        self.write(move |c| match &login {
            _ if not_ended(c, &session)? >= limit => Ok(Creation::Full),
            Some(login) => insert_session_of_login(c, &session, login, counter, limit),
            None => insert_session(c, &session, counter, limit),
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

    async fn adopt_session(
        &self,
        session: Session,
        login: Option<LoginRecord>,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let limit = i64::from(self.max_sessions_per_user);
        let counter = self.name.check(rows::stored(session.counter))?;
        let record = end_of_adopted(&session, actor).as_ref().map(record_of);
        self.act(true, move |c| {
            let kept = adopt(c, &session, login.as_ref(), counter, limit)?;
            Ok(((), record.iter().filter(|_| kept).cloned().collect()))
        })
        .await
    }

    async fn end_session(&self, id: SessionId, why: Ended, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError> {
        let mut event = session_ended(id, why, now, actor);
        self.act(true, move |c| {
            let target = |row: &Row<'_>| Ok((rows::parsed(row, 0)?, UserHash(row.get(1)?)));
            let ended = c.prepare_cached(END)?.query_row(params![id.0, why.as_str(), now.0], target).optional()?;
            let Some((app, user)) = ended else { return Ok((false, Vec::new())) };
            (event.target.app, event.target.user) = (Some(app), Some(user));
            Ok((true, vec![record_of(&event)]))
        })
        .await
    }
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
