//! Failpoints: places at which a test ends a background task of a real process. A release build has none.

/// Runs the work of a task. In a debug build the task also ends as soon as a file exists: `FAILPOINTS=<task>=<path>` names
/// it, and the task panics where the file's text is `panic`.
#[cfg(debug_assertions)]
pub(super) async fn run(task: &'static str, work: impl Future<Output = ()> + Send) {
    tokio::select! {
        () = work => {}
        () = reached(task) => {}
    }
}

/// Runs the work of a task.
#[cfg(not(debug_assertions))]
pub(super) fn run(_: &'static str, work: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send {
    work
}

#[cfg(debug_assertions)]
#[expect(clippy::disallowed_methods, clippy::panic, reason = "for tests; release builds have neither")]
async fn reached(task: &str) {
    let points = std::env::var("FAILPOINTS").unwrap_or_default();
    let Some((_, path)) = points.split_once('=').filter(|(name, _)| *name == task) else {
        return std::future::pending().await;
    };
    loop {
        match std::fs::read_to_string(path) {
            Ok(action) if action == "panic" => panic!("failpoint"),
            Ok(_) => return,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}
