//! The store in one SQLite file: for one node, and for commands that run beside it.
//!
//! [`writer`] is one thread that commits whatever waits in one transaction, [`checkpoint`] another that moves what was
//! committed from the log into the file; [`readers`] are a few read-only connections
//! used right where the question is asked. [`mod@file`] looks after the file itself, [`migrations`] after its tables.
//! Several processes may have one file open: SQLite's locks keep them apart, and nothing durable is cached here.

/// In a `WHERE` about the table `sessions`: its user is opted out. One user has few such rows, so the plus signs keep
/// the engine from making a list of both apps to search actor: that costs 2 µs a refresh.
macro_rules! opted_out {
    () => {
        "EXISTS (SELECT 1 FROM opt_outs o \
         WHERE o.user = sessions.user AND (+o.app = '' OR +o.app = sessions.app))"
    };
}

/// In a `WHERE` about the table `sessions`: all sessions of its app, or of all apps, were ended after it began.
/// The first subquery stands alone, so that a statement asks it once.
macro_rules! app_ended {
    () => {
        "((sessions.created <= (SELECT a.ended_at FROM app_ends a WHERE a.app = '')) IS TRUE \
         OR (sessions.created <= (SELECT e.ended_at FROM app_ends e WHERE e.app = sessions.app)) IS TRUE)"
    };
}

mod acts;
mod api_keys;
mod checkpoint;
mod connect;
mod errors;
mod file;
mod keys;
mod migrations;
mod nodes;
mod purge;
mod readers;
mod rows;
mod sessions;
mod upkeep;
mod users;
mod writer;

use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use self::{
    checkpoint::Checkpointer, errors::StoreName, file::StoreFile, purge::Sweep, readers::Readers, writer::Writer,
};
use super::{Config, StoreError};
use crate::{
    clock::UnixMillis,
    telemetry::{Metrics, Stopwatch, StoreWork},
};

/// Connections for point reads; each takes microseconds, so that they rarely meet.
const POINT_READERS: usize = 4;
/// Connections for reads that take long, on threads that may block.
const LONG_READERS: usize = 2;

/// The store in one SQLite file.
pub(super) struct SqliteStore {
    // Dropped in this order: the writer closes last, and so moves the log into the file and deletes it.
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
            max_sessions_per_user: config.max_sessions_per_user.max(1),
        })
    }

    /// A point read, on the thread that asks: it is cheaper than going to another.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let watch = Stopwatch::start();
        let answer = self.readers.with(query);
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        self.name.check(answer)
    }

    /// A read that may take long, on a thread that may block.
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

    /// A write, answered when it is durable; see [`Writer::run`].
    async fn write<T: Send + 'static>(
        &self,
        now: Option<UnixMillis>,
        work: impl FnMut(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(now, work).await
    }
}
