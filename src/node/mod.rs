//! One process among several that share a store: it sends heartbeats, reloads changed keys and API keys, maintains the
//! store, and determines its readiness.
//!
//! [`Node`] has the parts that it shares with the requests; [`NodeAgent`] is the task that runs every second.

mod activity;
mod api_key_uses;
mod audit;
mod clock;
mod failures;
mod follow;
mod heartbeat;
mod issued_tokens;
mod readiness;
mod reload;
mod upkeep;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::watch;

pub use activity::ActivityRecorder;
pub use audit::{AuditAgent, AuditStanding};
pub use failures::{FailuresAgent, FailuresParts};
pub use follow::EndsAgent;

use self::{
    api_key_uses::UseRecorder, clock::ClockWatch, heartbeat::Heartbeat, issued_tokens::IssuedTokens,
    reload::UnfitRings, upkeep::UpkeepState,
};
use crate::{
    clock::{ClockGuard, UnixMillis},
    custody::{Custodian, CustodyError},
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        ids::{AppName, RingName},
        key::KeyRecord,
    },
    keyring::Keyring,
    outage::Outage,
    store::{Store, StoreError},
    telemetry::{Condition, Metrics, Readiness},
};

/// Interval of the background task: a change of keys or API keys must be noticed within 2 s.
const TICK: Duration = Duration::from_secs(1);

/// Settings of the node's background work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Rings that apps use, each with the longest life of a token that its keys sign.
    pub rings: Vec<(RingName, Duration)>,
    /// Apps whose answers are counted.
    pub apps: Vec<AppName>,
    /// Apps whose tokens are counted in the audit log; `None`: those of no app are.
    pub recorded_apps: Option<Vec<AppName>>,
}

/// Part of the process that serves copies of the records, or has entries that become idle. `app` implements it.
pub trait Subscriber: Send + Sync {
    /// Receives key records and API key records after each load.
    fn on_records(&self, keys: &[KeyRecord], api_keys: Vec<ApiKeyRecord>);

    /// Returns the last use of each API key since the start, to the minute.
    fn api_key_uses(&self) -> Vec<(ApiKeyId, UnixMillis)>;

    /// Drops entries that have been idle for long; called every 30 s.
    fn evict_idle(&self);
}

/// Parts of this process that its background work keeps up to date.
pub struct Node {
    /// Name of the process among others of the service, new at each start.
    pub name: String,
    pub store: Arc<dyn Store>,
    pub custodian: Arc<dyn Custodian>,
    pub keyring: Arc<Keyring>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<ClockGuard>,
    pub readiness: Arc<Readiness>,
    pub outage: Arc<Outage>,
    pub subscriber: Arc<dyn Subscriber>,
    pub audit: Arc<AuditStanding>,
    pub activity: ActivityRecorder,
}

/// Reason why keys or API keys could not be loaded; the ones loaded before stay in use.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
}

impl Node {
    /// Writes what only this process knows, and deletes the node's report from the store, so that no rotation waits for
    /// it. Where this fails, the node counts as live until [`NODE_LIVENESS`](crate::rotate::NODE_LIVENESS) has passed.
    pub async fn deregister(&self) {
        if let Err(error) = self.record_last_uses().await {
            tracing::debug!(%error, "the last uses of API keys are lost");
        }
        if let Err(error) = self.record_last_activity().await {
            tracing::debug!(%error, "the last counts of answers are lost");
        }
        if let Err(error) = self.store.forget_node(&self.name).await {
            tracing::debug!(%error, "the store still lists this node");
        }
    }
}

/// Task that does a node's background work.
pub struct NodeAgent {
    node: Arc<Node>,
    heartbeat: Heartbeat,
    upkeep: UpkeepState,
    uses: UseRecorder,
    issued: IssuedTokens,
    clock_watch: ClockWatch,
    /// Generation of the records that are loaded.
    generation: Option<u64>,
    faults: Faults,
}

/// Faults that are reported already, so that each is reported once.
#[derive(Default)]
struct Faults {
    store: Option<String>,
    keys: Option<String>,
    /// Rings whose active key does not load.
    unfit: UnfitRings,
    /// Rings that apps use and that have no active key.
    rings: BTreeSet<RingName>,
}

impl NodeAgent {
    /// Makes an agent that has loaded nothing yet.
    pub fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            heartbeat: Heartbeat::default(),
            upkeep: UpkeepState::default(),
            uses: UseRecorder::default(),
            issued: IssuedTokens::default(),
            clock_watch: ClockWatch::default(),
            generation: None,
            faults: Faults::default(),
        }
    }

    /// Loads the records, sends the first heartbeat and determines readiness, before the first request.
    ///
    /// # Errors
    /// [`ReloadError`] where the store does not answer, or no active key loads.
    pub async fn start(&mut self, config: &Config) -> Result<(), ReloadError> {
        // The agent that runs reports the rest, once.
        self.faults.unfit = self.node.reload_keys().await?;
        // The agent that runs reports a stop, once.
        self.compare_clock().await;
        self.send_heartbeat(config).await;
        let conditions = self.conditions(config);
        for condition in conditions.iter().filter(|condition| condition.required) {
            if let Some(why) = &condition.reason {
                tracing::error!(condition = condition.name, why, "not ready");
            }
        }
        self.report(conditions);
        Ok(())
    }

    /// Does the background work every second. It never returns.
    pub async fn run(mut self, config: watch::Receiver<Arc<Config>>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let current = Arc::clone(&config.borrow());
            self.tick(&current).await;
        }
    }

    /// Does the background work of one second.
    pub async fn tick(&mut self, config: &Config) {
        self.check_clock().await;
        self.reload_if_changed().await;
        self.send_heartbeat(config).await;
        self.maintain(config).await;
        self.report_rings(config);
        let conditions = self.conditions(config);
        self.report(conditions);
    }

    /// Reports the conditions to the health routes and the metrics.
    fn report(&self, conditions: Vec<Condition>) {
        self.node.metrics.conditions(&conditions);
        self.node.readiness.set(conditions);
    }
}
