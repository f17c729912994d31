//! Supervision of threads that work for the whole life of the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Alarm, Metrics};

/// Runs the work of a thread until it returns; after a panic, which is an alarm, it runs again. `work` must be able to
/// go on from the state that a panic left: locks and transactions that are released while unwinding.
pub fn run_again_after_panics(metrics: &Metrics, mut work: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        metrics.alarm(Alarm::Panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_goes_on_and_is_an_alarm() {
        let (metrics, mut runs) = (Metrics::new(), 0);
        run_again_after_panics(&metrics, || {
            runs += 1;
            assert!(runs > 2, "on purpose");
        });
        assert_eq!(runs, 3);
        assert!(metrics.encode().contains("countersign_alarms_total{kind=\"panic\"} 2"));
    }
}
