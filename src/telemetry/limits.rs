//! Limits of the process that a start can meet: each fault says what to do.

use std::{
    fs::File,
    io,
    sync::mpsc::channel,
    thread::{Builder, JoinHandle},
};

use rustix::io::Errno;

/// What to do where the process may open no more files.
pub const TOO_FEW_FILES: &str = "this process may open no more files; raise the limit (`LimitNOFILE=` in a unit, \
                                 `--ulimit nofile=` of a container, `ulimit -n` in a shell)";
/// What to do where the process may start no more threads.
const TOO_FEW_THREADS: &str = "this process may start no more threads; raise the limit (`TasksMax=` and `LimitNPROC=` in a unit, \
                               `--pids-limit` of a container, `ulimit -u` in a shell), or give it more memory";

/// Starts a thread with this name.
///
/// # Errors
/// One that says what to do, where the operating system refuses.
pub fn start_thread<T: Send + 'static>(
    name: impl Into<String>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work).map_err(|why| io::Error::new(why.kind(), thread_fault(&why)))
}

fn thread_fault(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => format!("{TOO_FEW_THREADS} ({why})"),
        _ => why.to_string(),
    }
}

/// Checks that this many threads may run beside those that run now, and this many files be open. Others may take them
/// afterwards; a runtime panics where it is refused its own.
///
/// # Errors
/// One that says which limit is too low, and what to do.
pub fn check_room(threads: usize, files: usize) -> io::Result<()> {
    let opened: io::Result<Vec<File>> = (0..files).map(|_| File::open("/dev/null")).collect();
    match opened {
        Err(why) if Errno::from_io_error(&why) == Some(Errno::MFILE) => return Err(io::Error::other(TOO_FEW_FILES)),
        // There may be no such device.
        opened => drop(opened),
    }
    let mut stops = Vec::new();
    let mut started = Vec::new();
    let all = (0..threads).try_for_each(|_| {
        let (stop, stopped) = channel::<()>();
        // It lasts until `stop` is dropped.
        started.push(start_thread("room", move || stopped.recv().is_ok())?);
        stops.push(stop);
        Ok(())
    });
    drop(stops);
    for thread in started {
        drop(thread.join());
    }
    all
}
