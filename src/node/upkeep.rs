//! Upkeep: checks that the store can be written, purges ended and expired sessions, counts sessions and keys.

use super::NodeAgent;
use crate::{
    store::{Purged, StoreError},
    telemetry::Alarm,
};

/// Ticks between two checks that the store can be written.
const CHECK_EVERY: u32 = 10;
/// Ticks between two counts.
const COUNT_EVERY: u32 = 30;
/// Sessions examined by one purge.
const PURGE_ROWS: u32 = 1000;

/// Number of ticks so far.
#[derive(Default)]
pub(super) struct UpkeepState {
    ticks: u32,
}

impl NodeAgent {
    /// Does the work that is due at this tick.
    pub(super) async fn maintain(&mut self) {
        let tick = self.upkeep.ticks;
        self.upkeep.ticks = tick.wrapping_add(1);
        if tick.is_multiple_of(CHECK_EVERY) {
            self.check_store().await;
            self.purge().await;
        }
        if tick.is_multiple_of(COUNT_EVERY) {
            self.count().await;
            self.node.subscriber.evict_idle();
        }
        self.record_api_key_uses().await;
    }

    pub(super) fn store_failed(&mut self, error: &StoreError) {
        let why = error.to_string();
        if self.faults.store.is_none() {
            tracing::error!(why, "the store does not answer");
            self.node.metrics.alarm(Alarm::Store);
        }
        self.faults.store = Some(why);
    }

    async fn check_store(&mut self) {
        match self.node.store.check(self.now()).await {
            Ok(()) => {
                if self.faults.store.take().is_some() {
                    tracing::info!("the store answers again");
                }
            }
            Err(error) => self.store_failed(&error),
        }
    }

    async fn purge(&self) {
        match self.node.store.purge(self.now(), PURGE_ROWS).await {
            Ok(Purged::Rows { deleted: 0, .. }) | Err(_) => {}
            Ok(Purged::Rows { deleted, .. }) => tracing::debug!(deleted, "ended and expired sessions purged"),
            Ok(Purged::ClockUntrusted) => {
                tracing::error!("the clock jumped: nothing is purged until it is plausible again");
                self.node.metrics.alarm(Alarm::Clock);
            }
        }
    }

    async fn count(&self) {
        let now = self.now();
        if let Ok(apps) = self.node.store.live_sessions(now).await {
            for (app, sessions) in apps {
                self.node.metrics.live_sessions(app.as_str(), sessions);
            }
        }
        if let Ok(keys) = self.node.store.keys().await {
            let keys = keys.into_iter();
            self.node.metrics.keys(
                keys.map(|key| (key.ring.to_string(), key.kid.to_string(), key.state.as_str(), now.since(key.changed))),
            );
        }
    }
}
