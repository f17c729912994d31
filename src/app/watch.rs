//! What the service looks at while it runs: changes that the command line made beside it, its own health, old rows.

use std::{sync::Arc, time::Duration};

use super::{OpenError, Services};
use crate::{
    clock::UnixMillis,
    config::Settings,
    domain::{ids::RingName, rotation::NodeReport},
    http::AppState,
    store::Purged,
    telemetry::{Alarm, Condition},
};

/// How often changes of keys and API keys are looked for: they must be noticed within 2 s.
const LOOK: Duration = Duration::from_secs(1);
/// How often the store must prove that it can write.
const PROVE: u32 = 10;
/// How often sessions are counted and limits forgotten.
const COUNT: u32 = 30;
/// How often a node says that it lives; after three times as long it is taken for gone.
const REPORT: Duration = Duration::from_secs(10);
/// Sessions looked at in one round of purging.
const PURGE_ROWS: u32 = 1000;
/// How far behind the store's latest time the clock may be.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// The service's view of itself.
pub(super) struct NodeAgent {
    pub(super) services: Arc<Services>,
    pub(super) public: Arc<AppState>,
    seen: Option<u64>,
    reported: Option<NodeReport>,
    store_fault: Option<String>,
    key_fault: Option<String>,
}

impl NodeAgent {
    pub(super) fn new(services: Arc<Services>, public: Arc<AppState>) -> Self {
        Self { services, public, seen: None, reported: None, store_fault: None, key_fault: None }
    }

    /// The look before the first request: here a key that does not load is a reason not to start.
    pub(super) async fn first_look(&mut self, settings: &Settings) -> Result<(), OpenError> {
        self.reload_keys(settings).await?;
        self.report(settings).await;
        let conditions = self.conditions(settings).await;
        for missing in
            conditions.iter().filter_map(|condition| condition.reason.as_ref().map(|why| (&condition.name, why)))
        {
            tracing::error!(condition = missing.0, why = missing.1, "not ready");
        }
        self.public.readiness.set(conditions);
        Ok(())
    }

    /// Looks every second, for ever.
    pub(super) async fn run(mut self, settings: tokio::sync::watch::Receiver<Arc<Settings>>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for tick in 0u32.. {
            ticks.tick().await;
            let current = Arc::clone(&settings.borrow());
            self.look(&current, tick).await;
        }
    }

    async fn look(&mut self, settings: &Settings, tick: u32) {
        self.follow(settings).await;
        self.report(settings).await;
        if tick.is_multiple_of(PROVE) {
            self.prove_store().await;
            self.purge().await;
        }
        if tick.is_multiple_of(COUNT) {
            self.count().await;
            self.public.limits.load().evict_idle();
        }
        let conditions = self.conditions(settings).await;
        self.public.readiness.set(conditions);
    }

    /// Takes up what changed in the store since the last look.
    pub(super) async fn follow(&mut self, settings: &Settings) {
        match self.services.store.generation().await {
            Ok(generation) if self.seen == Some(generation) && self.key_fault.is_none() => {}
            Ok(generation) => match self.reload_keys(settings).await {
                Ok(()) => (self.seen, self.key_fault) = (Some(generation), None),
                Err(error) => self.keys_failed(&error),
            },
            Err(error) => self.store_failed(&error.to_string()),
        }
    }

    /// Loads keys and API keys as they are on record now. Keys first: where one does not load, everything stays.
    pub(super) async fn reload_keys(&self, settings: &Settings) -> Result<(), OpenError> {
        self.services.load_keys().await?;
        let keys = self.services.store.keys().await?;
        self.public.jwks.swap(&keys, settings.jwks_max_age());
        self.public.api_keys.swap(self.services.store.api_keys().await?);
        Ok(())
    }

    /// Tells the others what this node has loaded: at once where that changed, else now and then.
    async fn report(&mut self, settings: &Settings) {
        let (now, loaded) = (self.now(), self.services.keyring.loaded());
        let told = |last: &NodeReport| last.loaded == loaded && now.since(last.seen) < REPORT && last.seen <= now;
        if self.reported.as_ref().is_some_and(told) {
            return;
        }
        let report = NodeReport { node: self.services.node.clone(), seen: now, loaded };
        // Until the next report, and once more should that be late.
        let until = |ring: &RingName| now.plus(settings.longest_life(ring)).plus(2 * REPORT);
        let signing = self.services.keyring.kids().into_iter().map(|(ring, kid)| (kid, until(&ring))).collect();
        match self.services.store.report(report.clone(), signing).await {
            Ok(()) => self.reported = Some(report),
            Err(error) => self.store_failed(&error.to_string()),
        }
    }

    fn keys_failed(&mut self, error: &OpenError) {
        let why = error.to_string();
        if self.key_fault.as_ref() != Some(&why) {
            tracing::error!(why, "the keys on record could not be loaded; the ones loaded before stay in use");
            self.services.metrics.alarm(Alarm::Key);
        }
        self.key_fault = Some(why);
    }

    fn store_failed(&mut self, why: &str) {
        if self.store_fault.is_none() {
            tracing::error!(why, "the store does not answer");
            self.services.metrics.alarm(Alarm::Store);
        }
        self.store_fault = Some(why.to_owned());
    }

    async fn prove_store(&mut self) {
        match self.services.store.check(self.now()).await {
            Ok(()) => {
                if self.store_fault.take().is_some() {
                    tracing::info!("the store answers again");
                }
            }
            Err(error) => self.store_failed(&error.to_string()),
        }
    }

    async fn purge(&self) {
        match self.services.store.purge(self.now(), PURGE_ROWS).await {
            Ok(Purged::Rows { deleted: 0, .. }) | Err(_) => {}
            Ok(Purged::Rows { deleted, .. }) => tracing::debug!(deleted, "dead sessions purged"),
            Ok(Purged::ClockUntrusted) => {
                tracing::error!("the clock jumped: nothing is purged until it is plausible again");
                self.services.metrics.alarm(Alarm::Clock);
            }
        }
    }

    async fn count(&self) {
        let now = self.now();
        if let Ok(apps) = self.services.store.live_sessions(now).await {
            for (app, sessions) in apps {
                self.services.metrics.live_sessions(app.as_str(), sessions);
            }
        }
        if let Ok(keys) = self.services.store.keys().await {
            self.services
                .metrics
                .keys(keys.into_iter().map(|key| {
                    (key.ring.to_string(), key.kid.to_string(), key.state.as_str(), now.since(key.changed))
                }));
        }
    }

    async fn conditions(&self, settings: &Settings) -> Vec<Condition> {
        let mut conditions = vec![Condition::new("store", self.store_fault.clone())];
        conditions.push(Condition::new("keys", self.key_fault.clone()));
        let rings = settings.rings();
        conditions.extend(rings.map(|ring| {
            let missing = self.services.keyring.signer(ring).is_none();
            let reason =
                missing.then(|| format!("has no active key: `countersign rotate run --ring {ring}` brings one"));
            Condition::new(format!("ring {ring}"), reason)
        }));
        conditions.push(Condition::new("clock", self.clock_fault().await));
        conditions
    }

    async fn clock_fault(&self) -> Option<String> {
        let latest = self.services.store.latest_time().await.ok()?;
        let now = self.now();
        let behind = latest.since(now) > CLOCK_TOLERANCE;
        behind.then(|| format!("the clock says {now}, but the store has seen {latest}: set the clock right"))
    }

    fn now(&self) -> UnixMillis {
        self.services.clock.now()
    }
}
