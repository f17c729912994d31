//! Reference measurement: one raw signature of the service's library, on the service's processor.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    engines::{self, Engine},
    figures::median,
    process,
};

/// Measures the CPU time of one RSA-2048 signature of `aws-lc-rs`, in seconds.
pub fn signature() -> f64 {
    signature_of(engines::reference)
}

/// Measures the CPU time of one signature of this engine, in seconds.
pub fn signature_of(engine: fn() -> Engine) -> f64 {
    on_the_measured(move || {
        let mut engine = engine();
        let mut rounds: Vec<f64> = (0..5).map(|_| cpu_per_signature(&mut engine, Duration::from_millis(30))).collect();
        median(&mut rounds)
    })
}

/// Measures the CPU time of one signature of an engine, in seconds, over `span`.
pub fn cpu_per_signature(engine: &mut Engine, span: Duration) -> f64 {
    let (begun, mut signatures) = (process::this_thread_cpu(), 0);
    loop {
        (engine.sign)(&MESSAGE);
        signatures += engine.lanes;
        let spent = process::this_thread_cpu().saturating_sub(begun);
        if spent >= span {
            return spent.as_secs_f64() / f64::from(signatures);
        }
    }
}

/// Message as long as a token's signing input.
pub const MESSAGE: [u8; 160] = [7; 160];

/// Pages of the file that [`flush`] writes to, and a page of SQLite.
const PAGES: u64 = 200;
const PAGE: [u8; 4096] = [7; 4096];

/// Measures one flush to the disk of this folder, the median of many: a page is written over an older one, as in a
/// write-ahead log that begins anew, and made durable with `fdatasync`.
pub fn flush(folder: &Path) -> Duration {
    let path = folder.join("flush");
    let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    let write = |page: u64| file.write_all_at(&PAGE, page * PAGE.len() as u64).unwrap();
    (0..PAGES).for_each(write);
    file.sync_all().unwrap();
    let one = |page: u64| {
        let begun = Instant::now();
        write(page);
        file.sync_data().unwrap();
        begun.elapsed().as_secs_f64()
    };
    let mut flushes: Vec<f64> = (0..PAGES).map(one).collect();
    std::fs::remove_file(path).unwrap();
    Duration::from_secs_f64(median(&mut flushes))
}

/// Runs `work` on the processor of the measured server.
pub fn on_the_measured<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let pinned = move || {
        process::pin_to_the_measured();
        work()
    };
    thread::spawn(pinned).join().unwrap()
}
