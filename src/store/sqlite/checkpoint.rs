//! The one thread that moves the log's pages into the file. The engine would do it inside of somebody's commit, every
//! thousand pages; that write, and all that wait for it, would last as long as the disk takes to confirm a thousand pages
//! all over the file: up to a tenth of a second, measured.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, ErrorCode, hooks::Wal, wal::CheckpointMode};

use super::{connect, errors::StoreName};
use crate::{
    store::StoreError,
    telemetry::{Metrics, Stopwatch, StoreWork},
};

/// Pages in the log from which on it is moved; the engine's own default.
const LONG: usize = 1000;
/// Pages from which on it is moved between two commits after all: 64 MiB, to which the file is cut back as well. Under
/// steady writing something new may be there after every pass.
const TOO_LONG: usize = 16_384;
/// How often the rest is tried that was written during the pass before. Each is smaller, and only where nothing is left
/// does the log begin anew.
const PASSES: u32 = 8;

/// The way to the thread. Dropping it waits until the thread has closed its connection.
pub(super) struct Checkpointer {
    /// What the last commit made of the log, in pages; 0 once that was looked at.
    pages: Arc<AtomicUsize>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread, for the log that `writer` writes, which stops to move it by itself.
    pub(super) fn start(
        path: &Path,
        writer: &mut Connection,
        name: &StoreName,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicUsize::new(0));
        let noted = Arc::clone(&pages);
        let hook = move |_: &mut Wal, pages| {
            noted.store(usize::try_from(pages).unwrap_or_default(), Relaxed);
            Ok(())
        };
        // Takes the place of the engine's own hook, which would move them.
        name.check(writer.wal_hook(Some(hook)))?;
        let mut worker = CheckpointThread { connection: name.check(connect::writing(path))?, failed: false, metrics };
        // One that waits is enough: whatever was written until it is taken is moved then.
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || worker.serve(&woken))
            .map_err(|why| name.unavailable(why))?;
        Ok(Self { pages, wake: Some(wake), thread: Some(thread) })
    }

    /// Has the log moved where the commits of `writer` since the last call made it long.
    pub(super) fn committed(&self, writer: &Connection) {
        match (self.pages.swap(0, Relaxed), &self.wake) {
            // Where it fails, the thread meets the same and reports it.
            (TOO_LONG.., _) => drop(move_pages(writer)),
            // It fails where one waits already.
            (LONG.., Some(wake)) => drop(wake.try_send(())),
            _ => {}
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct CheckpointThread {
    connection: Connection,
    /// Whether the last attempt failed: the first of several failures is reported.
    failed: bool,
    metrics: Arc<Metrics>,
}

impl CheckpointThread {
    fn serve(&mut self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            let watch = Stopwatch::start();
            let moved = self.shorten();
            self.metrics.store_worked(StoreWork::Checkpoint, watch.elapsed());
            self.report(moved);
        }
    }

    /// Moves what is there, until nothing is left, or nothing can be moved while somebody reads an older state.
    fn shorten(&self) -> rusqlite::Result<()> {
        let mut before = None;
        for _ in 0..PASSES {
            let (pages, moved) = move_pages(&self.connection)?;
            if moved >= pages || before == Some(moved) {
                break;
            }
            before = Some(moved);
        }
        Ok(())
    }

    /// Nothing is lost where it fails: the log stays, and is moved later.
    fn report(&mut self, moved: rusqlite::Result<()>) {
        match moved {
            // Another process is moving it.
            Err(why) if why.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(why) if !self.failed => {
                self.failed = true;
                tracing::error!(%why, "the store's log could not be moved into its file; it grows until it can");
            }
            Err(_) => {}
            Ok(()) => self.failed = false,
        }
    }
}

/// Moves what can be moved without making anybody wait; how many pages the log has, and how many of them are in the file.
fn move_pages(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Log {
        writer: Connection,
        checkpointer: Option<Checkpointer>,
        /// What the last commit made of the log.
        pages: Arc<AtomicUsize>,
        path: PathBuf,
        _dir: tempfile::TempDir,
    }

    fn log() -> Log {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("c.db");
        std::fs::write(&path, b"").unwrap();
        let mut writer = connect::writing(&path).unwrap();
        writer.execute_batch("CREATE TABLE t (blob)").unwrap();
        let checkpointer = Checkpointer::start(&path, &mut writer, &StoreName::new(&path), Metrics::new()).unwrap();
        Log { pages: Arc::clone(&checkpointer.pages), writer, checkpointer: Some(checkpointer), path, _dir: dir }
    }

    impl Log {
        /// Commits at least that many pages; how long the log is then.
        fn write(&self, pages: usize) -> usize {
            let bytes = i64::try_from(pages * 4096).unwrap();
            self.writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes]).unwrap();
            self.pages.load(Relaxed)
        }

        fn committed(&self) {
            self.checkpointer.as_ref().unwrap().committed(&self.writer);
        }

        /// Returns when the thread has done what it was woken for; it ends.
        fn wait(&mut self) {
            drop(self.checkpointer.take());
        }
    }

    #[test]
    fn a_long_log_is_moved_by_the_thread_and_begins_anew() {
        let mut log = log();
        assert!(log.write(LONG) >= LONG);
        assert!(log.write(1) > LONG, "a commit moves nothing");
        log.committed();
        log.wait();
        assert!(log.write(1) < 10);
    }

    #[test]
    fn a_short_log_stays() {
        let mut log = log();
        let before = log.write(LONG / 2);
        log.committed();
        log.wait();
        assert!(log.write(1) > before);
    }

    #[test]
    fn a_log_that_grew_too_long_is_moved_between_two_commits() {
        let log = log();
        log.write(LONG);
        log.pages.store(TOO_LONG, Relaxed);
        log.committed();
        assert!(log.write(1) < 10);
    }

    #[test]
    fn somebody_who_reads_keeps_neither_the_thread_nor_a_write_waiting() {
        let mut log = log();
        log.write(1);
        let reader = connect::reading(&log.path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        log.write(LONG);
        log.committed();
        log.wait();
        assert!(log.write(1) > LONG, "what the reader may still need stays");
        reader.execute_batch("COMMIT").unwrap();
        move_pages(&log.writer).unwrap();
        assert!(log.write(1) < 10, "and is moved when it is gone");
    }
}
