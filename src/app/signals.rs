//! Signals to the process: reload, and stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that a running service handles.
pub(super) struct Signals {
    /// SIGHUP: asks the process to reload its configuration and keys.
    pub(super) hangup: Signal,
    pub(super) stop: StopSignal,
}

impl Signals {
    /// Installs the signal handlers. Before that, each of these signals kills the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, stop: StopSignal::listen()? })
    }
}

/// SIGTERM and SIGINT: each asks the process to drain and stop.
pub(super) struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Installs the signal handlers.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either signal.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// The error of the system, where signals cannot be received.
pub async fn stop_signal() -> io::Result<()> {
    StopSignal::listen()?.received().await;
    Ok(())
}
