//! Where a connection is in its exchange, and since when. Written by the wire and the service, read by the watchdog;
//! a step costs one reading of the monotonic clock and one relaxed store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{BACKSTOP, Timeouts};

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first byte of its first request.
    FirstByte,
    /// The first byte of its next request.
    Idle,
    /// The rest of a request's head.
    Header,
    /// The service's answer (and the body that the service reads).
    Request,
    /// The rest of the answer's body, and the client to take it.
    Answer,
    /// The client to take an answer that is complete.
    Flush,
}

const PHASE_BITS: u32 = 3;
/// Stands for a time that no clock can show.
const NEVER: Duration = Duration::from_hours(24 * 365);
const NOT_DRAINING: u64 = u64::MAX;

/// One connection's progress. Only the connection's own task uses it; the atomics make it `Send`, and order nothing.
#[derive(Debug)]
pub(super) struct Progress {
    opened: Instant,
    /// The phase in the low bits, above them the milliseconds from `opened` to its beginning.
    state: AtomicU64,
    /// Milliseconds from `opened` to the beginning of the drain.
    draining: AtomicU64,
}

impl Progress {
    pub(super) fn start() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            state: AtomicU64::new(Phase::FirstByte as u64),
            draining: AtomicU64::new(NOT_DRAINING),
        })
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        if matches!(self.phase(), Phase::FirstByte | Phase::Idle) {
            self.enter(Phase::Header);
        }
    }

    /// The service was given a request.
    pub(super) fn called(&self) {
        self.enter(Phase::Request);
    }

    /// The service answered; its body may still be to come.
    pub(super) fn answering(&self) {
        self.enter(Phase::Answer);
    }

    /// The answer's body is complete.
    pub(super) fn answered(&self) {
        self.set(Phase::Flush, self.since());
    }

    /// The client took another piece of a long answer.
    pub(super) fn took_a_piece(&self) {
        if matches!(self.phase(), Phase::Answer | Phase::Flush) {
            self.enter(self.phase());
        }
    }

    /// Everything that was written has gone out.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Flush {
            self.enter(Phase::Idle);
        }
    }

    /// The process was told to stop.
    pub(super) fn drain(&self) {
        self.draining.store(self.now(), Relaxed);
    }

    pub(super) fn draining(&self) -> bool {
        self.draining.load(Relaxed) != NOT_DRAINING
    }

    /// Whether the service has, or had, the request that is being answered. Where it has not, bytes going out are
    /// hyper's own words.
    pub(super) fn in_service(&self) -> bool {
        matches!(self.phase(), Phase::Request | Phase::Answer | Phase::Flush)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state.load(Relaxed) & ((1 << PHASE_BITS) - 1) {
            0 => Phase::FirstByte,
            1 => Phase::Idle,
            2 => Phase::Header,
            3 => Phase::Request,
            4 => Phase::Answer,
            _ => Phase::Flush,
        }
    }

    /// When this moment has taken too long.
    pub(super) fn due(&self, timeouts: &Timeouts, drain_idle: Duration) -> Instant {
        let since = self.since();
        let (from, span) = match self.phase() {
            Phase::FirstByte | Phase::Idle if self.draining() => (since.max(self.draining.load(Relaxed)), drain_idle),
            Phase::FirstByte => (since, timeouts.first_byte),
            Phase::Idle => (since, timeouts.idle),
            Phase::Header => (since, timeouts.header),
            Phase::Request => (since, timeouts.request.saturating_add(BACKSTOP)),
            Phase::Answer | Phase::Flush => (since, timeouts.write),
        };
        self.opened.checked_add(Duration::from_millis(from).saturating_add(span)).unwrap_or_else(|| self.opened + NEVER)
    }

    fn enter(&self, phase: Phase) {
        self.set(phase, self.now());
    }

    fn set(&self, phase: Phase, since: u64) {
        self.state.store(since << PHASE_BITS | phase as u64, Relaxed);
    }

    fn since(&self) -> u64 {
        self.state.load(Relaxed) >> PHASE_BITS
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
