//! Upkeep: checks that the store can be written, purges ended and expired sessions, counts sessions and keys.

use std::collections::BTreeMap;

use super::NodeAgent;
use crate::{
    clock::UnixMillis,
    domain::ids::AppName,
    store::StoreError,
    telemetry::{Alarm, Stopwatch},
};

/// Ticks between two checks that the store can be written.
const CHECK_EVERY: u32 = 10;
/// Ticks between two counts of keys, and the least between two of sessions.
const COUNT_EVERY: u32 = 30;
/// A count of sessions reads all of them: the next one waits for this many times as long as the last took.
const REST: u32 = 100;
/// Sessions examined by one purge.
const PURGE_ROWS: u32 = 1000;

/// Number of ticks so far, and the last counts.
#[derive(Default)]
pub(super) struct UpkeepState {
    ticks: u32,
    /// Tick at which the sessions are counted next.
    next_count: u32,
    /// Live sessions of each app that had any since the start. The store names only apps that have some now.
    live_sessions: BTreeMap<AppName, u64>,
}

impl NodeAgent {
    /// Does the work that is due at this tick; while the clock is stopped, only what needs no time.
    pub(super) async fn maintain(&mut self) {
        let tick = self.upkeep.ticks;
        self.upkeep.ticks = tick.wrapping_add(1);
        if tick.is_multiple_of(COUNT_EVERY) {
            self.node.subscriber.evict_idle();
        }
        let Ok(now) = self.node.clock.trusted_now() else { return };
        if tick.is_multiple_of(CHECK_EVERY) {
            self.check_store(now).await;
            self.purge(now).await;
        }
        if tick.is_multiple_of(COUNT_EVERY) {
            self.count_keys(now).await;
        }
        if tick >= self.upkeep.next_count {
            let watch = Stopwatch::start();
            self.count_sessions(now).await;
            let rest = watch.elapsed().saturating_mul(REST).as_secs();
            let rest = u32::try_from(rest).unwrap_or(u32::MAX).max(COUNT_EVERY);
            self.upkeep.next_count = tick.saturating_add(rest);
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

    async fn check_store(&mut self, now: UnixMillis) {
        match self.node.store.check(now).await {
            Ok(()) => {
                if self.faults.store.take().is_some() {
                    tracing::info!("the store answers again");
                }
            }
            Err(error) => self.store_failed(&error),
        }
    }

    async fn purge(&self, now: UnixMillis) {
        if let Ok(purged) = self.node.store.purge(now, PURGE_ROWS).await
            && purged.deleted > 0
        {
            tracing::debug!(purged.deleted, "ended and expired sessions purged");
        }
    }

    async fn count_sessions(&mut self, now: UnixMillis) {
        if let Ok(apps) = self.node.store.live_sessions(now).await {
            let counts = &mut self.upkeep.live_sessions;
            for sessions in counts.values_mut() {
                *sessions = 0;
            }
            counts.extend(apps);
            for (app, sessions) in counts {
                self.node.metrics.live_sessions(app.as_str(), *sessions);
            }
        }
    }

    async fn count_keys(&self, now: UnixMillis) {
        if let Ok(keys) = self.node.store.keys().await {
            let keys = keys.into_iter();
            self.node.metrics.keys(
                keys.map(|key| (key.ring.to_string(), key.kid.to_string(), key.state.as_str(), now.since(key.changed))),
            );
        }
    }
}
