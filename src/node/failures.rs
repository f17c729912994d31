//! Background work for the reports of apps: it renews the copy of the records that they are compared with, writes the
//! counts to the store, and says so where a cause crossed its threshold.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::watch;

use super::Node;
use crate::{
    clock::UnixMillis,
    domain::ids::AppName,
    failures::{Config, Counts, EVENT_WINDOW, FailureEvent, Knowledge, Webhook, events},
    outage::Operation,
    secret::{self, SystemEntropy},
    store::{ServiceEvent, ServiceEventKind, StoreError},
};

/// Time between two writes of counts.
const EVERY: Duration = Duration::from_secs(3);
/// Writes between two readings of the records.
const RENEW_EVERY: u32 = 3;
/// Writes between two roll-ups.
const ROLL_UP_EVERY: u32 = 200;
/// Lease of the node that looks for events.
const LEASE: &str = "failures";
/// Time for which the lease is given: that of several looks.
const LEASE_SPAN: Duration = Duration::from_mins(1);

/// Parts that the background work for reports needs.
pub struct FailuresParts {
    pub knowledge: Arc<Knowledge>,
    pub counts: Arc<Counts>,
    pub config: watch::Receiver<Arc<Config>>,
    pub webhook: Arc<Webhook>,
}

/// Task that keeps what reports need, and what they leave.
pub struct FailuresAgent {
    node: Arc<Node>,
    parts: FailuresParts,
    has_recorded_start: AtomicBool,
}

impl FailuresAgent {
    /// Makes an agent that has read nothing yet.
    pub fn new(node: Arc<Node>, parts: FailuresParts) -> Self {
        Self { node, parts, has_recorded_start: AtomicBool::new(false) }
    }

    /// Works every few seconds. It never returns.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tick = 0_u32;
        let working = async {
            loop {
                ticks.tick().await;
                if tick.is_multiple_of(RENEW_EVERY) {
                    self.tick().await;
                } else {
                    self.write_counts().await;
                }
                if tick.is_multiple_of(ROLL_UP_EVERY) {
                    self.roll_up().await;
                }
                tick = tick.wrapping_add(1);
            }
        };
        tokio::join!(working, self.parts.webhook.run());
    }

    /// Does the work of once. Where the store does not answer, reports are compared with what was read before, and counts
    /// wait.
    pub async fn tick(&self) {
        let now = self.node.clock.untrusted_now();
        if let Err(error) = self.parts.knowledge.renew(&*self.node.store, now).await {
            tracing::debug!(%error, "reports are compared with records that were read before");
        }
        self.write_counts().await;
        if let Err(error) = self.look_for_events().await {
            tracing::debug!(%error, "nobody looked for causes of failures that crossed their threshold");
        }
    }

    async fn write_counts(&self) {
        if self.node.outage.check(Operation::Write).is_err() {
            return;
        }
        let now = self.node.clock.untrusted_now();
        if !self.has_recorded_start.load(Relaxed) {
            match self.node.record_service_event(ServiceEventKind::Started).await {
                Ok(()) => self.has_recorded_start.store(true, Relaxed),
                Err(error) => return tracing::debug!(%error, "the start of this node is recorded later"),
            }
        }
        if let Err(error) = self.parts.counts.write_to(&*self.node.store, now).await {
            tracing::debug!(%error, "counts of failures wait for the store");
        }
    }

    async fn roll_up(&self) {
        // A clock that is not trusted deletes nothing.
        let Ok(now) = self.node.clock.trusted_now() else { return };
        if let Err(error) = self.node.store.roll_up_failures(now).await {
            tracing::debug!(%error, "counts of failures are rolled up later");
        }
    }

    /// Every node looks; the one that has the lease says what it found.
    async fn look_for_events(&self) -> Result<(), StoreError> {
        self.node.outage.check(Operation::Write)?;
        let Ok(now) = self.node.clock.trusted_now() else { return Ok(()) };
        let store = &self.node.store;
        let threshold = u64::from(self.parts.config.borrow().threshold.get());
        let found = events(&store.failures_since(now.minus(EVENT_WINDOW)).await?, now, threshold);
        // A quiet service writes nothing.
        if found.is_empty() || !store.lease(LEASE, &self.node.name, now, LEASE_SPAN).await? {
            return Ok(());
        }
        for event in found {
            if store.claim_failure_alert(event.cause, now).await? {
                self.announce(event);
            }
        }
        Ok(())
    }

    fn announce(&self, mut event: FailureEvent) {
        match secret::random::<16>(&SystemEntropy) {
            Ok(id) => event.id = format!("msg_{}", hex::encode(id)),
            Err(error) => return tracing::error!(%error, "an event about failures has no id"),
        }
        let apps: Vec<&str> = event.apps.iter().map(AppName::as_str).collect();
        tracing::warn!(
            event = event.id,
            cause = event.cause.as_str(),
            apps = apps.join(","),
            sessions = event.sessions,
            reports = event.reports,
            threshold = event.threshold,
            "a cause of failures crossed its threshold: see countersign failures"
        );
        self.parts.webhook.offer(event);
    }
}

impl Node {
    /// Records a start or a reload of this node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_service_event(&self, kind: ServiceEventKind) -> Result<(), StoreError> {
        let at: UnixMillis = self.clock.untrusted_now();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.store.record_service_event(ServiceEvent { at, node: self.name.clone(), kind, version }).await
    }
}
