//! New rows of the table `sessions`, many at a time.
//!
//! A transaction locks the users first, so that of two nodes at which a user logs in, the later one counts the session
//! of the earlier. It locks the logins at providers too, so that a logout either sees a session, or is seen by it.

use std::{collections::HashMap, sync::Arc};

use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    batcher::Work,
    conditions::app_ended,
    database::{Database, Param},
    rows::{self, RowError},
    transactions::{Failure, Locks},
};
use crate::{
    domain::{
        login_record::LoginRecord,
        session::{Ended, Session},
    },
    store::{Creation, StoreError},
    telemetry::StoreWork,
};

/// Inserts sessions, no two of one user, and ends those that are too many then: rows that expired, or whose app's
/// sessions were all ended, go before live ones.
///
/// A session that is put on record later than it began is refused by no logout and no opt-out: it is ended where an end of
/// its user or its login covers it, and an opt-out or an end of its app is found at each read. No other ends for it then.
const CREATE: &str = concat!(
    "WITH asked AS MATERIALIZED ( \
         SELECT asked.*, \
             EXISTS (SELECT 1 FROM countersign.sign_outs o WHERE o.app = asked.app \
                 AND o.login IN (asked.subject, asked.login) AND o.issued_until >= asked.issued) AS signed_out, \
             EXISTS (SELECT 1 FROM countersign.opt_outs o \
                 WHERE o.user_hash = asked.user_hash AND o.app IN ('', asked.app)) AS opted_out, \
             (SELECT count(*) FROM countersign.sessions s \
                 WHERE s.user_hash = asked.user_hash AND s.app = asked.app AND s.ended IS NULL) AS others, \
             asked.adopted AND EXISTS (SELECT 1 FROM countersign.user_ends e WHERE e.user_hash = asked.user_hash \
                 AND e.app IN ('', asked.app) AND e.ended_at >= asked.created) AS revoked, \
             asked.adopted AND EXISTS (SELECT 1 FROM countersign.app_ends e \
                 WHERE e.app IN ('', asked.app) AND e.ended_at >= asked.created) AS app_ended \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $16) WITH ORDINALITY AS asked \
             (id, user_hash, app, counter, created, rotated, idle_expires, expires, given_end, subject, login, issued, \
              spares_others, adopted, record, n)), \
     new AS ( \
         SELECT *, CASE WHEN given_end IS NOT NULL OR NOT adopted THEN given_end WHEN revoked THEN 'revoked' \
             WHEN signed_out THEN 'logout' END AS ended FROM asked), \
     inserted AS ( \
         INSERT INTO countersign.sessions (id, user_hash, app, counter, created, rotated, idle_expires, expires, \
             ended, ended_at, provider_subject, provider_session, credential_issued) \
         SELECT id, user_hash, app, counter, created, rotated, idle_expires, expires, \
             ended, CASE WHEN ended IS NOT NULL THEN created END, subject, login, issued FROM new \
         WHERE adopted OR NOT signed_out AND NOT opted_out AND NOT (spares_others AND others >= $15) \
         ON CONFLICT (id) DO NOTHING RETURNING id), \
     surplus AS ( \
         SELECT old.id, old.live, new.n, new.created FROM new JOIN inserted USING (id), LATERAL ( \
             SELECT s.id, s.idle_expires > new.created AND s.expires > new.created AND NOT ",
    app_ended!(),
    " AS live FROM countersign.sessions s \
             WHERE s.user_hash = new.user_hash AND s.app = new.app AND s.ended IS NULL ORDER BY live, s.rotated, s.id \
             LIMIT greatest(new.others + CASE WHEN new.ended IS NULL THEN 1 ELSE 0 END - $15, 0)) old \
         WHERE new.others >= $15 AND NOT (new.adopted AND (new.ended IS NOT NULL OR new.opted_out OR new.app_ended))), \
     locked AS ( \
         SELECT s.id, surplus.live, surplus.n, surplus.created \
         FROM surplus JOIN countersign.sessions s ON s.id = surplus.id \
         WHERE s.ended IS NULL ORDER BY s.id FOR UPDATE OF s), \
     evicted AS ( \
         UPDATE countersign.sessions s SET ended = 'evicted', ended_at = l.created FROM locked l WHERE s.id = l.id \
         RETURNING l.n, l.live), \
     recorded AS MATERIALIZED ( \
         SELECT countersign.record_acts(array_agg(record ORDER BY n), true) AS status \
         FROM new JOIN inserted USING (id), (SELECT count(*) FROM evicted) evicted WHERE record IS NOT NULL) \
     SELECT inserted.id IS NOT NULL, spares_others AND others >= $15, signed_out, opted_out, \
         (SELECT count(*) FROM evicted e WHERE e.n = new.n AND e.live), (SELECT status FROM recorded) \
     FROM new LEFT JOIN inserted USING (id) ORDER BY new.n",
);

