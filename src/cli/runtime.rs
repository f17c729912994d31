//! Runtimes of commands, and what they need of the operating system. Where a limit is too low for one, Tokio panics: it is
//! checked before.

use std::{future::Future, io, thread::available_parallelism};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::telemetry::check_room;

/// Threads that a command starts beside those that sign: three of the store, and one that may block.
const THREADS: usize = 4;
/// Threads of a server beside those of the runtime and those that sign: these, and one for the log.
const SERVER_THREADS: usize = THREADS + 1;
/// Files that a runtime has open.
const FILES: usize = 6;

/// Makes the runtime of a server.
///
/// # Errors
/// The process may start too few threads or open too few files.
pub(super) fn of_server() -> anyhow::Result<Runtime> {
    check_room(2 * processors() + SERVER_THREADS, FILES).context("the service cannot start")?;
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Runs a future to its end, on a runtime of its own.
///
/// # Errors
/// As [`of_server`], or the future's.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    block_on_with(processors() + THREADS, work)
}

/// The same for a command that starts no more threads than this.
pub(super) fn block_on_with<T>(threads: usize, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    check_room(threads, FILES).context("the command cannot start")?;
    Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Makes a write beyond the limit of a file's size an error with a name, instead of a signal that ends the process without a
/// word. Where it cannot be done, the signal stays as it is.
pub(super) fn survive_large_files() {
    // The handler, which does nothing, stays for the whole life of the process.
    let handled = || -> io::Result<()> {
        check_room(0, FILES)?;
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let _entered = runtime.enter();
        signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
    };
    drop(handled());
}

fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}
