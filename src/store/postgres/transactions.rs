//! Statements that may be repeated, and transactions that lock names before they look: of two that lock the same name,
//! the later one sees what the earlier one wrote.
//!
//! A statement sees what was committed before it began, so that a lock must be taken by a statement of its own. The
//! statements of a transaction are sent together and their answers awaited together: it takes one round trip.

use std::collections::BTreeMap;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Client, Error, Row, error::SqlState, types::Type};

use super::{
    connection::{Connection, NoAnswer, Prepared},
    database::{Database, Param},
    errors::{StoreName, explain, is_forked, is_outage},
    rows::RowError,
};
use crate::{
    domain::{ids::UserHash, login_record::LoginHash},
    store::StoreError,
};

/// The rows come one by one in the order of the arrays, and the locks with them.
const LOCK: &str = "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(key) ELSE pg_advisory_xact_lock_shared(key) END \
     FROM unnest($1, $2) AS wanted (key, alone)";

/// Each statement sees what was committed before it began, whatever the database's default is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Reason why nothing was written, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The database does not answer, or takes no writes.
    #[error("{0}")]
    OutOfReach(String),
    /// The database answers, and other statements would fail, too.
    #[error("{0}")]
    Store(String),
    /// A fork of the audit log is on record, and the act is refused.
    #[error("{0}")]
    Forked(String),
    /// The values of this statement are refused; others may be accepted.
    #[error("{0}")]
    Values(String),
}

impl Failure {
    /// Returns the error of the store of this name.
    pub(super) fn of(self, name: &StoreName) -> StoreError {
        match self {
            Self::OutOfReach(why) => name.out_of_reach(why),
            Self::Forked(why) => name.forked(why),
            Self::Store(why) | Self::Values(why) => name.unavailable(why),
        }
    }
}

