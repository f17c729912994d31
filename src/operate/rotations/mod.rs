//! Operations on rotations: plan, run, status, abort, roll back, compromise, confirm; comparison of Braze's lists with
//! our records.

mod braze_keys;
mod compromise;
mod next_step;
mod report;
mod sources;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{UnknownApp, UnknownRing};
use crate::{
    domain::{
        ids::{AppName, RingName},
        key::KeyRecord,
        rotation::Goal,
        spki::Fingerprint,
    },
    rotate::{
        Observer, Ring, RotateError, Rotator, StepPhase, drift,
        plan::{self, Next, Snapshot},
    },
    store::StoreError,
};

pub use braze_keys::{BrazeDiff, BrazeKey, BrazeKeys, Comparison};
pub use compromise::{CompromiseForecast, Consequences};
pub use report::{KeyStatus, NodeStatus, Outcome, RingOutcome, RingPlan, RingStatus, StepReport, WaitReason};
pub use sources::{KeySource, RecordedKey};

/// Maximal number of reconciliations of a ring by one operation.
const ROUNDS: u32 = 12;
/// Lines of the audit log that a status shows.
const STATUS_EVENTS: u32 = 16;
/// Lines of the audit log in which the source of a record is looked for; a rotation of an app has some ten.
const SOURCE_EVENTS: u32 = 1000;

/// Operators' operations on the rotation of rings.
pub struct Rotations {
    rotator: Rotator,
    rings: Vec<Ring>,
    steps: Steps,
}

