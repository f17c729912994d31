//! The thread that writes. It commits all waiting writes together, because the disk's confirmation of a commit is
//! what takes the time.
//!
//! A batch of jobs is one transaction. Where one of them fails or panics, the batch is rolled back, and each job is
//! run again in a transaction of its own. So no job needs a savepoint, and none can leave half of its work behind.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    checkpoint::Checkpointer,
    errors::{Fault, StoreName},
    file::StoreFile,
    stall::{Progress, Stall},
};
use crate::{
    store::StoreError,
    telemetry::{Metrics, Stopwatch, StoreWork, run_again_after_panics, start_thread},
};

/// Greatest number of waiting writes; further ones are refused at once.
const QUEUE: usize = 4096;
/// Greatest number of writes in one commit.
const BATCH: usize = 256;

/// Handle to the thread. Dropping it waits until all waiting writes are done.
pub(super) struct Writer {
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    stall: Stall,
    name: StoreName,
}

impl Writer {
    /// Starts the thread. Nobody waits for a batch that takes longer than `timeout`.
    pub(super) fn start(
        connection: Connection,
        log: Checkpointer,
        file: Arc<StoreFile>,
        name: StoreName,
        metrics: Arc<Metrics>,
        timeout: Duration,
    ) -> Result<Self, StoreError> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let (stall, progress) = Stall::watch(timeout).map_err(|why| name.unavailable(why))?;
        let mut worker = WriterThread { log, connection, file, name: name.clone(), metrics, progress };
        let thread = start_thread("store-writer", move || {
            run_again_after_panics(&Arc::clone(&worker.metrics), || worker.serve(&waiting));
        })
        .map_err(|why| name.unavailable(why))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), stall, name })
    }

    /// Runs `work` in a transaction, and returns when the transaction is durable. `work` may be run more than once:
    /// each time from the state before it. It is run even if the caller stops waiting.
    ///
    /// # Errors
    /// [`StoreError::OutOfReach`] where the disk does not confirm writes in time, or reports a fault. A queue that is full
    /// is no outage: as long as the thread makes progress, it is load, and those who load it must not get answers that
    /// know less of what has ended. Where the thread makes none, those in the queue notice.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stalled = self.stall.begins();
        if self.stall.lasts() {
            return Err(self.name.fault(&self.stall.fault()));
        }
        let (reply, answer) = oneshot::channel();
        self.send(Box::new(Task::new(work, reply)))?;
        tokio::select! {
            biased;
            answer = answer => answer.unwrap_or_else(|_| Err(self.gone())),
            () = stalled => Err(self.name.fault(&self.stall.fault())),
        }
    }

    /// Error where the thread has ended: nothing is lost, and nothing can be written until a restart.
    fn gone(&self) -> StoreError {
        self.name.out_of_reach("its writing thread is gone; restart countersign")
    }

    fn send(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.try_send(job));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(self.name.unavailable("too many writes are waiting")),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(self.gone()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // The thread catches its own panics.
            let _ = thread.join();
        }
    }
}

/// A waiting write.
trait Job: Send {
    fn run(&mut self, connection: &mut Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>, metrics: &Metrics);
    fn runtime(&self) -> Option<&Handle>;
}

struct Task<T, W> {
    work: W,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    watch: Stopwatch,
    /// Runtime of the caller; none where something else polls it.
    runtime: Option<Handle>,
}

impl<T, W> Task<T, W> {
    fn new(work: W, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { work, done: None, reply, watch: Stopwatch::start(), runtime: Handle::try_current().ok() }
    }
}

impl<T: Send, W: FnMut(&mut Connection) -> rusqlite::Result<T> + Send> Job for Task<T, W> {
    fn run(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        self.done = None;
        self.done = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>, metrics: &Metrics) {
        metrics.store_worked(StoreWork::Write, self.watch.elapsed());
        let answer = match (outcome, self.done) {
            (Ok(()), Some(done)) => Ok(done),
            (Err(why), _) => Err(why),
            // The reply is dropped, so that the caller is told that the writer is gone.
            (Ok(()), None) => return,
        };
        // It fails where the caller has stopped waiting.
        let _ = self.reply.send(answer);
    }

    fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }
}

/// Reason for which a batch was not committed.
enum Failure {
    /// A transaction could not be begun or committed, or was committed to a file that is gone: nothing can be written.
    Store(Fault),
    /// One of the jobs failed; the others may succeed.
    Job(Fault),
}

