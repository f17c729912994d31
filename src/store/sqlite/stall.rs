//! Notices that the writing thread makes no progress: a disk that hangs confirms no write, and reports no fault either.
//!
//! The time is the machine's own and not the runtime's: in tests the runtime's time may run ahead of the disk.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use tokio::sync::futures::Notified;

use super::errors::Fault;
use crate::telemetry::{Stopwatch, start_thread};

/// Looks at the thread within one time-out.
const LOOKS: u32 = 10;

/// State that the writing thread, those who wait for it, and the watch share.
struct Shared {
    clock: Stopwatch,
    /// Milliseconds on `clock`, plus 1, at which the thread began what it does; 0 while it waits for work.
    busy_since: AtomicU64,
    stalled: AtomicBool,
    begins: tokio::sync::Notify,
}

/// Watch over the writing thread. It ends where this is dropped.
pub(super) struct Stall {
    shared: Arc<Shared>,
    timeout: Duration,
    _stop: SyncSender<()>,
}

/// Word of the writing thread on its progress.
pub(super) struct Progress(Arc<Shared>);

impl Stall {
    /// Starts to watch.
    pub(super) fn watch(timeout: Duration) -> io::Result<(Self, Progress)> {
        let shared = Arc::new(Shared {
            clock: Stopwatch::start(),
            busy_since: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            begins: tokio::sync::Notify::new(),
        });
        let (stop, stopped) = sync_channel(0);
        let watched = Arc::clone(&shared);
        let pause = (timeout / LOOKS).max(Duration::from_millis(1));
        start_thread("store-watch", move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                watched.look(timeout);
            }
        })?;
        Ok((Self { shared: Arc::clone(&shared), timeout, _stop: stop }, Progress(shared)))
    }

    /// Returns true while the thread makes no progress.
    pub(super) fn lasts(&self) -> bool {
        self.shared.stalled.load(Ordering::Acquire)
    }

    /// Waits for the beginning of the next stall. It counts from this call on.
    pub(super) fn begins(&self) -> Notified<'_> {
        self.shared.begins.notified()
    }

    /// Returns the fault for those who wait.
    pub(super) fn fault(&self) -> Fault {
        let seconds = self.timeout.as_secs_f32();
        Fault::Outage(format!(
            "no write was confirmed for {seconds} s: look into the kernel's log, or for a process that keeps it locked"
        ))
    }
}

impl Shared {
    fn look(&self, timeout: Duration) {
        let since = self.busy_since.load(Ordering::Acquire);
        let lasts = since > 0 && u128::from(self.millis().saturating_sub(since)) >= timeout.as_millis();
        if lasts && !self.stalled.swap(true, Ordering::AcqRel) {
            self.begins.notify_waiters();
            // The thread may have gone on meanwhile.
            if self.busy_since.load(Ordering::Acquire) != since {
                self.stalled.store(false, Ordering::Release);
            }
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Progress {
    /// Says that the thread has begun something.
    pub(super) fn begin(&self) {
        self.0.busy_since.store(self.0.millis(), Ordering::Release);
    }

    /// Says that the thread has done it.
    pub(super) fn end(&self) {
        self.0.busy_since.store(0, Ordering::Release);
        self.0.stalled.store(false, Ordering::Release);
    }
}
