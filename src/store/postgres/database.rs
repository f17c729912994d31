//! Statements on a pool of connections.
//!
//! A statement that gets no answer in time ends with an error, and its connection is closed. A read is repeated where
//! its connection was lost, as all are when the server restarts. A write never is: it may have been committed.

use std::{ops::Deref, sync::Arc, time::Duration};

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Client, Row};

pub(super) use super::connection::{Done, Param, Steps};
use super::{
    Target,
    connect::Connector,
    connection::{Connection, Isolation, NoAnswer},
    errors::{StoreName, is_lost, may_be_repeated},
};
use crate::{
    store::{Config, StoreError, acts::Held},
    telemetry::{Metrics, Stopwatch, StoreWork},
};

/// Operations that a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadAndWrite,
    Read,
}

/// Pool of connections to one database.
pub(super) struct Database {
    pool: Pool,
    connector: Connector,
    pub(super) name: StoreName,
    pub(super) metrics: Arc<Metrics>,
    /// Acts that took effect and that the database could not record.
    pub(super) held: Held,
    access: Access,
    timeout: Duration,
    /// Statements are prepared once a connection, under a name.
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
        Ok(Self {
            pool,
            connector,
            name,
            metrics,
            held: Held::default(),
            access,
            timeout: config.timeout,
            prepared: config.prepared,
        })
    }

    /// Runs a statement that only reads, and returns its rows.
    pub(super) async fn read(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let watch = Stopwatch::start();
        let answer = self.read_rows(sql, params).await;
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        answer
    }

    /// Does so for a caller that keeps the metrics.
    pub(super) async fn read_rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let deadline = self.deadline();
        let mut lost = 0;
        loop {
            match self.connection(deadline).await?.rows(sql, params, deadline).await {
                Err(why) if self.may_read_again(&why, &mut lost) => {}
                answer => return self.check(answer),
            }
        }
    }

    /// Runs a statement that writes, and returns its rows when they are durable.
    pub(super) async fn write(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.may_write()?;
        let watch = Stopwatch::start();
        let deadline = self.deadline();
        let mut answer = self.connection(deadline).await?.rows(sql, params, deadline).await;
        if answer.as_ref().is_err_and(NoAnswer::may_be_repeated) {
            answer = self.connection(deadline).await?.rows(sql, params, deadline).await;
        }
        self.wrote(&watch);
        self.check(answer)
    }

    /// Runs the steps of a transaction, and returns their answer when it is durable.
    pub(super) async fn run<S: Steps>(&self, steps: &S) -> Result<S::Answer, StoreError> {
        self.may_write()?;
        let watch = Stopwatch::start();
        let deadline = Instant::now() + steps.longest(self.timeout);
        let mut answer = self.run_once(steps, Isolation::EachStatement, deadline).await?;
        if answer.as_ref().is_err_and(NoAnswer::may_be_repeated) {
            answer = self.run_once(steps, Isolation::EachStatement, deadline).await?;
        }
        self.wrote(&watch);
        self.check(answer)
    }

    /// Runs steps that only read, all of them as of one point in time.
    pub(super) async fn snapshot<S: Steps>(&self, steps: &S) -> Result<S::Answer, StoreError> {
        let watch = Stopwatch::start();
        let deadline = Instant::now() + steps.longest(self.timeout);
        let mut lost = 0;
        let answer = loop {
            match self.run_once(steps, Isolation::Snapshot, deadline).await? {
                Err(why) if self.may_read_again(&why, &mut lost) => {}
                answer => break answer,
            }
        };
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        self.check(answer)
    }

    async fn run_once<S: Steps>(
        &self,
        steps: &S,
        isolation: Isolation,
        deadline: Instant,
    ) -> Result<Result<S::Answer, NoAnswer>, StoreError> {
        let mut connection = self.connection(deadline).await?;
        let answer = timeout_at(deadline, connection.transaction(steps, isolation)).await;
        Ok(connection.settle(answer))
    }

    /// Returns true where a read is to be repeated: every connection of the pool may be lost, and each is met once.
    fn may_read_again(&self, why: &NoAnswer, lost: &mut usize) -> bool {
        *lost += 1;
        *lost <= self.pool.status().max_size && matches!(why, NoAnswer::Row(why) if is_lost(why))
    }

    /// Fails where the store is open for reading only.
    pub(super) fn may_write(&self) -> Result<(), StoreError> {
        if self.access == Access::Read { Err(self.name.read_only()) } else { Ok(()) }
    }

    fn wrote(&self, watch: &Stopwatch) {
        self.metrics.store_worked(StoreWork::Write, watch.elapsed());
        self.metrics.committed(1);
    }

    /// Moment at which an answer must be there to a question that is asked now.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Returns a connection that nobody else uses.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Connection<'_>, StoreError> {
        let object = self.object(deadline).await?;
        Ok(Connection { object, connector: &self.connector, prepared: self.prepared })
    }

    /// Takes a connection out of the pool for good.
    pub(super) async fn session(&self) -> Result<Session, StoreError> {
        self.object(self.deadline()).await.map(|object| Session(Object::take(object)))
    }

    async fn object(&self, deadline: Instant) -> Result<Object, StoreError> {
        match timeout_at(deadline, self.pool.get()).await {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(why)) => Err(self.name.no_connection(&why, self.timeout)),
            Err(_) => Err(self.name.silent(self.timeout)),
        }
    }

    /// Converts an answer.
    pub(super) fn check<T>(&self, answer: Result<T, NoAnswer>) -> Result<T, StoreError> {
        answer.map_err(|why| match why {
            NoAnswer::Silence => self.name.silent(self.timeout),
            NoAnswer::Row(why) => self.name.refused(&why),
        })
    }
}

impl NoAnswer {
    /// Returns true where the server gave the statement up because of others, so that nothing was written.
    pub(super) fn may_be_repeated(&self) -> bool {
        matches!(self, Self::Row(why) if may_be_repeated(why))
    }
}

/// Connection that is in no pool. It is closed when it is dropped, and a transaction on it rolled back.
pub(super) struct Session(ClientWrapper);

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}