/// Reason why an operation on a rotation failed.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// No app uses the ring.
    #[error(transparent)]
    UnknownRing(#[from] UnknownRing),
    /// The configuration does not have the app.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    #[error(transparent)]
    Rotate(#[from] RotateError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Apps for which an operator's confirmation was recorded.
pub type Confirmed = Vec<AppName>;

/// Steps that were done, collected while a ring is reconciled.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<Mutex<Vec<StepReport>>>);

impl Steps {
    /// Makes an observer that collects each step that is done, and passes it to `on_step`.
    pub(super) fn observer(&self, on_step: impl Fn(&StepReport) + Send + Sync + 'static) -> Observer {
        let steps = Arc::clone(&self.0);
        Arc::new(move |step, reason, phase| {
            if phase == StepPhase::Done {
                let report = StepReport::new(step, reason);
                on_step(&report);
                steps.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            }
        })
    }

    /// Takes the steps that were done since the last call.
    fn take(&self) -> Vec<StepReport> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rotations {
    pub(super) fn new(rotator: Rotator, rings: Vec<Ring>, steps: Steps) -> Self {
        Self { rotator, rings, steps }
    }

    /// Returns the names of the selected rings: the given one, or every ring that apps use.
    ///
    /// # Errors
    /// [`RingError::UnknownRing`].
    pub fn rings(&self, only: Option<&RingName>) -> Result<Vec<RingName>, RingError> {
        match only {
            Some(name) => Ok(vec![self.find(name)?.name.clone()]),
            None => Ok(self.rings.iter().map(|ring| ring.name.clone()).collect()),
        }
    }

    fn find(&self, name: &RingName) -> Result<&Ring, RingError> {
        let ring = self.rings.iter().find(|ring| ring.name == *name);
        ring.ok_or_else(|| UnknownRing::new(name, self.rings.iter().map(|ring| &ring.name)).into())
    }

    /// Forecast of [`Rotations::run`]; changes nothing.
    pub async fn plan(&self, name: &RingName) -> Result<RingPlan, RingError> {
        let mut snapshot = self.rotator.observe(self.find(name)?).await?.snapshot;
        let sources = self.sources(&snapshot).await?;
        if snapshot.goal == Goal::Idle {
            snapshot.goal = Goal::Rotating;
        }
        Ok(RingPlan { ring: name.clone(), plan: plan::forecast(&snapshot), sources })
    }

    /// Begins a rotation, or continues the one in progress.
    pub async fn run(&self, name: &RingName) -> Result<RingOutcome, RingError> {
        let ring = self.find(name)?;
        if self.rotator.load_recorded(ring).await?.snapshot.goal == Goal::Idle {
            self.rotator.begin(ring, "asked for by an operator").await?;
        }
        self.work(ring).await
    }

    /// Keys, nodes, blockers and the newest lines of the audit log of a ring.
    pub async fn status(&self, name: &RingName) -> Result<RingStatus, RingError> {
        let ring = self.find(name)?;
        let snapshot = self.rotator.observe(ring).await?.snapshot;
        let audit_log = self.rotator.store.audit_log(Some(&ring.name), STATUS_EVENTS).await?;
        Ok(RingStatus::new(snapshot, audit_log))
    }

    /// Aborts the current rotation; the active key keeps signing.
    pub async fn abort(&self, name: &RingName) -> Result<RingOutcome, RingError> {
        let ring = self.find(name)?;
        self.rotator.abort(ring, "aborted by an operator").await?;
        self.work(ring).await
    }

    /// Switches back to the previous key while Braze still has it.
    pub async fn roll_back(&self, name: &RingName) -> Result<RingOutcome, RingError> {
        let ring = self.find(name)?;
        self.rotator.roll_back(ring, "rolled back by an operator").await?;
        self.work(ring).await
    }

    /// Reconciles a ring for some seconds, after a compromise.
    pub async fn follow_up(&self, name: &RingName) -> Result<RingOutcome, RingError> {
        self.work(self.find(name)?).await
    }

    /// Records an operator's confirmation that a key was added in the Braze dashboard; its fingerprint proves it.
    pub async fn confirm(
        &self,
        key: &KeyRecord,
        fingerprint: Fingerprint,
        app: Option<&AppName>,
    ) -> Result<Confirmed, RingError> {
        self.check_app(app)?;
        Ok(self.rotator.confirm(self.find(&key.ring)?, key, fingerprint, app).await?)
    }

    /// Records an operator's confirmation that a key was deleted in the Braze dashboard.
    pub async fn confirm_deleted(&self, key: &KeyRecord, app: Option<&AppName>) -> Result<Confirmed, RingError> {
        self.check_app(app)?;
        Ok(self.rotator.confirm_deleted(self.find(&key.ring)?, key, app).await?)
    }

    fn check_app(&self, app: Option<&AppName>) -> Result<(), UnknownApp> {
        let configured = || self.rings.iter().flat_map(|ring| ring.apps.iter().map(|app| &app.app));
        app.map_or(Ok(()), |app| UnknownApp::check(app, configured()))
    }

    /// Repairs our keys at Braze: publishes missing ones, sets the primary, deletes retired and compromised ones.
    pub async fn repair(&self, name: &RingName) -> Result<RingOutcome, RingError> {
        let ring = self.find(name)?;
        self.rotator.repair(ring, "asked for by an operator").await?;
        self.work(ring).await
    }

    /// Returns the keys that Braze lists for the apps of these rings, compared with our records.
    pub async fn braze_keys(&self, rings: &[RingName]) -> Result<BrazeKeys, RingError> {
        let mut keys = BrazeKeys::default();
        for ring in rings {
            let observed = self.rotator.observe(self.find(ring)?).await?;
            let sources = self.sources(&observed.snapshot).await?;
            keys.add(&observed, &sources);
        }
        Ok(keys)
    }

    /// Returns the differences between what Braze holds for the apps of these rings and what it should hold.
    pub async fn braze_diff(&self, rings: &[RingName]) -> Result<BrazeDiff, RingError> {
        let mut diff = BrazeDiff::default();
        for ring in rings {
            let snapshot = self.rotator.observe(self.find(ring)?).await?.snapshot;
            diff.drift.extend(drift(&snapshot));
            diff.rotating.extend((snapshot.goal != Goal::Idle).then(|| ring.clone()));
            diff.sources.extend(self.sources(&snapshot).await?);
        }
        Ok(diff)
    }

    /// Returns the apps of a ring that have no workspace, so that operators add and delete their keys.
    pub fn apps_by_hand(&self, name: &RingName) -> Result<Vec<AppName>, RingError> {
        let by_hand = self.find(name)?.apps.iter().filter(|app| app.at_braze.is_none());
        Ok(by_hand.map(|app| app.app.clone()).collect())
    }

    async fn sources(&self, snapshot: &Snapshot) -> Result<Vec<KeySource>, StoreError> {
        let events = self.rotator.store.audit_log(Some(&snapshot.ring), SOURCE_EVENTS).await?;
        Ok(sources::sources(snapshot, &events))
    }

    /// Reconciles a ring until nothing is left, or until more than some seconds have to pass. A service may do the same at
    /// the same time.
    async fn work(&self, ring: &Ring) -> Result<RingOutcome, RingError> {
        let mut rounds = 0;
        loop {
            let next = self.reconcile(ring).await?;
            rounds += 1;
            match self.short_pause(&next).filter(|_| rounds < ROUNDS) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(RingOutcome::new(ring.name.clone(), next, self.steps.take())),
            }
        }
    }

    async fn reconcile(&self, ring: &Ring) -> Result<Next, RotateError> {
        match self.rotator.reconcile(ring).await {
            // The service, or another operator, reconciles the ring.
            Err(RotateError::Busy(_)) => Ok(plan::next(&self.rotator.observe(ring).await?.snapshot)),
            next => next,
        }
    }

    /// Time until it is worth reconciling again; `None` where nothing ends within seconds.
    fn short_pause(&self, next: &Next) -> Option<Duration> {
        match next {
            Next::Wait { blockers, .. } if !report::waits_for_nodes(blockers) => None,
            next => report::pause(next, self.rotator.clock.untrusted_now()),
        }
    }
}
