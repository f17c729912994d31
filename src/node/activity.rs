//! Counts of answers by the minute: requests count in the metrics anyway, and the node reads the counters every second and
//! writes what is new every 10 seconds. It does so as well as it can: counts that the store does not take in time are lost.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Config, Node, NodeAgent};
use crate::{
    clock::UnixMillis,
    domain::ids::AppName,
    outage::Operation,
    store::{ActivityCount, StoreError},
    telemetry::{Answers, Metrics},
};

/// Ticks between two writes.
const WRITE_EVERY: u32 = 10;
/// Greatest number of counts that wait for the store: those of 100 apps in an hour.
const WAITING: usize = 6_000;
const MINUTE: i64 = 60_000;

/// Answers of this process: those that were seen, and those that the store does not have yet.
#[derive(Default)]
pub struct ActivityRecorder(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    counters: BTreeMap<AppName, Answers>,
    waiting: BTreeMap<(UnixMillis, AppName), Answers>,
    ticks: u32,
}

impl ActivityRecorder {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is new since the last look, in the minute of `now`. Returns true where it is time to write.
    fn look(&self, metrics: &Metrics, apps: &[AppName], now: UnixMillis) -> bool {
        let mut seen = self.seen();
        for app in apps {
            seen.counters.entry(app.clone()).or_default();
        }
        seen.add_new(metrics, now);
        seen.ticks = seen.ticks.wrapping_add(1);
        seen.ticks.is_multiple_of(WRITE_EVERY)
    }

    /// Takes what waits.
    fn take(&self) -> Vec<ActivityCount> {
        let waiting = std::mem::take(&mut self.seen().waiting);
        let count = |((minute, app), Answers { mints, refreshes, refused })| ActivityCount {
            minute,
            app,
            mints,
            refreshes,
            refused,
        };
        waiting.into_iter().map(count).collect()
    }

    /// Keeps counts that the store did not take, the newest ones where they are too many.
    fn keep(&self, counts: Vec<ActivityCount>) {
        let mut seen = self.seen();
        for ActivityCount { minute, app, mints, refreshes, refused } in counts {
            let waiting = seen.waiting.entry((minute, app)).or_default();
            *waiting = waiting.plus(Answers { mints, refreshes, refused });
        }
        while seen.waiting.len() > WAITING {
            seen.waiting.pop_first();
        }
    }
}

impl Seen {
    fn add_new(&mut self, metrics: &Metrics, now: UnixMillis) {
        let minute = UnixMillis(now.0 - now.0.rem_euclid(MINUTE));
        for (app, seen) in &mut self.counters {
            let answers = metrics.answers(app.as_str());
            let new = answers.since(*seen);
            *seen = answers;
            if new != Answers::default() {
                let waiting = self.waiting.entry((minute, app.clone())).or_default();
                *waiting = waiting.plus(new);
            }
        }
    }
}

impl NodeAgent {
    /// Counts the answers since the last tick, and writes counts when it is time.
    pub(super) async fn record_activity(&self, config: &Config, now: UnixMillis) {
        if !self.node.activity.look(&self.node.metrics, &config.apps, now) {
            return;
        }
        let counts = self.node.activity.take();
        if counts.is_empty() {
            return;
        }
        let write = self.node.store.add_activity(counts.clone());
        if let Err(error) = self.node.outage.ask(Operation::Write, write).await {
            // The check of the store reports a store that does not answer.
            tracing::debug!(%error, "counts of answers are written later");
            self.node.activity.keep(counts);
        }
    }
}

impl Node {
    /// Writes all counts, before the process ends; nothing while the clock is stopped.
    pub(super) async fn record_last_activity(&self) -> Result<(), StoreError> {
        let Ok(now) = self.clock.trusted_now() else { return Ok(()) };
        self.activity.seen().add_new(&self.metrics, now);
        let counts = self.activity.take();
        if counts.is_empty() { Ok(()) } else { self.store.add_activity(counts).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(minute: i64, mints: u64, refused: u64) -> ActivityCount {
        let app = "web".parse().unwrap();
        ActivityCount { minute: UnixMillis(minute * MINUTE), app, mints, refreshes: 0, refused }
    }

    #[test]
    fn each_answer_is_counted_once_in_the_minute_in_which_it_is_seen() {
        let (recorder, metrics, apps) = (ActivityRecorder::default(), Metrics::new(), ["web".parse().unwrap()]);
        metrics.minted("web");
        metrics.minted("unknown");
        recorder.look(&metrics, &apps, UnixMillis(MINUTE));
        metrics.minted("web");
        recorder.look(&metrics, &apps, UnixMillis(2 * MINUTE - 1));
        metrics.token_refused("web");
        recorder.look(&metrics, &apps, UnixMillis(2 * MINUTE));
        assert_eq!(recorder.take(), [count(1, 2, 0), count(2, 0, 1)]);
        recorder.look(&metrics, &apps, UnixMillis(3 * MINUTE));
        assert_eq!(recorder.take(), []);
    }

    #[test]
    fn counts_that_were_not_written_are_kept_up_to_a_limit() {
        let recorder = ActivityRecorder::default();
        recorder.keep(vec![count(1, 1, 1)]);
        recorder.keep(vec![count(1, 2, 0)]);
        assert_eq!(recorder.take(), [count(1, 3, 1)]);
        let minutes = i64::try_from(WAITING).unwrap() + 5;
        recorder.keep((0..minutes).map(|minute| count(minute, 1, 0)).collect());
        let kept = recorder.take();
        assert_eq!((kept.len(), kept.first()), (WAITING, Some(&count(5, 1, 0))));
    }

    #[test]
    fn counts_are_written_every_tenth_tick() {
        let (recorder, metrics) = (ActivityRecorder::default(), Metrics::new());
        let ticks: Vec<u32> = (1..=20).filter(|_| recorder.look(&metrics, &[], UnixMillis(0))).collect();
        assert_eq!(ticks, [10, 20]);
    }
}
