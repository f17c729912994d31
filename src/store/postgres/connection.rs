//! Connection of the pool: statements and transactions on it, each with the time until which it may take.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Object;
use tokio::time::{Instant, error::Elapsed, timeout_at};
use tokio_postgres::{
    Client, Error, IsolationLevel, Row, Statement, Transaction,
    types::{ToSql, Type},
};

use super::{connect::Connector, errors::is_broken, rows::RowError};

/// Parameter of a statement, with its type: the server need not be asked for it first.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// End of a transaction.
pub(super) enum Done<T> {
    Commit(T),
    RollBack(T),
}

/// Statements of one transaction. They may be run twice, each time from the state before them.
#[async_trait]
pub(super) trait Steps: Sync {
    type Answer: Send;

    /// Runs the statements.
    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Self::Answer>, RowError>;

    /// Longest time that they may take, where an answer of the database usually takes at most `usual`.
    fn longest(&self, usual: Duration) -> Duration {
        usual
    }
}

/// Reason why there is no answer.
pub(super) enum NoAnswer {
    /// The time is over.
    Silence,
    Row(RowError),
}

/// What the statements of a transaction see.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Each sees what was committed before it.
    EachStatement,
    /// All see the same state.
    Snapshot,
}

/// Statement as the server gets it.
pub(super) enum Prepared<'a> {
    /// As its text, with its parameters: nothing of it stays on the connection.
    Text(&'a str),
    /// By the name that it has on this connection.
    Named(Statement),
}

/// Connection of the pool; it goes back when it is dropped.
pub(super) struct Connection<'a> {
    pub(super) object: Object,
    pub(super) connector: &'a Connector,
    /// Statements are prepared once, under a name.
    pub(super) prepared: bool,
}

impl Connection<'_> {
    /// Client of this connection.
    pub(super) fn client(&self) -> &Client {
        &self.object
    }

    /// Runs a statement, and returns its rows.
    pub(super) async fn rows(self, sql: &str, params: &[Param<'_>], deadline: Instant) -> Result<Vec<Row>, NoAnswer> {
        let answer = timeout_at(deadline, async { self.ask(&self.prepare(sql, params).await?, params).await }).await;
        self.settle(answer)
    }

    /// Prepares a statement, if the connection is one on which that lasts.
    pub(super) async fn prepare<'s>(&self, sql: &'s str, params: &[Param<'_>]) -> Result<Prepared<'s>, Error> {
        if !self.prepared {
            return Ok(Prepared::Text(sql));
        }
        let types: Vec<Type> = params.iter().map(|(_, type_)| type_.clone()).collect();
        self.object.prepare_typed_cached(sql, &types).await.map(Prepared::Named)
    }

    /// Runs a prepared statement. It is sent when the future is first polled.
    pub(super) async fn ask(&self, statement: &Prepared<'_>, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        match statement {
            Prepared::Text(sql) => self.client().query_typed(sql, params).await,
            Prepared::Named(statement) => {
                let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
                self.client().query(statement, &values).await
            }
        }
    }

    /// Runs the steps of a transaction. The level is given, since the database may have another default.
    pub(super) async fn transaction<S: Steps>(
        &mut self,
        steps: &S,
        isolation: Isolation,
    ) -> Result<S::Answer, RowError> {
        let only_reads = isolation == Isolation::Snapshot;
        let level = if only_reads { IsolationLevel::RepeatableRead } else { IsolationLevel::ReadCommitted };
        let client: &mut Client = &mut self.object;
        let transaction = client.build_transaction().isolation_level(level).read_only(only_reads).start().await?;
        match steps.run(&transaction).await? {
            Done::Commit(answer) => transaction.commit().await.map(|()| answer),
            Done::RollBack(answer) => transaction.rollback().await.map(|()| answer),
        }
        .map_err(RowError::from)
    }

    /// Takes an answer. Where it does not come, or the connection is of no use any more, the connection is closed.
    pub(super) fn settle<T, E: Into<RowError>>(self, answer: Result<Result<T, E>, Elapsed>) -> Result<T, NoAnswer> {
        let why = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(why)) => Some(why.into()),
            Err(_) => None,
        };
        if why.is_none() {
            // The server would go on, and keep its locks.
            self.connector.cancel(self.object.cancel_token());
        }
        if why.as_ref().is_none_or(is_broken) {
            drop(Object::take(self.object));
        }
        Err(why.map_or(NoAnswer::Silence, NoAnswer::Row))
    }
}
