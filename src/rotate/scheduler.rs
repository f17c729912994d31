//! Scheduler of a running service: reconciles each ring, and compares Braze's lists with its records, when that is due.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{
    config::Ring,
    drift::{Drift, drift},
    error::RotateError,
    plan::{self, Next, Step},
    rotator::Rotator,
    schedule::{RingSchedule, TICK},
};
use crate::{
    domain::ids::RingName,
    telemetry::{Alarm, Condition, Metrics, Readiness},
};

/// Settings of the scheduler, made at start and at each reload.
pub struct SchedulerSetup {
    pub rotator: Rotator,
    pub rings: Vec<Ring>,
}

/// Task that rotates the rings of a running service.
pub struct RotationScheduler {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// Scheduler whose rounds somebody else begins: for a service whose clock does not run by itself.
pub struct SteppedScheduler {
    scheduler: RotationScheduler,
    setup: Arc<SchedulerSetup>,
    rings: Vec<RingWork>,
    last_drift: LastDrift,
}

impl SteppedScheduler {
    /// Scheduler of the rings of this setup, for which everything is due.
    pub fn new(scheduler: RotationScheduler, setup: Arc<SchedulerSetup>) -> Self {
        Self { scheduler, rings: RingWork::all(&setup), setup, last_drift: LastDrift::new() }
    }

    /// Does the work of every ring that is due now.
    pub async fn round(&mut self) {
        self.scheduler.round(&self.setup.rotator, &mut self.rings, &mut self.last_drift).await;
    }
}

/// Ring with its schedule, and the error of its last try.
struct RingWork {
    ring: Ring,
    schedule: RingSchedule,
    failure: Option<String>,
}

impl RingWork {
    fn all(setup: &SchedulerSetup) -> Vec<Self> {
        let of = |ring: &Ring| Self { ring: ring.clone(), schedule: RingSchedule::new(ring), failure: None };
        setup.rings.iter().map(of).collect()
    }
}

/// Drift of each ring at its last comparison.
type LastDrift = BTreeMap<RingName, Vec<Drift>>;

impl RotationScheduler {
    /// Scheduler that counts drift in `metrics` and shows it as advice in `readiness`.
    pub fn new(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Self {
        Self { metrics, readiness }
    }

    /// Runs until the sender of setups is dropped. `None`: no ring is rotated until the next setup.
    pub async fn run(self, mut setups: watch::Receiver<Option<Arc<SchedulerSetup>>>) {
        let mut last_drift = LastDrift::new();
        loop {
            let setup = setups.borrow_and_update().clone();
            let rings = setup.as_ref().map(|setup| setup.rings.as_slice()).unwrap_or_default();
            self.forget_dropped(rings, &mut last_drift);
            if let Some(setup) = &setup {
                self.run_setup(setup, &setups, &mut last_drift).await;
            }
            if setups.changed().await.is_err() {
                return;
            }
        }
    }

    /// Does the due work of every ring once a second until there is a new setup. A step in progress is finished first.
    async fn run_setup(
        &self,
        setup: &SchedulerSetup,
        setups: &watch::Receiver<Option<Arc<SchedulerSetup>>>,
        last_drift: &mut LastDrift,
    ) {
        let mut rings = RingWork::all(setup);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !setups.has_changed().unwrap_or(true) {
            ticks.tick().await;
            self.round(&setup.rotator, &mut rings, last_drift).await;
        }
    }

    /// Does the work of every ring that is due now.
    async fn round(&self, rotator: &Rotator, rings: &mut [RingWork], last_drift: &mut LastDrift) {
        for RingWork { ring, schedule, failure } in rings {
            match self.work(rotator, ring, schedule, last_drift).await {
                Ok(()) => *failure = None,
                Err(error) => postpone(rotator, ring, schedule, failure, &error),
            }
        }
    }

    /// Does the work that is due for a ring.
    async fn work(
        &self,
        rotator: &Rotator,
        ring: &Ring,
        schedule: &mut RingSchedule,
        last_drift: &mut LastDrift,
    ) -> Result<(), RotateError> {
        let now = rotator.clock.trusted_now()?;
        let due = schedule.due(now, &rotator.load_recorded(ring).await?.snapshot);
        if due.reconcile {
            let next = rotator.reconcile(ring).await;
            let recorded = rotator.load_recorded(ring).await?.snapshot;
            schedule.reconciled(now, &next?, recorded);
        }
        if due.compare {
            schedule.compared(now);
            self.compare(rotator, ring, last_drift).await?;
        }
        Ok(())
    }

    /// Compares Braze's lists with the records, reports the drift, and puts on record what the lists show; changes
    /// nothing at Braze.
    async fn compare(&self, rotator: &Rotator, ring: &Ring, last_drift: &mut LastDrift) -> Result<(), RotateError> {
        let observed = rotator.observe(ring).await?.snapshot;
        let found = drift(&observed);
        let before = last_drift.insert(ring.name.clone(), found.clone()).unwrap_or_default();
        for new in found.iter().filter(|drift| !before.contains(drift)) {
            tracing::error!(ring = %ring.name, drift = new.kind(), "{new}");
            self.metrics.alarm(Alarm::Drift);
        }
        let count = |kind: &str| found.iter().filter(|drift| drift.kind() == kind).count();
        self.metrics.drift(ring.name.as_str(), Drift::KINDS.iter().map(|kind| (*kind, count(kind))));
        self.advise(last_drift);
        match plan::next(&observed) {
            Next::Do { step: Step::Note { .. }, .. } => rotator.note_lists(ring).await,
            _ => Ok(()),
        }
    }

    /// Removes the drift of rings that are dropped, or have no list any more: they are never compared again.
    fn forget_dropped(&self, rings: &[Ring], last_drift: &mut LastDrift) {
        let is_compared = |name: &RingName| rings.iter().any(|ring| ring.name == *name && ring.has_list());
        for (name, _) in last_drift.extract_if(.., |name, _| !is_compared(name)) {
            self.metrics.forget_drift(name.as_str(), Drift::KINDS);
        }
        self.advise(last_drift);
    }

    /// Shows the drift of every ring that is compared as advice.
    fn advise(&self, last_drift: &LastDrift) {
        let all = last_drift.iter().flat_map(|(ring, found)| found.iter().map(move |drift| (ring, drift)));
        let advice = all.map(|(ring, drift)| Condition::shared(format!("braze {ring}"), Some(drift.to_string())));
        self.readiness.advise(advice.collect());
    }
}

/// Postpones the work after an error, and logs it unless it is the one of the second before.
fn postpone(
    rotator: &Rotator,
    ring: &Ring,
    schedule: &mut RingSchedule,
    failure: &mut Option<String>,
    error: &RotateError,
) {
    // The next tick tries again; the node reports a stopped clock.
    let Ok(now) = rotator.clock.trusted_now() else { return };
    if let RotateError::Busy(_) = error {
        // Another node, or a command, reconciles the ring.
        schedule.busy(now);
        return;
    }
    schedule.failed(now);
    let why = Some(error.to_string());
    if *failure == why {
        return;
    }
    *failure = why;
    match error {
        // The node reports it, once.
        RotateError::Store(why) if why.is_outage() => {
            tracing::debug!(ring = %ring.name, %error, "the rotation waits for the store");
        }
        error => tracing::warn!(ring = %ring.name, %error, "the rotation cannot continue"),
    }
}
