//! The audit log of the service: every node follows it, and one of them signs its head.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::Node;
use crate::{
    audit::{AuditError, AuditKeys, LogFollower},
    clock::UnixMillis,
    outage::Operation,
    store::{AuditHead, SavedCheckpoint},
    telemetry::Alarm,
};

/// Interval at which the head is read.
const TICK: Duration = Duration::from_secs(2);

/// Lease of the node that signs, and the time after which it ends if that node died.
const LEASE: (&str, Duration) = ("audit checkpoint", Duration::from_mins(5));

/// Fault of the audit log as this node sees it.
#[derive(Debug, Default)]
pub struct AuditStanding(Mutex<Option<String>>);

impl AuditStanding {
    /// Returns the fault, if there is one.
    pub fn fault(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the fault; returns true where it is a new one.
    fn replace(&self, fault: Option<String>) -> bool {
        let is_fault = fault.is_some();
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), fault);
        is_fault && before.is_none()
    }
}

/// Task that follows the audit log.
pub struct AuditAgent {
    node: Arc<Node>,
    keys: Arc<AuditKeys>,
    follower: LogFollower,
    /// The fork that this node found is on record.
    reported: bool,
}

impl AuditAgent {
    /// Makes an agent that has read nothing yet.
    pub fn new(node: Arc<Node>, keys: Arc<AuditKeys>) -> Self {
        Self { node, keys, follower: LogFollower::default(), reported: false }
    }

    /// Follows the log. It never returns.
    pub async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick().await;
        }
    }

    /// Reads what is new, compares it with what was there, and signs the head where that is due.
    pub async fn tick(&mut self) {
        let Ok(now) = self.node.clock.trusted_now() else { return };
        if self.node.outage.breaker.is_open(Operation::Read) {
            return;
        }
        match self.follow(now).await {
            Ok(()) => self.reported = false,
            Err(AuditError::Fork(description)) => self.report_fork(&description).await,
            // The node reports a store that does not answer.
            Err(AuditError::Store(error)) if error.is_outage() => {
                tracing::debug!(%error, "the audit log is read later");
            }
            Err(error) => tracing::warn!(%error, "the head of the audit log is not signed"),
        }
    }

    async fn follow(&mut self, now: UnixMillis) -> Result<(), AuditError> {
        let (head, newest) = self.follower.advance(&*self.node.store).await?;
        let fault = fault(&head);
        let is_fork = head.fork.is_some();
        if self.node.audit.replace(fault.clone()) {
            tracing::error!(why = fault, "the audit log is at fault");
            self.node.metrics.alarm(Alarm::Audit);
        }
        if head.waiting > 0 && !is_fork {
            // What waits is appended before anything else: here, also where no other act comes.
            self.node.store.append_events(Vec::new()).await?;
        }
        if is_fork || !self.follower.is_due(&head, newest.as_ref(), now) {
            return Ok(());
        }
        let (lease, time) = LEASE;
        if !self.node.store.lease(lease, &self.node.name, now, time).await? {
            return Ok(());
        }
        let signed = self.follower.checkpoint(&*self.node.store, &self.keys, &head, now).await;
        self.node.store.release(lease, &self.node.name).await?;
        print(&signed?);
        Ok(())
    }

    async fn report_fork(&mut self, description: &str) {
        if !self.reported {
            match self.node.store.report_fork(description).await {
                Ok(()) => self.reported = true,
                Err(error) => tracing::warn!(%error, "a fork of the audit log is not on record yet"),
            }
        }
        if self.node.audit.replace(Some(fork(description))) {
            tracing::error!(
                why = description,
                "the audit log is not the one that was there: operators' acts are refused"
            );
            self.node.metrics.alarm(Alarm::Audit);
        }
    }
}

/// Prints a checkpoint. Whoever collects the log keeps it where the operator of this machine cannot change it.
fn print(saved: &SavedCheckpoint) {
    tracing::info!(epoch = saved.epoch, size = saved.size, note = saved.note, "checkpoint of the audit log");
}

fn fault(head: &AuditHead) -> Option<String> {
    let waiting = || format!("{} acts took effect and wait for their records", head.waiting);
    head.fork.as_deref().map(fork).or_else(|| (head.waiting > 0).then(waiting))
}

fn fork(description: &str) -> String {
    format!("{description}: run `countersign audit verify`")
}