/// State of the thread.
struct WriterThread {
    // Dropped before `connection`, which closes last and so copies the rest of the log into the file.
    log: Checkpointer,
    connection: Connection,
    file: Arc<StoreFile>,
    name: StoreName,
    metrics: Arc<Metrics>,
    progress: Progress,
}

impl WriterThread {
    fn serve(&mut self, waiting: &Receiver<Box<dyn Job>>) {
        // Also after a panic: nothing is being done.
        self.progress.end();
        let mut batch = Vec::with_capacity(BATCH);
        let mut alone = true;
        while let Ok(first) = waiting.recv() {
            batch.push(first);
            // Callers that are about to write may go first, so that one commit serves them all. It matters where
            // there are few processors. A write that seems to be the only one goes at once: while it waits for the
            // disk, the processor is free for the signature that it goes with.
            if !alone {
                thread::yield_now();
            }
            batch.extend(waiting.try_iter().take(BATCH - 1));
            alone = batch.len() == 1;
            self.progress.begin();
            self.finish(&mut batch);
            self.progress.end();
        }
    }

    fn finish(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        match self.commit(batch) {
            Ok(()) => self.answer_all(batch),
            Err(Failure::Job(_)) if batch.len() > 1 => self.finish_one_by_one(batch),
            Err(Failure::Job(why) | Failure::Store(why)) => self.refuse(batch.drain(..), &why),
        }
    }

    /// Answers one caller at once, several from a task. Where this thread wakes a task, that takes a system call and
    /// often a switch of threads; where a task does it, neither.
    fn answer_all(&self, batch: &mut Vec<Box<dyn Job>>) {
        let runtime = batch.first().and_then(|first| first.runtime()).filter(|_| batch.len() > 1).cloned();
        let answer = |metrics: &Metrics, jobs: Vec<Box<dyn Job>>| {
            for job in jobs {
                job.answer(Ok(()), metrics);
            }
        };
        let (metrics, jobs) = (Arc::clone(&self.metrics), mem::take(batch));
        match runtime {
            Some(runtime) => drop(runtime.spawn(async move { answer(&metrics, jobs) })),
            None => answer(&metrics, jobs),
        }
    }

    fn finish_one_by_one(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let mut jobs = batch.drain(..);
        while let Some(mut job) = jobs.next() {
            match self.commit(slice::from_mut(&mut job)) {
                Ok(()) => job.answer(Ok(()), &self.metrics),
                Err(Failure::Job(why)) => self.refuse([job].into_iter(), &why),
                // The other jobs would fail in the same way, one after the other.
                Err(Failure::Store(why)) => return self.refuse([job].into_iter().chain(jobs), &why),
            }
        }
    }

    fn refuse(&self, jobs: impl Iterator<Item = Box<dyn Job>>, why: &Fault) {
        jobs.for_each(|job| job.answer(Err(self.name.fault(why)), &self.metrics));
    }

