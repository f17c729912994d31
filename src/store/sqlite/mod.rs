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

mod activity;
mod api_keys;
mod audit_append;
mod audit_leaves;
mod audit_log;
mod checkpoint;
mod clock_floor;
mod connect;
mod copy;
mod creations;
mod draft;
mod ends;
mod errors;
mod failures;
mod file;
mod key_transactions;
mod keys;
mod meta;
mod migrations;
mod nodes;
mod operators;
mod opt_outs;
mod provider_logins;
mod purge;
mod readers;
mod restoration;
mod rows;
mod sealed_keys;
mod sessions;
mod stall;
mod upkeep;
mod users;
mod writer;

use std::sync::{Arc, Mutex};

use rusqlite::Connection;

pub(super) use self::copy::{Copied, CopiedDraft};
pub(super) use self::file::breaches;
pub use self::restoration::Restoration;
use self::{
    checkpoint::Checkpointer,
    draft::Draft,
    errors::{Fault, StoreName},
    file::StoreFile,
    purge::Sweep,
    readers::Readers,
    writer::Writer,
};
use super::{Config, StoreError, acts::Held};
use crate::{
    domain::ids::InstallationId,
    telemetry::{Metrics, Stopwatch, StoreWork},
};

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
    /// `None` where the store is open for reading only.
    writer: Option<Writer>,
    file: Arc<StoreFile>,
    name: StoreName,
    metrics: Arc<Metrics>,
    sweep: Arc<Mutex<Sweep>>,
    max_sessions_per_user: u32,
    held: Held,
}

/// Creates an empty store: as a whole, or not at all.
pub(super) fn create(config: &Config, id: InstallationId) -> Result<(), StoreError> {
    let name = StoreName::new(&config.path);
    let draft = Draft::begin(&config.path, &name)?;
    name.check(connect::alone(draft.path()).and_then(|mut connection| migrations::create(&mut connection, &id)))?;
    draft.put_in_place()
}

impl SqliteStore {
    /// Opens the file, and migrates it as needed.
    pub(super) fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let name = StoreName::new(&config.path);
        let mut file = StoreFile::existing(&config.path, &name)?;
        let connection = name.check(connect::unprepared(file.path()))?;
        // An empty file, or a database of another program, stays as it is.
        migrations::check_maker(&connection, &name)?;
        let mut connection = name.check(connect::prepared(connection))?;
        migrations::bring_up_to_date(&mut connection, &name)?;
        file.watch_log(&name)?;
        let file = Arc::new(file);
        let log = Checkpointer::start(file.path(), &mut connection, &name, Arc::clone(&metrics))?;
        let writer =
            Writer::start(connection, log, Arc::clone(&file), name.clone(), Arc::clone(&metrics), config.timeout)?;
        Self::with(config, file, Some(writer), name, metrics)
    }

    /// Opens the file for reading only.
    pub(super) fn open_read_only(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let name = StoreName::new(&config.path);
        let file = StoreFile::existing(&config.path, &name)?;
        migrations::check_usable(&name.check(connect::reading(file.path()))?, &name)?;
        Self::with(config, Arc::new(file), None, name, metrics)
    }

    fn with(
        config: &Config,
        file: Arc<StoreFile>,
        writer: Option<Writer>,
        name: StoreName,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            readers: name.check(Readers::open(file.path(), POINT_READERS))?,
            long_readers: Arc::new(name.check(Readers::open(file.path(), LONG_READERS))?),
            writer,
            file,
            name,
            metrics,
            sweep: Arc::default(),
            max_sessions_per_user: config.max_sessions_per_user.get(),
            held: Held::default(),
        })
    }

    /// Runs a point read on the caller's thread, which is cheaper than handing it to another thread.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let watch = Stopwatch::start();
        let answer = self.readers.with(query);
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        self.check(answer)
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
        self.check(done.map_err(|why| self.name.unavailable(why))?)
    }

    /// Converts SQLite's error, if there is one.
    fn check<T>(&self, answer: rusqlite::Result<T>) -> Result<T, StoreError> {
        answer.map_err(|why| self.name.fault(&self.file.unless_lost(Fault::from(&why))))
    }

    /// Runs a write, and returns when it is durable; see [`Writer::run`].
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.as_ref().ok_or_else(|| self.name.read_only())?.run(work).await
    }
}