impl From<RowError> for Failure {
    fn from(why: RowError) -> Self {
        // The row was read after the statement had taken effect: it must not be repeated.
        match why {
            RowError::Column(why) if is_outage(&why) => Self::OutOfReach(why.to_string()),
            why => Self::Store(why.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(why: StoreError) -> Self {
        match why {
            StoreError::OutOfReach { why, .. } => Self::OutOfReach(why),
            StoreError::Unavailable { why, .. } => Self::Store(why),
            StoreError::Forked { why, .. } => Self::Forked(why),
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(why: Error) -> Self {
        let shown = explain(&why);
        if why.code().is_some_and(is_of_values) {
            Self::Values(shown)
        } else if is_outage(&why) {
            Self::OutOfReach(shown)
        } else if is_forked(&why) {
            Self::Forked(shown)
        } else {
            Self::Store(shown)
        }
    }
}

/// Returns true for the classes of errors that come from a statement's values: data, integrity
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn is_of_values(code: &SqlState) -> bool {
    ["22", "23"].iter().any(|class| code.code().starts_with(class))
}

/// Names to lock until the end of a transaction. They are locked in one order, so that no two transactions wait for
/// each other.
#[derive(Default)]
pub(super) struct Locks {
    keys: BTreeMap<i64, bool>,
    /// The transaction is begun also where there is nothing to lock.
    begins: bool,
}

impl Locks {
    /// Nothing to lock, for an act: it waits for the head of the audit log, and must see it as it is then, whatever the
    /// database's default is.
    pub(super) fn of_act() -> Self {
        Self { keys: BTreeMap::new(), begins: true }
    }

    /// Adds a user, whom nobody else may lock meanwhile.
    pub(super) fn user(&mut self, user: &UserHash) {
        self.add(&user.0, true);
    }

    /// Adds a login that begins a session: others may begin too.
    pub(super) fn login_begins(&mut self, login: &LoginHash) {
        self.add(&login.0, false);
    }

    /// Adds a login that ends: none may begin meanwhile.
    pub(super) fn login_ends(&mut self, login: &LoginHash) {
        self.add(&login.0, true);
    }

    /// Locks by the first bytes of a keyed hash. Where two are alike, one waits for the other without need.
    fn add(&mut self, hash: &[u8], alone: bool) {
        let key = hash.iter().take(8).fold(0, |key, byte| key << 8 | i64::from(*byte));
        *self.keys.entry(key).or_default() |= alone;
    }
}

impl Database {
    /// Runs a statement that may write, once more where the server gave it up because of others. Returns its rows.
    pub(super) async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        self.transact(&Locks::default(), sql, &[params]).await
    }

    /// Takes the locks, runs the statement once for each of `rounds`, which are its parameters, and commits; once more
    /// where the server gave it up because of others. Returns the rows of all rounds.
    pub(super) async fn transact(
        &self,
        locks: &Locks,
        sql: &str,
        rounds: &[&[Param<'_>]],
    ) -> Result<Vec<Row>, Failure> {
        self.may_write()?;
        let deadline = self.deadline();
        let mut answer = self.attempt(locks, sql, rounds, deadline).await?;
        if answer.as_ref().is_err_and(NoAnswer::may_be_repeated) {
            answer = self.attempt(locks, sql, rounds, deadline).await?;
        }
        answer.map_err(|why| match why {
            NoAnswer::Row(RowError::Column(why)) => why.into(),
            why => match self.check::<()>(Err(why)) {
                Err(why) => why.into(),
                Ok(()) => Failure::Store("there is no answer".to_owned()),
            },
        })
    }

    async fn attempt(
        &self,
        locks: &Locks,
        sql: &str,
        rounds: &[&[Param<'_>]],
        deadline: Instant,
    ) -> Result<Result<Vec<Row>, NoAnswer>, Failure> {
        let connection = self.connection(deadline).await?;
        let ran = timeout_at(deadline, attempt(&connection, locks, sql, rounds)).await;
        Ok(connection.settle(ran))
    }
}

async fn attempt(
    connection: &Connection<'_>,
    locks: &Locks,
    sql: &str,
    rounds: &[&[Param<'_>]],
) -> Result<Vec<Row>, Error> {
    let Some(first) = rounds.first() else { return Ok(Vec::new()) };
    let (client, statement) = (connection.client(), connection.prepare(sql, first).await?);
    match rounds {
        [only] if locks.keys.is_empty() && !locks.begins => connection.ask(&statement, only).await,
        [only] => {
            let (begun, rows, committed) = tokio::join!(
                biased;
                begin(client, locks),
                connection.ask(&statement, only),
                client.batch_execute("COMMIT")
            );
            // The server rolls back where a statement failed, also when it is told to commit.
            begun?;
            rows.and_then(|rows| committed.map(|()| rows))
        }
        several => {
            let rows = in_turn(connection, locks, &statement, several).await;
            if rows.is_err() {
                // Where the connection is lost, so is the transaction.
                let _ = client.batch_execute("ROLLBACK").await;
            }
            rows
        }
    }
}

async fn in_turn(
    connection: &Connection<'_>,
    locks: &Locks,
    statement: &Prepared<'_>,
    rounds: &[&[Param<'_>]],
) -> Result<Vec<Row>, Error> {
    begin(connection.client(), locks).await?;
    let mut rows = Vec::new();
    for round in rounds {
        rows.extend(connection.ask(statement, round).await?);
    }
    connection.client().batch_execute("COMMIT").await.map(|()| rows)
}

async fn begin(client: &Client, locks: &Locks) -> Result<(), Error> {
    if locks.keys.is_empty() {
        return client.batch_execute(BEGIN).await;
    }
    let (keys, alone): (Vec<i64>, Vec<bool>) = locks.keys.iter().unzip();
    let params: [Param<'_>; 2] = [(&keys, Type::INT8_ARRAY), (&alone, Type::BOOL_ARRAY)];
    tokio::try_join!(biased; client.batch_execute(BEGIN), client.query_typed(LOCK, &params)).map(drop)
}
