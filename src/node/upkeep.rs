//! Upkeep: checks that the store can be written, purges ended and expired sessions, counts sessions and keys.

use std::collections::BTreeMap;

use super::{Config, NodeAgent};
use crate::{
    clock::UnixMillis,
    domain::{audit::Actor, ids::AppName},
    outage::Operation,
    store::StoreError,
    telemetry::Stopwatch,
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
    pub(super) async fn maintain(&mut self, config: &Config) {
        let tick = self.upkeep.ticks;
        self.upkeep.ticks = tick.wrapping_add(1);
        if tick.is_multiple_of(COUNT_EVERY) {
            self.node.subscriber.evict_idle();
        }
        let Ok(now) = self.node.clock.trusted_now() else { return };
        let is_due = tick.is_multiple_of(CHECK_EVERY);
        if is_due || self.is_lost(Operation::Write) {
            self.check_store(now).await;
        }
        if is_due && !self.is_lost(Operation::Write) {
            self.purge(now).await;
        }
        self.record_api_key_uses().await;
        self.record_issued_tokens(config, now).await;
        self.record_activity(config, now).await;
        if self.is_lost(Operation::Read) {
            return;
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
    }

    /// Returns true while the store is known to be out of reach. Long work, which may fail where requests are answered, is
    /// left out then, and does not itself show that the store is out of reach.
    fn is_lost(&self, operation: Operation) -> bool {
        self.node.outage.breaker.is_open(operation)
    }

    pub(super) fn store_failed(&mut self, error: &StoreError) {
        self.node.outage.report_fault(error);
        self.faults.store = Some(error.to_string());
    }

    /// Checks that the store can be written, also while it is known to be out of reach: where it can be, requests use it
    /// again.
    async fn check_store(&mut self, now: UnixMillis) {
        if self.is_lost(Operation::Read) {
            return;
        }
        match self.node.outage.probe(Operation::Write, self.node.store.check(now)).await {
            Ok(()) => {
                self.faults.store = None;
                self.node.outage.report_recovery();
                self.write_owed_ends().await;
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// Ends the sessions that were to end while the store could not be written.
    async fn write_owed_ends(&self) {
        let outage = &self.node.outage;
        for (session, end) in outage.owed.all() {
            // The node writes it, long after the request.
            let actor = Actor::of_request(format!("node {}", self.node.name), end.request_id);
            let write = self.node.store.end_session(session, end.why, end.at, &actor);
            match outage.ask(Operation::Write, write).await {
                Ok(_) => outage.owed.settle(session),
                Err(error) => return tracing::debug!(%error, "ends of sessions are written later"),
            }
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
