//! The store in one SQLite file, for one node and for commands that run beside it.
//!
//! One thread writes ([`writer`]) and commits all waiting writes in one transaction. A second thread ([`checkpoint`])
//! copies committed pages from the write-ahead log into the file. A few read-only connections ([`readers`]) answer
//! queries on the caller's thread. [`mod@file`] makes and checks the file, [`migrations`] makes and migrates its
//! tables; most other modules are named after the tables that they read and write. Several processes may have one
//! file open: SQLite's locks keep them apart, and no table is cached in memory.

/// SQL condition on a row of `sessions`: its user is opted out of its app, or of all apps. The plus signs keep SQLite
/// from building a list of the two apps to search by, which costs 2 µs a refresh: one user has few opt-outs.
macro_rules! opted_out {
    () => {
        "EXISTS (SELECT 1 FROM opt_outs o \
         WHERE o.user = sessions.user AND (+o.app = '' OR +o.app = sessions.app))"
    };
}

/// SQL condition on a row of `sessions`: all sessions of its app, or of all apps, were ended after it was created.
/// The first subquery does not refer to the row, so that SQLite evaluates it once a statement.
macro_rules! app_ended {
    () => {
        "((sessions.created <= (SELECT a.ended_at FROM app_ends a WHERE a.app = '')) IS TRUE \
         OR (sessions.created <= (SELECT e.ended_at FROM app_ends e WHERE e.app = sessions.app)) IS TRUE)"
    };
}

mod api_keys;
mod audit_log;
mod checkpoint;
mod clock_floor;
mod connect;
mod errors;
mod file;
mod key_transactions;
mod keys;
mod meta;
mod migrations;
mod nodes;
mod purge;
mod readers;
mod restoration;
mod rows;
mod sessions;
mod upkeep;
mod users;
mod writer;

use std::sync::{Arc, Mutex};

use rusqlite::Connection;

pub use self::restoration::Restoration;
use self::{
    checkpoint::Checkpointer, errors::StoreName, file::StoreFile, purge::Sweep, readers::Readers, writer::Writer,
};
use super::{Config, StoreError};
use crate::telemetry::{Metrics, Stopwatch, StoreWork};

/// Number of connections for point reads. Such a read takes microseconds, so that it rarely has to wait for another.
const POINT_READERS: usize = 4;
/// Number of connections for reads that may take long, on threads that may block.
const LONG_READERS: usize = 2;

/// The store in one SQLite file.
pub(super) struct SqliteStore {
    // Fields are dropped in this order. The writer's connection closes last, and so SQLite copies the log into the
    // file and deletes the log.
    readers: Readers,
    long_readers: Arc<Readers>,
    writer: Writer,
    file: StoreFile,
    name: StoreName,
    metrics: Arc<Metrics>,
    sweep: Arc<Mutex<Sweep>>,
    max_sessions_per_user: u32,
}

impl SqliteStore {
    /// Opens the file, creating and migrating it as needed.
    pub(super) fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let name = StoreName::new(&config.path);
        let file = StoreFile::prepare(&config.path, &name)?;
        let mut connection = name.check(connect::writing(file.path()))?;
        migrations::bring_up_to_date(&mut connection, &name)?;
        let log = Checkpointer::start(file.path(), &mut connection, &name, Arc::clone(&metrics))?;
        Ok(Self {
            readers: name.check(Readers::open(file.path(), POINT_READERS))?,
            long_readers: Arc::new(name.check(Readers::open(file.path(), LONG_READERS))?),
            writer: Writer::start(connection, log, name.clone(), Arc::clone(&metrics))?,
            file,
            name,
            metrics,
            sweep: Arc::default(),
            max_sessions_per_user: config.max_sessions_per_user.get(),
        })
    }

    /// Runs a point read on the caller's thread, which is cheaper than handing it to another thread.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let watch = Stopwatch::start();
        let answer = self.readers.with(query);
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        self.name.check(answer)
    }

    /// Runs a read that may take long on a thread that may block.
    async fn read_long<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let watch = Stopwatch::start();
        let readers = Arc::clone(&self.long_readers);
        let done = tokio::task::spawn_blocking(move || readers.with(query)).await;
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        self.name.check(done.map_err(|why| self.name.unavailable(why))?)
    }

    /// Runs a write, and returns when it is durable; see [`Writer::run`].
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(work).await
    }
}