/// Session to be created.
pub(super) struct NewSession {
    pub(super) session: Session,
    /// Login at a provider that it begins with.
    pub(super) login: Option<LoginRecord>,
    /// No other session may end for it.
    pub(super) spares_others: bool,
    /// It began before, while the store was out of reach.
    pub(super) adopted: bool,
    /// Record of its end, if it is put on record with one.
    pub(super) end: Option<String>,
}

/// Creations of sessions.
pub(super) struct Creations {
    pub(super) database: Arc<Database>,
    pub(super) max_sessions_per_user: u32,
}

impl PostgresStore {
    /// Creates a session.
    pub(super) async fn begin_session(&self, new: NewSession) -> Result<Creation, StoreError> {
        let created = self.add_session(new).await?;
        created.ok_or_else(|| self.database.name.unavailable("a session of this id is on record"))
    }

    /// Creates a session. Returns `None` where one of its id is on record.
    pub(super) async fn add_session(&self, new: NewSession) -> Result<Option<Creation>, StoreError> {
        self.database.may_write()?;
        // One that cannot be stored must not make the others of its batch fail.
        rows::stored(new.session.counter).map_err(|why| self.database.name.unavailable(why))?;
        self.creations.run(new).await
    }
}

impl Work for Creations {
    const KIND: StoreWork = StoreWork::Write;
    type Item = NewSession;
    /// `None` where a session of this id is on record.
    type Answer = Option<Creation>;

    async fn run(&self, items: &[NewSession]) -> Result<Vec<Option<Creation>>, Failure> {
        let mut locks = Locks::default();
        for new in items {
            locks.user(&new.session.user);
            if let Some(login) = &new.login {
                locks.login_begins(&login.subject);
                locks.login_begins(&login.session);
            }
        }
        let rounds = rounds(items);
        let limit = i64::from(self.max_sessions_per_user);
        let columns: Vec<Columns<'_>> =
            rounds.iter().map(|round| Columns::of(round, items)).collect::<Result<_, _>>()?;
        let params: Vec<_> = columns.iter().map(|columns| columns.params(&limit)).collect();
        let params: Vec<&[Param<'_>]> = params.iter().map(|params| &params[..]).collect();
        let rows = self.database.transact(&locks, CREATE, &params).await?;
        for (new, row) in rounds.iter().flatten().map(|index| &items[*index]).zip(&rows) {
            self.database.hold_unless_recorded(Some(row), 5, new.end.iter().cloned().collect())?;
        }
        in_order(&rounds, &rows, items.len())
    }
}

/// Divides the sessions into rounds, each with the indexes of sessions of different users: a round sees what the one
/// before it wrote.
fn rounds(items: &[NewSession]) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut next: HashMap<&[u8], usize> = HashMap::with_capacity(2 * items.len());
    for (index, new) in items.iter().enumerate() {
        let (user, id) = (&new.session.user.0[..], &new.session.id.0[..]);
        let round = [user, id].iter().filter_map(|key| next.get(key)).copied().max().unwrap_or(0);
        next.insert(user, round + 1);
        next.insert(id, round + 1);
        if round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[round].push(index);
    }
    rounds
}

