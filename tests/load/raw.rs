//! Reference measurement: one raw signature of the service's library, on the service's processor.

use std::{thread, time::Duration};

use super::{
    engines::{self, Engine},
    figures::median,
    process,
};

/// Measures the CPU time of one RSA-2048 signature of `aws-lc-rs`, in seconds.
pub fn signature() -> f64 {
    on_the_measured(|| {
        let mut engine = engines::reference();
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

/// Runs `work` on the processor of the measured server.
pub fn on_the_measured<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let pinned = move || {
        process::pin_to_the_measured();
        work()
    };
    thread::spawn(pinned).join().unwrap()
}
