//! The service's own hand on the keys: rotates rings whose policy says when, finishes what was begun, and compares
//! Braze's lists with ours now and then.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{OpenError, Services};
use crate::{
    clock::UnixMillis,
    config::Settings,
    domain::{ids::RingName, rotation::Goal},
    http::AppState,
    rotate::{
        Config, Drift, RotateError, Rotator, StepPhase, drift,
        plan::{Blocker, Next, Snapshot},
    },
    telemetry::{Alarm, Condition},
};

/// How often the records are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How soon to look again at what goes away in a moment.
const SOON: Duration = Duration::from_secs(1);
/// How soon to ask again after Braze, or another worker, was in the way.
const LATER: Duration = Duration::from_secs(10);
/// How long nothing is asked of Braze while people, or time, are waited for.
const SELDOM: Duration = Duration::from_mins(5);

/// Looks after the rings.
pub(super) struct RotationScheduler {
    services: Arc<Services>,
    public: Arc<AppState>,
    rounds: HashMap<RingName, Round>,
    found: BTreeMap<RingName, Vec<Drift>>,
}

/// Where a ring stands with its keeper. No time: at once.
#[derive(Default)]
struct Round {
    /// What was on record when it was last driven.
    seen: Option<Snapshot>,
    reconcile_at: Option<UnixMillis>,
    check_at: Option<UnixMillis>,
}

impl RotationScheduler {
    pub(super) fn new(services: Arc<Services>, public: Arc<AppState>) -> Self {
        Self { services, public, rounds: HashMap::new(), found: BTreeMap::new() }
    }

    /// Goes round every second, for ever.
    pub(super) async fn run(mut self, mut settings: watch::Receiver<Arc<Settings>>) {
        loop {
            let current = Arc::clone(&settings.borrow_and_update());
            (self.rounds, self.found) = (HashMap::new(), BTreeMap::new());
            match self.rotator(&current) {
                Ok(rotator) => self.keep(&rotator, &current, &settings).await,
                Err(why) => tracing::error!(%why, "rotation is off until the next reload"),
            }
            if settings.changed().await.is_err() {
                return;
            }
        }
    }

    fn rotator(&self, settings: &Settings) -> Result<Rotator, OpenError> {
        self.services.rotator(
            settings,
            format!("node {}", self.services.node),
            Arc::new(|step, reason, phase| {
                if phase == StepPhase::Done {
                    tracing::info!(%step, reason, "rotation");
                }
            }),
        )
    }

    /// Until there are new settings.
    async fn keep(&mut self, rotator: &Rotator, settings: &Settings, changes: &watch::Receiver<Arc<Settings>>) {
        let rings = settings.rotations();
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !changes.has_changed().unwrap_or(true) {
            ticks.tick().await;
            for config in &rings {
                match self.round(rotator, config).await {
                    Ok(()) => {}
                    // Another node, or somebody at a command line, is at it.
                    Err(RotateError::Busy(_)) => self.put_off(config, SOON * 2),
                    Err(error) => {
                        tracing::warn!(ring = %config.ring, %error, "the rotation does not go on");
                        self.put_off(config, LATER);
                    }
                }
            }
        }
    }

    fn put_off(&mut self, config: &Config, span: Duration) {
        let at = Some(self.services.clock.now().plus(span));
        let round = self.rounds.entry(config.ring.clone()).or_default();
        (round.reconcile_at, round.check_at) = (at, at);
    }

    async fn round(&mut self, rotator: &Rotator, config: &Config) -> Result<(), RotateError> {
        let now = self.services.clock.now();
        let due = |at: Option<UnixMillis>| at.is_none_or(|at| at <= now);
        let snapshot = rotator.load_recorded(config).await?.snapshot;
        let round = self.rounds.entry(config.ring.clone()).or_default();
        let changed = round.seen.as_ref().is_none_or(|seen| differs(seen, &snapshot));
        if acts(&snapshot) && (changed || due(round.reconcile_at)) {
            let next = rotator.reconcile(config).await;
            let after = rotator.load_recorded(config).await?.snapshot;
            (round.seen, round.reconcile_at) = (Some(after), Some(now.plus(pace(&next?, now))));
        } else if changed {
            round.seen = Some(snapshot);
        }
        if due(round.check_at) && config.apps.iter().any(|app| app.place.is_some()) {
            round.check_at = Some(now.plus(config.check_every));
            self.check(rotator, config).await?;
        }
        Ok(())
    }

    /// Compares what Braze lists with ours; changes nothing.
    async fn check(&mut self, rotator: &Rotator, config: &Config) -> Result<(), RotateError> {
        let found = drift(&rotator.observe(config).await?.snapshot);
        let before = self.found.insert(config.ring.clone(), found.clone()).unwrap_or_default();
        for new in found.iter().filter(|drift| !before.contains(drift)) {
            tracing::error!(ring = %config.ring, drift = new.kind(), "{new}");
            self.services.metrics.alarm(Alarm::Drift);
        }
        let counts = Drift::KINDS.map(|kind| (kind, found.iter().filter(|drift| drift.kind() == kind).count()));
        self.services.metrics.drift(config.ring.as_str(), counts);
        let all = self.found.iter().flat_map(|(ring, found)| found.iter().map(move |drift| (ring, drift)));
        let advice = all.map(|(ring, drift)| Condition::new(format!("braze {ring}"), Some(drift.to_string())));
        self.public.readiness.advise(advice.collect());
        Ok(())
    }
}

/// Whether the service does anything here by itself: what an operator began, or what the policy says.
fn acts(snapshot: &Snapshot) -> bool {
    snapshot.goal != Goal::Idle || snapshot.policy.every.is_some() || snapshot.policy.standby
}

/// Whether somebody changed the records.
fn differs(seen: &Snapshot, snapshot: &Snapshot) -> bool {
    let records =
        |snapshot: &Snapshot| snapshot.keys.iter().map(|key| (key.record.clone(), key.destroyed)).collect::<Vec<_>>();
    let publications =
        |snapshot: &Snapshot| snapshot.apps.iter().map(|app| app.publications.clone()).collect::<Vec<_>>();
    seen.goal != snapshot.goal || records(seen) != records(snapshot) || publications(seen) != publications(snapshot)
}

/// How long Braze is left in peace.
fn pace(next: &Next, now: UnixMillis) -> Duration {
    match next {
        Next::Do { .. } => SOON,
        Next::Idle { due } => due.map_or(SELDOM, |due| due.since(now)).clamp(SOON, SELDOM),
        Next::Wait { blockers, .. } => {
            let spans = blockers.iter().map(|blocker| match blocker {
                Blocker::Nodes { .. } | Blocker::Settling { .. } => SOON,
                Blocker::Soak { until, .. } | Blocker::Tokens { until, .. } => until.since(now),
                Blocker::Silent { .. } | Blocker::Missing { .. } => LATER,
                _ => SELDOM,
            });
            spans.min().unwrap_or(SELDOM).clamp(SOON, SELDOM)
        }
    }
}
