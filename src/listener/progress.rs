//! Phase of a connection's exchange, and when it began. `wire` and `service` write it, `watchdog` reads it; a step
//! costs one reading of the monotonic clock and one relaxed store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Timeouts;

/// Event that a connection waits for.
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

/// Longest time of each phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhaseLimits {
    pub(super) timeouts: Timeouts,
    /// For the next request to begin.
    pub(super) keep_alive: Duration,
    /// For the service to answer a request.
    pub(super) request: Duration,
    /// For the next request to begin, while draining.
    pub(super) drain_idle: Duration,
}

const PHASE_BITS: u32 = 3;
/// Stands for a time that the clock cannot represent.
const NEVER: Duration = Duration::from_hours(24 * 365);
const NOT_DRAINING: u64 = u64::MAX;

/// Progress of one connection. Only the connection's own task uses it; the atomics make it `Send`, and order nothing.
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

    /// Records that bytes arrived.
    pub(super) fn received(&self) {
        if matches!(self.phase(), Phase::FirstByte | Phase::Idle) {
            self.enter(Phase::Header);
        }
    }

    /// Records that the service got a request.
    pub(super) fn called(&self) {
        self.enter(Phase::Request);
    }

    /// Records that the service answered; the answer's body may not be complete.
    pub(super) fn answering(&self) {
        self.enter(Phase::Answer);
    }

    /// Records that the answer's body is complete.
    pub(super) fn answered(&self) {
        self.set(Phase::Flush, self.since());
    }

    /// Records that the client took another piece of a long answer.
    pub(super) fn took_a_piece(&self) {
        if matches!(self.phase(), Phase::Answer | Phase::Flush) {
            self.enter(self.phase());
        }
    }

    /// Records that everything that was written was sent.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Flush {
            self.enter(Phase::Idle);
        }
    }

    /// Records that the process was told to stop.
    pub(super) fn drain(&self) {
        self.draining.store(self.now(), Relaxed);
    }

    pub(super) fn draining(&self) -> bool {
        self.draining.load(Relaxed) != NOT_DRAINING
    }

    /// Returns true where the service has, or had, the request that is being answered. Otherwise hyper itself writes
    /// the bytes that are sent.
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

    /// Returns the end of the time that the present phase may take.
    pub(super) fn due(&self, limits: &PhaseLimits) -> Instant {
        let (since, timeouts) = (self.since(), &limits.timeouts);
        let (from, limit) = match self.phase() {
            Phase::FirstByte | Phase::Idle if self.draining() => {
                (since.max(self.draining.load(Relaxed)), limits.drain_idle)
            }
            Phase::FirstByte => (since, timeouts.first_byte),
            Phase::Idle => (since, limits.keep_alive),
            Phase::Header => (since, timeouts.header),
            Phase::Request => (since, limits.request),
            Phase::Answer | Phase::Flush => (since, timeouts.write),
        };
        let due = Duration::from_millis(from).saturating_add(limit);
        self.opened.checked_add(due).unwrap_or_else(|| self.opened + NEVER)
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
