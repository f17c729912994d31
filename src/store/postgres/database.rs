//! Statements on a pool of connections.
//!
//! A statement that gets no answer in time ends with an error, and its connection is closed. A read is repeated where
//! its connection was lost, as all are when the server restarts. A write never is: it may have been committed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{Object, Pool};
use tokio::time::{Instant, error::Elapsed, timeout_at};
use tokio_postgres::{
    IsolationLevel, Row, Transaction,
    types::{ToSql, Type},
};

use super::{
    Target,
    connect::Connector,
    errors::{StoreName, is_broken, is_lost, may_be_repeated},
    rows::RowError,
};
use crate::{
    store::{Config, StoreError},
    telemetry::{Metrics, Stopwatch, StoreWork},
};

/// Parameter of a statement, with its type: the server need not be asked for it first.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Operations that a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadAndWrite,
    Read,
}

/// End of a transaction's work.
pub(super) enum Done<T> {
    Commit(T),
    RollBack(T),
}

/// Statements of one transaction. They may be run twice, each time from the state before them.
#[async_trait]
pub(super) trait Work: Sync {
    type Answer: Send;

    /// Runs the statements.
    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Self::Answer>, RowError>;

    /// Longest time that it may take, where answers of the database usually take at most `usual`.
    fn longest(&self, usual: Duration) -> Duration {
        usual
    }
}

/// Pool of connections to one database.
pub(super) struct Database {
    pool: Pool,
    connector: Connector,
    pub(super) name: StoreName,
    pub(super) metrics: Arc<Metrics>,
    access: Access,
    timeout: Duration,
    prepared: bool,
}

impl Database {
    /// Makes the pool; it connects when the first statement needs it.
    pub(super) fn open(
        config: &Config,
        target: &Target,
        access: Access,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let name = StoreName::new(target);
        let connector = Connector::new(config, target).map_err(|why| name.unavailable(why))?;
        let pool = connector.pool(config).map_err(|why| name.unavailable(why))?;
        Ok(Self { pool, connector, name, metrics, access, timeout: config.timeout, prepared: config.prepared })
    }

    /// Runs a statement that only reads, and returns its rows.
    pub(super) async fn read(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let watch = Stopwatch::start();
        let deadline = self.deadline();
        let mut lost = 0;
        let answer = loop {
            let connection = self.connection(deadline).await?;
            let answer = connection.rows(sql, params, deadline).await;
            match answer {
                // Every connection of the pool may be lost; each is met once.
                Err(Failure::Row(why)) if is_lost(&why) && lost <= self.pool.status().max_size => lost += 1,
                answer => break answer,
            }
        };
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        self.check(answer)
    }

    /// Runs a statement that writes, and returns its rows when they are durable.
    pub(super) async fn write(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let watch = Stopwatch::start();
        let answer = self.query(sql, params).await;
        self.metrics.store_worked(StoreWork::Write, watch.elapsed());
        self.metrics.committed(1);
        answer
    }

