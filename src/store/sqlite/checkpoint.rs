//! The thread that copies pages from the write-ahead log into the store's file (a checkpoint).
//!
//! SQLite would do so inside a commit, every 1000 pages. That write, and all writes that wait for it, would take as
//! long as the disk needs to confirm 1000 pages all over the file: up to 0.1 s, measured.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, ErrorCode, hooks::Wal, wal::CheckpointMode};

use super::{connect, errors::StoreName};
use crate::{
    store::StoreError,
    telemetry::{Metrics, Stopwatch, StoreWork, run_again_after_panics, start_thread},
};

/// Length of the log, in pages, from which the thread copies it; SQLite's own default.
const LONG: usize = 1000;
/// Length of the log, in pages, from which the writer copies it between two commits: 64 MiB, to which the log's file
/// is truncated too. Under steady writes the thread alone may never finish, because each pass finds new pages.
const TOO_LONG: usize = 16_384;
/// Greatest number of passes of one checkpoint. Each pass copies what was written during the pass before, which is
/// less each time. SQLite restarts the log only once every page is copied.
const PASSES: u32 = 8;

/// Handle to the thread. Dropping it waits until the thread has closed its connection.
pub(super) struct Checkpointer {
    /// Length of the log after the last commit, in pages; 0 once [`Checkpointer::committed`] has read it.
    pages: Arc<AtomicUsize>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread. The connection `writer` makes no checkpoints by itself any more.
    pub(super) fn start(
        path: &Path,
        writer: &mut Connection,
        name: &StoreName,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicUsize::new(0));
        let log_pages = Arc::clone(&pages);
        let hook = move |_: &mut Wal, pages| {
            log_pages.store(usize::try_from(pages).unwrap_or_default(), Relaxed);
            Ok(())
        };
        // Replaces SQLite's own hook, which makes the checkpoints inside commits.
        name.check(writer.wal_hook(Some(hook)))?;
        let mut worker = CheckpointThread { connection: name.check(connect::writing(path))?, failed: false, metrics };
        // One waiting message is enough: a checkpoint copies everything that was written until it starts.
        let (wake, woken) = sync_channel(1);
        let thread = start_thread("store-checkpoint", move || {
            run_again_after_panics(&Arc::clone(&worker.metrics), || worker.serve(&woken));
        })
        .map_err(|why| name.unavailable(why))?;
        Ok(Self { pages, wake: Some(wake), thread: Some(thread) })
    }

    /// Starts a checkpoint if the last commit of `writer` left the log long. To be called after each commit.
    pub(super) fn committed(&self, writer: &Connection) {
        match (self.pages.swap(0, Relaxed), &self.wake) {
            // Its error is dropped: the thread meets the same error and reports it.
            (TOO_LONG.., _) => drop(copy_pages(writer)),
            // It fails where a message waits already.
            (LONG.., Some(wake)) => drop(wake.try_send(())),
            _ => {}
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // The thread catches its own panics.
            let _ = thread.join();
        }
    }
}

/// State of the thread.
struct CheckpointThread {
    connection: Connection,
    /// The last checkpoint failed. Of several failures in a row only the first is reported.
    failed: bool,
    metrics: Arc<Metrics>,
}

impl CheckpointThread {
    fn serve(&mut self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            let watch = Stopwatch::start();
            let copied = self.checkpoint();
            self.metrics.store_worked(StoreWork::Checkpoint, watch.elapsed());
            self.report(copied);
        }
    }

    /// Copies pages until none is left, or none can be copied because a reader still needs an older state.
    fn checkpoint(&self) -> rusqlite::Result<()> {
        let mut before = None;
        for _ in 0..PASSES {
            let (pages, copied) = copy_pages(&self.connection)?;
            if copied >= pages || before == Some(copied) {
                break;
            }
            before = Some(copied);
        }
        Ok(())
    }

    /// Reports a failure. Nothing is lost by it: the log stays, and is copied later.
    fn report(&mut self, outcome: rusqlite::Result<()>) {
        match outcome {
            // Another process is making a checkpoint.
            Err(why) if why.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(why) if !self.failed => {
                self.failed = true;
                tracing::error!(%why, "the store's write-ahead log could not be checkpointed; it grows until it can be");
            }
            Err(_) => {}
            Ok(()) => self.failed = false,
        }
    }
}

/// Copies the pages that can be copied without making a reader or a writer wait. Returns the length of the log in
/// pages, and the number of them that are in the file now.
fn copy_pages(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Log {
        writer: Connection,
        checkpointer: Option<Checkpointer>,
        /// Length of the log after the last commit, in pages.
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
        /// Commits at least that many pages. Returns the length of the log, in pages.
        fn write(&self, pages: usize) -> usize {
            let bytes = i64::try_from(pages * 4096).unwrap();
            self.writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes]).unwrap();
            self.pages.load(Relaxed)
        }

        fn committed(&self) {
            self.checkpointer.as_ref().unwrap().committed(&self.writer);
        }

        /// Waits until the thread has made the checkpoint that was asked for, and has ended.
        fn wait(&mut self) {
            drop(self.checkpointer.take());
        }
    }

    #[test]
    fn a_long_log_is_copied_by_the_thread_and_begins_anew() {
        let mut log = log();
        assert!(log.write(LONG) >= LONG);
        assert!(log.write(1) > LONG, "a commit copies nothing");
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
    fn a_log_that_grew_too_long_is_copied_between_two_commits() {
        let log = log();
        log.write(LONG);
        log.pages.store(TOO_LONG, Relaxed);
        log.committed();
        assert!(log.write(1) < 10);
    }

    #[test]
    fn a_reader_keeps_neither_the_thread_nor_a_write_waiting() {
        let mut log = log();
        log.write(1);
        let reader = connect::reading(&log.path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        log.write(LONG);
        log.committed();
        log.wait();
        assert!(log.write(1) > LONG, "what the reader may still need stays");
        reader.execute_batch("COMMIT").unwrap();
        copy_pages(&log.writer).unwrap();
        assert!(log.write(1) < 10, "and is copied when it is gone");
    }
}
