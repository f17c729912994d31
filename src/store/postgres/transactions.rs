//! Statements that may be repeated, and transactions that lock names before they look: of two that lock the same name,
//! the later one sees what the earlier one wrote.
//!
//! A statement sees what was committed before it began, so that a lock must be taken by a statement of its own. The
//! statements of a transaction are sent together and their answers awaited together: it takes one round trip.

use std::{collections::BTreeMap, time::Duration};

use tokio_postgres::{Client, Error, Row, error::SqlState, types::Type};

use super::{
    database::{Database, Param},
    errors::{explain, may_be_repeated},
    rows::RowError,
};
use crate::{
    domain::{ids::UserHash, login_record::LoginHash},
    store::StoreError,
};

/// Longest wait for the answers to a transaction.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The rows come one by one in the order of the arrays, and the locks with them.
const LOCK: &str = "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(key) ELSE pg_advisory_xact_lock_shared(key) END \
     FROM unnest($1, $2) AS wanted (key, alone)";

/// Each statement sees what was committed before it began, whatever the database's default is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Reason why nothing was written, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The database does not answer: other statements would fail, too.
    #[error("{0}")]
    Store(String),
    /// The values of this statement are refused; others may be accepted.
    #[error("{0}")]
    Values(String),
}

impl From<RowError> for Failure {
    fn from(why: RowError) -> Self {
        // The row was read after the statement had taken effect: it must not be repeated.
        Self::Store(why.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(why: StoreError) -> Self {
        match why {
            StoreError::Unavailable { why, .. } => Self::Store(why),
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<Error> for Failure {
    fn from(why: Error) -> Self {
        if why.code().is_some_and(is_of_values) { Self::Values(explain(&why)) } else { Self::Store(explain(&why)) }
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
pub(super) struct Locks(BTreeMap<i64, bool>);

impl Locks {
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
        *self.0.entry(key).or_default() |= alone;
    }
}

impl Database {
    /// Runs a statement, once more where the server gave it up because of others. Returns its rows.
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
        match self.attempt(locks, sql, rounds).await? {
            Err(why) if may_be_repeated(&why) => Ok(self.attempt(locks, sql, rounds).await??),
            answer => Ok(answer?),
        }
    }

    async fn attempt(
        &self,
        locks: &Locks,
        sql: &str,
        rounds: &[&[Param<'_>]],
    ) -> Result<Result<Vec<Row>, Error>, Failure> {
        let connection = self.connection().await?;
        let ran = tokio::time::timeout(TIMEOUT, attempt(connection.client(), locks, sql, rounds)).await;
        ran.map_err(|_| {
            // Its answers may still come, to questions that nobody asks any more.
            connection.discard();
            Failure::Store(format!("no answer in {} s", TIMEOUT.as_secs()))
        })
    }
}

async fn attempt(client: &Client, locks: &Locks, sql: &str, rounds: &[&[Param<'_>]]) -> Result<Vec<Row>, Error> {
    match rounds {
        [] => Ok(Vec::new()),
        [only] if locks.0.is_empty() => client.query_typed(sql, only).await,
        [only] => {
            let (begun, rows, committed) = tokio::join!(biased; begin(client, locks), client.query_typed(sql, only), client.batch_execute("COMMIT"));
            // The server rolls back where a statement failed, also when it is told to commit.
            begun?;
            rows.and_then(|rows| committed.map(|()| rows))
        }
        several => {
            let rows = in_turn(client, locks, sql, several).await;
            if rows.is_err() {
                // Where the connection is lost, so is the transaction.
                let _ = client.batch_execute("ROLLBACK").await;
            }
            rows
        }
    }
}

async fn in_turn(client: &Client, locks: &Locks, sql: &str, rounds: &[&[Param<'_>]]) -> Result<Vec<Row>, Error> {
    begin(client, locks).await?;
    let mut rows = Vec::new();
    for round in rounds {
        rows.extend(client.query_typed(sql, round).await?);
    }
    client.batch_execute("COMMIT").await.map(|()| rows)
}

async fn begin(client: &Client, locks: &Locks) -> Result<(), Error> {
    let (keys, alone): (Vec<i64>, Vec<bool>) = locks.0.iter().unzip();
    let params: [Param<'_>; 2] = [(&keys, Type::INT8_ARRAY), (&alone, Type::BOOL_ARRAY)];
    tokio::try_join!(biased; client.batch_execute(BEGIN), client.query_typed(LOCK, &params)).map(drop)
}
