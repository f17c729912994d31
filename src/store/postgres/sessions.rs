//! The table `sessions`: reads, compare-and-sets and ends of single sessions. [`super::creations`] adds rows.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    batcher::Work,
    conditions::{app_ended, opted_out},
    creations::NewSession,
    database::{Database, Param},
    rows::{self, RowError},
    session_ends::SessionEnd,
    transactions::Failure,
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
    telemetry::StoreWork,
};

/// SELECT of the columns that [`session_of`] reads, in its order.
macro_rules! select_session {
    ($where:literal) => {
        concat!(
            "SELECT id, app, user_hash, counter, created, rotated, idle_expires, expires, ended, ",
            opted_out!(),
            ", ",
            app_ended!(),
            " FROM countersign.sessions s ",
            $where
        )
    };
}
pub(super) use select_session;

const READ: &str = select_session!("WHERE id = ANY($1)");

/// Compare-and-set on many sessions. Their rows are locked first, in the order of their ids, so that no two batches
/// wait for each other. Where a row had to be waited for, the conditions on it are checked again on what it is then;
/// opt-outs and ends of apps are seen as they were when the statement began, which was after the advance was asked for.
const ADVANCE: &str = concat!(
    "WITH step AS MATERIALIZED (SELECT * FROM unnest($1, $2, $3, $4, $5) \
         WITH ORDINALITY AS step (id, was, next, rotated, idle_expires, n)), \
     locked AS (SELECT s.id, step.next, step.rotated, step.idle_expires, step.n \
         FROM step JOIN countersign.sessions s ON s.id = step.id \
         WHERE s.counter = step.was AND s.ended IS NULL AND NOT ",
    opted_out!(),
    " AND NOT ",
    app_ended!(),
    " ORDER BY s.id FOR UPDATE OF s) \
     UPDATE countersign.sessions s SET counter = l.next, rotated = l.rotated, idle_expires = l.idle_expires \
     FROM locked l WHERE s.id = l.id RETURNING l.n",
);

#[async_trait]
impl Sessions for PostgresStore {
    async fn create_session(&self, session: Session) -> Result<Creation, StoreError> {
        self.begin_session(NewSession { session, login: None, spares_others: false, adopted: false, end: None }).await
    }

    async fn create_session_within_limit(
        &self,
        session: Session,
        login: Option<LoginRecord>,
    ) -> Result<Creation, StoreError> {
        self.begin_session(NewSession { session, login, spares_others: true, adopted: false, end: None }).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let read = self.reads.run(id).await?;
        read.map_err(|why| self.database.name.unavailable(why))
    }

    async fn advance_session(&self, step: Advance) -> Result<bool, StoreError> {
        self.database.may_write()?;
        // One that cannot be stored must not make the others of its batch fail.
        for counter in [step.from, step.to] {
            rows::stored(counter).map_err(|why| self.database.name.unavailable(why))?;
        }
        self.advances.run(step).await
    }

    async fn adopt_session(
        &self,
        session: Session,
        login: Option<LoginRecord>,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let end = end_of_adopted(&session, actor).as_ref().map(record_of);
        if end.is_some() {
            self.before_act(true).await?;
        }
        self.add_session(NewSession { session, login, spares_others: false, adopted: true, end }).await.map(drop)
    }

    async fn end_session(&self, id: SessionId, why: Ended, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError> {
        self.before_act(true).await?;
        let record = record_of(&session_ended(id, why, now, actor));
        self.session_ends.run(SessionEnd { id, why, at: now, record }).await
    }
}

/// Reads of single sessions.
pub(super) struct PointReads(pub(super) Arc<Database>);

impl Work for PointReads {
    const KIND: StoreWork = StoreWork::Read;
    type Item = SessionId;
    /// A row that cannot be understood is a fault of that session only.
    type Answer = Result<Option<Session>, String>;

    async fn run(&self, ids: &[SessionId]) -> Result<Vec<Self::Answer>, Failure> {
        let wanted: Vec<&[u8]> = ids.iter().map(|id| &id.0[..]).collect();
        let rows = self.0.read_rows(READ, &[(&wanted, Type::BYTEA_ARRAY)]).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let id: [u8; 16] = rows::bytes(row, 0)?;
            found.insert(id, session_of(row));
        }
        // Several callers may have asked for one session.
        let answer = |id: &SessionId| match found.get(&id.0) {
            None => Ok(None),
            Some(Ok(session)) => Ok(Some(session.clone())),
            Some(Err(why)) => Err(why.to_string()),
        };
        Ok(ids.iter().map(answer).collect())
    }
}

/// Compare-and-sets on single sessions.
pub(super) struct Advances(pub(super) Arc<Database>);

impl Work for Advances {
    const KIND: StoreWork = StoreWork::Write;
    type Item = Advance;
    type Answer = bool;

    /// The second of two advances of one session sees what the first did.
    fn exclusive(step: &Advance) -> Option<SessionId> {
        Some(step.id)
    }

    async fn run(&self, steps: &[Advance]) -> Result<Vec<bool>, Failure> {
        let numbers = |of: fn(&Advance) -> Result<i64, RowError>| steps.iter().map(of).collect::<Result<Vec<i64>, _>>();
        let ids: Vec<&[u8]> = steps.iter().map(|step| &step.id.0[..]).collect();
        let (from, to) = (numbers(|step| rows::stored(step.from))?, numbers(|step| rows::stored(step.to))?);
        let (rotated, idle) = (numbers(|step| Ok(step.rotated.0))?, numbers(|step| Ok(step.idle_expires.0))?);
        let params: [Param<'_>; 5] = [
            (&ids, Type::BYTEA_ARRAY),
            (&from, Type::INT8_ARRAY),
            (&to, Type::INT8_ARRAY),
            (&rotated, Type::INT8_ARRAY),
            (&idle, Type::INT8_ARRAY),
        ];
        let mut advanced = vec![false; steps.len()];
        for row in self.0.rows(ADVANCE, &params).await? {
            let ordinal: usize = rows::unsigned(&row, 0)?;
            // Ordinals begin at 1.
            if let Some(one) = ordinal.checked_sub(1).and_then(|index| advanced.get_mut(index)) {
                *one = true;
            }
        }
        Ok(advanced)
    }
}

/// Reads a session from the columns of `select_session!`.
pub(super) fn session_of(row: &Row) -> Result<Session, RowError> {
    Ok(Session {
        id: SessionId(rows::bytes(row, 0)?),
        app: rows::parsed(row, 1)?,
        user: UserHash(rows::bytes(row, 2)?),
        counter: rows::unsigned(row, 3)?,
        created: rows::time(row, 4)?,
        rotated: rows::time(row, 5)?,
        idle_expires: rows::time(row, 6)?,
        expires: rows::time(row, 7)?,
        ended: ended_of(row)?,
    })
}

/// Returns the end of a session: an opt-out first, else its own end, else the end of all sessions of its app.
fn ended_of(row: &Row) -> Result<Option<Ended>, RowError> {
    if rows::get(row, 9)? {
        return Ok(Some(Ended::OptedOut));
    }
    let own = rows::parsed_or_null(row, 8)?;
    let app_ended: bool = rows::get(row, 10)?;
    Ok(own.or(app_ended.then_some(Ended::Revoked)))
}
