//! Background work for the reports of apps: it renews the copy of the records that they are compared with, and writes
//! their counts to the store.

use std::{sync::Arc, time::Duration};

use super::Node;
use crate::failures::{Counts, Knowledge};

/// Time between two readings of the records.
const EVERY: Duration = Duration::from_secs(10);

/// Task that keeps what reports need, and what they leave.
pub struct FailuresAgent {
    node: Arc<Node>,
    knowledge: Arc<Knowledge>,
    counts: Arc<Counts>,
}

impl FailuresAgent {
    /// Makes an agent that has read nothing yet.
    pub fn new(node: Arc<Node>, knowledge: Arc<Knowledge>, counts: Arc<Counts>) -> Self {
        Self { node, knowledge, counts }
    }

    /// Works every 10 s. It never returns.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick().await;
        }
    }

    /// Does the work of once. Where the store does not answer, reports are compared with what was read before, and counts
    /// wait.
    pub async fn tick(&self) {
        let now = self.node.clock.untrusted_now();
        if let Err(error) = self.knowledge.renew(&*self.node.store, now).await {
            tracing::debug!(%error, "reports are compared with records that were read before");
        }
        if let Err(error) = self.counts.write_to(&*self.node.store, now).await {
            tracing::debug!(%error, "counts of reports wait for the store");
        }
    }
}