    /// Runs a statement that writes, and returns the number of rows that it changed.
    pub(super) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        self.may_write()?;
        let watch = Stopwatch::start();
        let deadline = self.deadline();
        let mut answer = self.connection(deadline).await?.count(sql, params, deadline).await;
        if matches!(&answer, Err(Failure::Row(why)) if may_be_repeated(why)) {
            answer = self.connection(deadline).await?.count(sql, params, deadline).await;
        }
        self.metrics.store_worked(StoreWork::Write, watch.elapsed());
        self.metrics.committed(1);
        self.check(answer)
    }

    /// Runs a statement that may write, for a caller that keeps the metrics.
    pub(super) async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.may_write()?;
        let deadline = self.deadline();
        let mut answer = self.connection(deadline).await?.rows(sql, params, deadline).await;
        if matches!(&answer, Err(Failure::Row(why)) if may_be_repeated(why)) {
            answer = self.connection(deadline).await?.rows(sql, params, deadline).await;
        }
        self.check(answer)
    }

    /// Runs the work of a transaction, and returns its answer when it is durable.
    pub(super) async fn transact<W: Work>(&self, work: &W) -> Result<W::Answer, StoreError> {
        self.may_write()?;
        let watch = Stopwatch::start();
        let mut answer = self.attempt(work, Isolation::EachStatement).await?;
        if matches!(&answer, Err(Failure::Row(why)) if may_be_repeated(why)) {
            answer = self.attempt(work, Isolation::EachStatement).await?;
        }
        self.metrics.store_worked(StoreWork::Write, watch.elapsed());
        self.metrics.committed(1);
        self.check(answer)
    }

    /// Runs work that only reads, all of it as of one point in time.
    pub(super) async fn snapshot<W: Work>(&self, work: &W) -> Result<W::Answer, StoreError> {
        let watch = Stopwatch::start();
        let mut lost = 0;
        let answer = loop {
            match self.attempt(work, Isolation::Snapshot).await? {
                Err(Failure::Row(why)) if is_lost(&why) && lost <= self.pool.status().max_size => lost += 1,
                answer => break answer,
            }
        };
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        self.check(answer)
    }

    async fn attempt<W: Work>(
        &self,
        work: &W,
        isolation: Isolation,
    ) -> Result<Result<W::Answer, Failure>, StoreError> {
        let deadline = Instant::now() + work.longest(self.timeout);
        let mut connection = self.connection(deadline).await?;
        let answer = timeout_at(deadline, connection.transaction(work, isolation)).await;
        Ok(connection.settle(answer))
    }

    /// Fails where the store is open for reading only.
    pub(super) fn may_write(&self) -> Result<(), StoreError> {
        if self.access == Access::Read { Err(self.name.read_only()) } else { Ok(()) }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Returns a connection that nobody else uses.
    async fn connection(&self, deadline: Instant) -> Result<Connection<'_>, StoreError> {
        match timeout_at(deadline, self.pool.get()).await {
            Ok(Ok(object)) => Ok(Connection { object, database: self }),
            Ok(Err(why)) => Err(self.name.no_connection(&why, self.timeout)),
            Err(_) => Err(self.name.silent(self.timeout)),
        }
    }

    /// Converts an answer.
    fn check<T>(&self, answer: Result<T, Failure>) -> Result<T, StoreError> {
        answer.map_err(|failure| match failure {
            Failure::Silence => self.name.silent(self.timeout),
            Failure::Row(why) => self.name.refused(&why),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Isolation {
    /// Each statement sees what was committed before it.
    EachStatement,
    /// All statements see the same state.
    Snapshot,
}

/// Reason why there is no answer.
enum Failure {
    /// The time is over.
    Silence,
    Row(RowError),
}

/// Connection of the pool; it goes back when it is dropped.
struct Connection<'a> {
    object: Object,
    database: &'a Database,
}

impl Connection<'_> {
    /// Runs a statement, and returns its rows.
    async fn rows(self, sql: &str, params: &[Param<'_>], deadline: Instant) -> Result<Vec<Row>, Failure> {
        let answer = timeout_at(deadline, self.try_rows(sql, params)).await;
        self.settle(answer)
    }

    async fn try_rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, RowError> {
        if !self.database.prepared {
            return Ok(self.object.query_typed(sql, params).await?);
        }
        let (values, types) = separated(params);
        let statement = self.object.prepare_typed_cached(sql, &types).await?;
        Ok(self.object.query(&statement, &values).await?)
    }

    /// Runs a statement, and returns the number of rows that it changed.
    async fn count(self, sql: &str, params: &[Param<'_>], deadline: Instant) -> Result<u64, Failure> {
        let answer = timeout_at(deadline, self.try_count(sql, params)).await;
        self.settle(answer)
    }

    async fn try_count(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, RowError> {
        if !self.database.prepared {
            return Ok(self.object.execute_typed(sql, params).await?);
        }
        let (values, types) = separated(params);
        let statement = self.object.prepare_typed_cached(sql, &types).await?;
        Ok(self.object.execute(&statement, &values).await?)
    }

    /// Runs the work of a transaction. The level is given, since the database may have another default.
    async fn transaction<W: Work>(&mut self, work: &W, isolation: Isolation) -> Result<W::Answer, RowError> {
        let only_reads = isolation == Isolation::Snapshot;
        let level = if only_reads { IsolationLevel::RepeatableRead } else { IsolationLevel::ReadCommitted };
        let client: &mut tokio_postgres::Client = &mut self.object;
        let transaction = client.build_transaction().isolation_level(level).read_only(only_reads).start().await?;
        match work.run(&transaction).await? {
            Done::Commit(answer) => {
                transaction.commit().await?;
                Ok(answer)
            }
            Done::RollBack(answer) => {
                transaction.rollback().await?;
                Ok(answer)
            }
        }
    }

    /// Takes an answer. Where it does not come, or the connection is of no use any more, the connection is closed.
    fn settle<T>(self, answer: Result<Result<T, RowError>, Elapsed>) -> Result<T, Failure> {
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => {
                if is_broken(&why) {
                    drop(Object::take(self.object));
                }
                Err(Failure::Row(why))
            }
            Err(_) => {
                // The server would go on, and keep its locks.
                self.database.connector.cancel(self.object.cancel_token());
                drop(Object::take(self.object));
                Err(Failure::Silence)
            }
        }
    }
}

/// Separates parameters from their types.
fn separated<'a>(params: &[Param<'a>]) -> (Vec<&'a (dyn ToSql + Sync)>, Vec<Type>) {
    params.iter().map(|(value, type_)| (*value, type_.clone())).unzip()
}
