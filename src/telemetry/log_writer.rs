//! Writer of log lines. A thread that logs only queues its line; one thread writes the queue to stderr. A reader that is
//! slow or gone, or a full disk, costs log lines, which are counted, and nothing else.
//!
//! `tracing-appender` has such a queue too. It does not count the lines that cannot be written, its limit is a number of
//! lines whatever their size, and it prints on stdout if it cannot stop, which panics where stdout is closed.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;

use super::start_thread;

/// Greatest size of the queue in bytes: about a second of access lines at 10,000 requests per second.
const CAPACITY: usize = 4 << 20;

/// Time after a write in which lines gather for the next one: each write costs a call of the system and two switches of
/// threads.
const GATHERING: Duration = Duration::from_millis(2);

/// Longest wait at exit for the lines that are still queued.
const FLUSH: Duration = Duration::from_secs(1);

/// Log lines of this process that were not written. The process has one log, so that it has one counter.
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Returns the counter of the log lines that were not written.
pub(super) fn dropped_lines() -> Counter {
    DROPPED.clone()
}

/// Queue of lines that are to be written.
pub(super) struct LineQueue {
    waiting: Mutex<Waiting>,
    /// A line was queued.
    queued: Condvar,
    /// Every line was written or dropped.
    empty: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    lines: u64,
    /// The thread writes lines that it has taken from the queue, or lets the next ones gather.
    writing: bool,
}

impl LineQueue {
    /// Starts the thread that writes to `out`, one call for all lines that wait.
    ///
    /// # Errors
    /// The system's error where the thread does not start.
    pub(super) fn start(out: impl Write + Send + 'static, dropped: Counter) -> io::Result<Arc<Self>> {
        let (queued, empty) = (Condvar::new(), Condvar::new());
        let queue = Arc::new(Self { waiting: Mutex::default(), queued, empty, dropped });
        let served = Arc::clone(&queue);
        start_thread("log", move || served.serve(out))?;
        Ok(queue)
    }

    /// Waits until every line is written or dropped, at most [`FLUSH`].
    pub(super) fn flush(&self) {
        let unwritten = |waiting: &mut Waiting| waiting.writing || !waiting.text.is_empty();
        drop(self.empty.wait_timeout_while(self.lock(), FLUSH, unwritten));
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.text.len() + line.len() > CAPACITY {
            self.dropped.inc();
            return;
        }
        waiting.text.extend_from_slice(line);
        waiting.lines += 1;
        // Waking costs a system call, which is saved while the thread will look by itself.
        let wake = !waiting.writing;
        drop(waiting);
        if wake {
            self.queued.notify_one();
        }
    }

    fn serve(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let lines = self.take(&mut taken);
            if out.write_all(&taken).and_then(|()| out.flush()).is_err() {
                self.dropped.inc_by(lines);
            }
            taken.clear();
            thread::sleep(GATHERING);
        }
    }

    /// Waits for lines, and exchanges them for an empty buffer. Returns their number.
    fn take(&self, empty: &mut Vec<u8>) -> u64 {
        let mut waiting = self.lock();
        waiting.writing = false;
        if waiting.text.is_empty() {
            self.empty.notify_all();
        }
        let nothing = |waiting: &mut Waiting| waiting.text.is_empty();
        let mut waiting = self.queued.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner);
        waiting.writing = true;
        mem::swap(&mut waiting.text, empty);
        mem::take(&mut waiting.lines)
    }

    /// Locks the queue. No code panics under the lock.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writer of one event: each call of `write` is a whole line, as `tracing_subscriber::fmt` calls it.
pub(super) struct LineWriter(pub(super) Arc<LineQueue>);

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Output that shows each text, waits for a permission, and then takes or refuses it.
    struct Gate {
        permits: Receiver<bool>,
        shown: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.shown.send(String::from_utf8_lossy(text).into_owned());
            let open = self.permits.recv().unwrap_or(false);
            if open { Ok(text.len()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Fixture {
        queue: Arc<LineQueue>,
        dropped: Counter,
        permit: Sender<bool>,
        texts: Receiver<String>,
    }

    impl Fixture {
        fn new() -> Self {
            let (permit, permits) = channel();
            let (shown, texts) = channel();
            let dropped = Counter::default();
            let queue = LineQueue::start(Gate { permits, shown }, dropped.clone()).unwrap();
            Self { queue, dropped, permit, texts }
        }

        fn log(&self, line: &str) {
            LineWriter(Arc::clone(&self.queue)).write_all(line.as_bytes()).unwrap();
        }
    }

    #[test]
    fn lines_are_written_in_order_and_those_that_cannot_be_are_counted() {
        let log = Fixture::new();
        log.log("a\n");
        log.permit.send(true).unwrap();
        assert_eq!(log.texts.recv().unwrap(), "a\n");
        log.queue.flush();
        log.log("b\n");
        log.permit.send(false).unwrap();
        assert_eq!(log.texts.recv().unwrap(), "b\n");
        log.queue.flush();
        assert_eq!(log.dropped.get(), 1);
        log.log("c\n");
        log.permit.send(true).unwrap();
        assert_eq!(log.texts.recv().unwrap(), "c\n", "a disk that has space again is written again");
        assert_eq!(log.dropped.get(), 1);
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_time() {
        let log = Fixture::new();
        log.log("taken\n");
        assert_eq!(log.texts.recv().unwrap(), "taken\n");
        let line = "x".repeat(1 << 20);
        for _ in 0..10 {
            log.log(&line);
        }
        assert_eq!(log.dropped.get(), 6, "four fill the queue");
        log.queue.flush();
    }
}
