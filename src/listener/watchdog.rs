//! Ends a connection that stays too long in one phase.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::progress::{Phase, PhaseLimits, Progress};

/// Timer of one connection, for its whole life. It is set again when it fires, and when a phase is due earlier than
/// it is set to; a busy connection's requests push the due time ahead without touching the timer.
pub(super) struct Watchdog {
    progress: Arc<Progress>,
    limits: PhaseLimits,
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    pub(super) fn new(progress: Arc<Progress>, limits: PhaseLimits) -> Self {
        let timer = Box::pin(sleep_until(progress.due(&limits)));
        Self { progress, limits, timer }
    }

    /// Becomes ready with the phase that took too long. Call it after every step of the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        let due = self.progress.due(&self.limits);
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(self.progress.phase());
            }
            self.timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}