/// Reads the answers, and puts them into the order of the items.
fn in_order(rounds: &[Vec<usize>], rows: &[Row], count: usize) -> Result<Vec<Option<Creation>>, Failure> {
    let indexes: Vec<usize> = rounds.iter().flatten().copied().collect();
    if rows.len() != count {
        return Err(Failure::Store(format!("{} of {count} sessions have an answer", rows.len())));
    }
    let mut answers = vec![None; count];
    for (index, row) in indexes.into_iter().zip(rows) {
        answers[index] = creation_of(row)?;
    }
    Ok(answers)
}

fn creation_of(row: &Row) -> Result<Option<Creation>, RowError> {
    let is = |column| rows::get::<bool>(row, column);
    Ok(if is(0)? {
        Some(Creation::Created { evicted: rows::unsigned(row, 4)? })
    } else if is(1)? {
        Some(Creation::Full)
    } else if is(2)? {
        Some(Creation::SignedOut)
    } else if is(3)? {
        Some(Creation::OptedOut)
    } else {
        None
    })
}

/// The columns of one round, as arrays.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<&'a [u8]>,
    users: Vec<&'a [u8]>,
    apps: Vec<&'a str>,
    counters: Vec<i64>,
    created: Vec<i64>,
    rotated: Vec<i64>,
    idle_expires: Vec<i64>,
    expires: Vec<i64>,
    ended: Vec<Option<&'static str>>,
    subjects: Vec<Option<&'a [u8]>>,
    logins: Vec<Option<&'a [u8]>>,
    issued: Vec<Option<i64>>,
    spares_others: Vec<bool>,
    adopted: Vec<bool>,
    ends: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(round: &[usize], items: &'a [NewSession]) -> Result<Self, RowError> {
        let mut columns = Self::default();
        for new in round.iter().map(|index| &items[*index]) {
            columns.push(new)?;
        }
        Ok(columns)
    }

    fn push(&mut self, new: &'a NewSession) -> Result<(), RowError> {
        let session = &new.session;
        self.ids.push(&session.id.0);
        self.users.push(&session.user.0);
        self.apps.push(session.app.as_str());
        self.counters.push(rows::stored(session.counter)?);
        self.created.push(session.created.0);
        self.rotated.push(session.rotated.0);
        self.idle_expires.push(session.idle_expires.0);
        self.expires.push(session.expires.0);
        self.ended.push(session.ended.map(Ended::as_str));
        self.subjects.push(new.login.as_ref().map(|login| &login.subject.0[..]));
        self.logins.push(new.login.as_ref().map(|login| &login.session.0[..]));
        self.issued.push(new.login.as_ref().map(|login| login.issued.0));
        self.spares_others.push(new.spares_others);
        self.adopted.push(new.adopted);
        self.ends.push(new.end.as_deref());
        Ok(())
    }

    fn params<'p>(&'p self, limit: &'p i64) -> [Param<'p>; 16] {
        [
            (&self.ids, Type::BYTEA_ARRAY),
            (&self.users, Type::BYTEA_ARRAY),
            (&self.apps, Type::TEXT_ARRAY),
            (&self.counters, Type::INT8_ARRAY),
            (&self.created, Type::INT8_ARRAY),
            (&self.rotated, Type::INT8_ARRAY),
            (&self.idle_expires, Type::INT8_ARRAY),
            (&self.expires, Type::INT8_ARRAY),
            (&self.ended, Type::TEXT_ARRAY),
            (&self.subjects, Type::BYTEA_ARRAY),
            (&self.logins, Type::BYTEA_ARRAY),
            (&self.issued, Type::INT8_ARRAY),
            (&self.spares_others, Type::BOOL_ARRAY),
            (&self.adopted, Type::BOOL_ARRAY),
            (limit, Type::INT8),
            (&self.ends, Type::TEXT_ARRAY),
        ]
    }
}
