//! The signals that a process is steered by.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ends a process in good order.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Begins to listen.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    pub(super) async fn came(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// Where signals cannot be received.
pub async fn told_to_stop() -> io::Result<()> {
    Stop::listen()?.came().await;
    Ok(())
}