    /// Commits the whole batch in one transaction: all of it is durable, or nothing was done.
    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        if let Err(failure) = self.try_commit(batch) {
            self.roll_back();
            return Err(match failure {
                Failure::Store(fault) => Failure::Store(self.file.unless_lost(fault)),
                Failure::Job(fault) => Failure::Job(self.file.unless_lost(fault)),
            });
        }
        self.metrics.committed(batch.len());
        self.log.committed(&self.connection);
        // Only now: a write is lost too where the file was removed just before the commit.
        self.file.still_there().map_err(Failure::Store)
    }

    fn try_commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        execute(&self.connection, "BEGIN IMMEDIATE").map_err(|why| Failure::Store(Fault::from(&why)))?;
        let ran = catch_unwind(AssertUnwindSafe(|| batch.iter_mut().try_for_each(|job| job.run(&mut self.connection))));
        match ran {
            Ok(Ok(())) => execute(&self.connection, "COMMIT").map_err(|why| Failure::Store(Fault::from(&why))),
            Ok(Err(why)) => Err(Failure::Job(Fault::from(&why))),
            Err(_) => Err(Failure::Job(Fault::Other("a write panicked; this is a bug of countersign".to_owned()))),
        }
    }

    /// Rolls the transaction back, unless SQLite did so by itself (it does where the disk is full).
    fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(why) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(%why, "a transaction of the store could not be rolled back");
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    fn writer() -> (Writer, tempfile::TempDir) {
        writer_within(Duration::from_mins(1))
    }

    fn writer_within(timeout: Duration) -> (Writer, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.db");
        drop(file::create_owner_only(&path).unwrap());
        let mut connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY); CREATE TABLE meta (name, value);").unwrap();
        let name = StoreName::new(&path);
        let log = Checkpointer::start(&path, &mut connection, &name, Metrics::new()).unwrap();
        let file = Arc::new(StoreFile::existing(&path, &name).unwrap());
        (Writer::start(connection, log, file, name, Metrics::new(), timeout).unwrap(), dir)
    }

    async fn put(writer: &Writer, n: i64) -> Result<usize, StoreError> {
        writer.run(move |c| c.execute("INSERT INTO t VALUES (?1)", [n])).await
    }

    async fn count(writer: &Writer) -> i64 {
        writer.run(|c| c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).await.unwrap()
    }

    /// Keeps the thread busy until the sender is dropped, so that jobs that are sent meanwhile become one batch.
    fn hold(writer: &Writer) -> std::sync::mpsc::Sender<()> {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (reply, _) = oneshot::channel::<Result<(), StoreError>>();
        let work = move |_: &mut Connection| {
            let _ = held.recv();
            Ok(())
        };
        writer.send(Box::new(Task::new(work, reply))).unwrap();
        release
    }

    #[tokio::test]
    #[expect(clippy::panic, reason = "the panic is what is tested")]
    async fn a_job_that_fails_or_panics_makes_no_other_fail() {
        let (writer, _dir) = writer();
        let held = hold(&writer);
        let panics = writer.run(|c| -> rusqlite::Result<()> {
            c.execute("INSERT INTO t VALUES (100)", [])?;
            panic!("on purpose")
        });
        let half = writer.run(|c| {
            c.execute("INSERT INTO t VALUES (200)", [])?;
            c.execute("INSERT INTO t VALUES (1)", [])
        });
        let all = async { tokio::join!(put(&writer, 1), half, panics, put(&writer, 2)) };
        let release = async move {
            tokio::task::yield_now().await;
            drop(held);
        };
        let ((first, half, panicked, last), ()) = tokio::join!(all, release);
        assert!(first.is_ok() && last.is_ok());
        assert!(matches!(half, Err(StoreError::Unavailable { .. })));
        assert!(matches!(panicked, Err(StoreError::Unavailable { .. })));
        assert_eq!(count(&writer).await, 2, "nothing half done is left");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (writer, _dir) = writer();
        let held = hold(&writer);
        // The job that holds the thread may still be in the queue; or the thread may have taken a batch out of the
        // queue.
        let refused = send_many(&writer, QUEUE + BATCH + 8);
        assert!((8..=BATCH + 9).contains(&refused), "{refused}");
        drop(held);
        while put(&writer, 1).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(count(&writer).await, 1, "the queue has room again, without a restart");
    }

    /// Sends `count` jobs without waiting for their answers. Returns the number of those that were refused.
    fn send_many(writer: &Writer, count: usize) -> usize {
        let one = || {
            let (reply, _) = oneshot::channel::<Result<(), StoreError>>();
            let work = |_: &mut Connection| Ok(());
            writer.send(Box::new(Task::new(work, reply)))
        };
        (0..count).filter(|_| one().is_err()).count()
    }

    #[tokio::test]
    async fn a_disk_that_hangs_is_waited_for_once() {
        let (writer, _dir) = writer_within(Duration::from_millis(200));
        let held = hold(&writer);
        let (one, two) = tokio::join!(put(&writer, 1), put(&writer, 2));
        for refused in [one, two, put(&writer, 3).await] {
            assert!(refused.unwrap_err().is_outage());
        }
        drop(held);
        while put(&writer, 4).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(count(&writer).await, 3, "those that were waited for are done; the third was not begun");
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_is_done_before_the_end() {
        let (writer, dir) = writer();
        let held = hold(&writer);
        let path = dir.path().join("w.db");
        {
            let mut write = Box::pin(put(&writer, 7));
            assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx))).await.is_pending());
        }
        drop(held);
        drop(writer);
        let kept: i64 = Connection::open(path).unwrap().query_row("SELECT n FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 7);
    }
}
