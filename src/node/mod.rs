//! One process among several that share a store: it says that it lives, follows changes of keys and API keys, looks
//! after the store, and finds out whether it is ready.
//!
//! [`Node`] is what requests need of it, shared; [`NodeAgent`] is the task that looks every second.

mod heartbeat;
mod readiness;
mod reload;
mod upkeep;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use self::{heartbeat::Heartbeat, upkeep::UpkeepState};
use crate::{
    clock::{Clock, UnixMillis},
    custody::{Custodian, CustodyError},
    domain::{api_key::ApiKeyRecord, ids::RingName, key::KeyRecord},
    keyring::Keyring,
    store::{Store, StoreError},
    telemetry::{Metrics, Readiness},
};

/// Time between two looks at the records: a change of keys or API keys must be noticed within 2 s.
const TICK: Duration = Duration::from_secs(1);

/// Rings that apps use, each with the longest life of a token that its keys sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub rings: Vec<(RingName, Duration)>,
}

/// A part of the process that serves copies of the records, or keeps state that must be tidied. `app` wires it.
pub trait Subscriber: Send + Sync {
    /// Takes key records and API key records after each load.
    fn on_records(&self, keys: &[KeyRecord], api_keys: Vec<ApiKeyRecord>);

    /// Forgets what has been idle for long; called every 30 s.
    fn on_tidy(&self);
}

/// A node: the parts of this process that its background work keeps up to date.
pub struct Node {
    /// Name of the process among others of the service, new at each start.
    pub name: String,
    pub store: Arc<dyn Store>,
    pub custodian: Arc<dyn Custodian>,
    pub keyring: Arc<Keyring>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub readiness: Arc<Readiness>,
    pub subscriber: Arc<dyn Subscriber>,
}

/// Keys or API keys could not be loaded; the ones loaded before stay in use.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
}

impl Node {
    /// Forgets the node in the store, so that no rotation waits for it. Where this fails, it is taken for gone after
    /// [`NODE_LIVENESS`](crate::rotate::NODE_LIVENESS).
    pub async fn leave(&self) {
        if let Err(error) = self.store.forget_node(&self.name).await {
            tracing::debug!(%error, "the store still lists this node");
        }
    }
}

/// The task that does a node's background work.
pub struct NodeAgent {
    node: Arc<Node>,
    heartbeat: Heartbeat,
    upkeep: UpkeepState,
    /// Generation of the records that are loaded.
    generation: Option<u64>,
    faults: Faults,
}

/// Faults that keep the node from being ready, in words.
#[derive(Default)]
struct Faults {
    store: Option<String>,
    keys: Option<String>,
}

impl NodeAgent {
    /// An agent that has not looked yet.
    pub fn new(node: Arc<Node>) -> Self {
        let (heartbeat, upkeep) = (Heartbeat::default(), UpkeepState::default());
        Self { node, heartbeat, upkeep, generation: None, faults: Faults::default() }
    }

    /// Looks once, before the first request.
    ///
    /// # Errors
    /// [`ReloadError`]: an active key that does not load is a reason not to start.
    pub async fn start(&mut self, config: &Config) -> Result<(), ReloadError> {
        self.node.reload_keys().await?;
        self.send_heartbeat(config).await;
        let conditions = self.conditions(config).await;
        for condition in &conditions {
            if let Some(why) = &condition.reason {
                tracing::error!(condition = condition.name, why, "not ready");
            }
        }
        self.node.readiness.set(conditions);
        Ok(())
    }

    /// Looks every second, for ever.
    pub async fn run(mut self, config: watch::Receiver<Arc<Config>>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let current = Arc::clone(&config.borrow());
            self.look(&current).await;
        }
    }

    async fn look(&mut self, config: &Config) {
        self.reload_if_changed().await;
        self.send_heartbeat(config).await;
        self.maintain().await;
        let conditions = self.conditions(config).await;
        self.node.readiness.set(conditions);
    }

    fn now(&self) -> UnixMillis {
        self.node.clock.now()
    }
}
