//! Ends a connection that stays too long in one phase.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Timeouts,
    progress::{Phase, Progress},
};

/// One timer for the connection's whole life. It is set again when it rings, and when a moment is due earlier than it
/// is set to; a busy connection's requests push the due time ahead without touching the timer.
pub(super) struct Watchdog {
    progress: Arc<Progress>,
    timeouts: Timeouts,
    drain_idle: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl Watchdog {
    pub(super) fn over(progress: Arc<Progress>, timeouts: Timeouts, drain_idle: Duration) -> Self {
        let alarm = Box::pin(sleep_until(progress.due(&timeouts, drain_idle)));
        Self { progress, timeouts, drain_idle, alarm }
    }

    /// Ready with the phase that took too long. To be called after every step of the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        let due = self.progress.due(&self.timeouts, self.drain_idle);
        if due < self.alarm.deadline() {
            self.alarm.as_mut().reset(due);
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(self.progress.phase());
            }
            self.alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}
