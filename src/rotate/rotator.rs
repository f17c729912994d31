//! Rotator of rings, and the phases of a step that it reports.

use std::sync::Arc;

use super::{config::RingApp, plan::Step};
use crate::{
    braze::{Directories, KeyDirectory},
    clock::ClockGuard,
    custody::Custodian,
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::{AppName, Kid, RingName},
    },
    store::{KeyTransaction, Store, StoreError},
};

/// Phase of a step that is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPhase {
    /// The step is about to begin.
    Before,
    /// The step is in the audit log; nothing is changed outside the store yet.
    Recorded,
    /// The change outside the store is made, and not on record yet.
    Effected,
    /// The step is done.
    Done,
}

/// Receiver of each step, its reason, and its phase.
pub type Observer = Arc<dyn Fn(&Step, &str, StepPhase) + Send + Sync>;

/// Rotator: observes rings, does the steps of their rotations, and executes operators' commands.
pub struct Rotator {
    pub store: Arc<dyn Store>,
    pub custodian: Arc<dyn Custodian>,
    /// Key directories of Braze's workspaces.
    pub directories: Arc<Directories>,
    pub clock: Arc<ClockGuard>,
    /// Actor of the acts in the audit log.
    pub actor: Actor,
    /// Name in leases; no two rotators have the same one at a time.
    pub lease_name: String,
    pub observer: Observer,
}

impl Rotator {
    pub(super) fn event(
        &self,
        ring: &RingName,
        kid: Option<&Kid>,
        app: Option<&AppName>,
        action: AuditAction,
        why: &str,
    ) -> AuditEvent {
        AuditEvent {
            // A record decides nothing, and a key is stopped also where the clock is.
            at: self.clock.untrusted_now(),
            actor: self.actor.clone(),
            action,
            target: AuditTarget {
                ring: Some(ring.clone()),
                kid: kid.cloned(),
                app: app.cloned(),
                ..AuditTarget::default()
            },
            outcome: AuditOutcome::Done,
            why: why.to_owned(),
        }
    }

    /// Records the intent of an act outside the store. The caller does nothing where that fails.
    pub(super) async fn intend(&self, event: &AuditEvent) -> Result<(), StoreError> {
        let events = vec![event.clone()];
        self.store.transact(KeyTransaction { events, ..KeyTransaction::default() }).await.map(drop)
    }

    /// Records the outcome of an act outside the store.
    pub(super) async fn record(&self, event: AuditEvent) -> Result<(), StoreError> {
        self.store.append_events(vec![event]).await
    }

    /// Records that an act outside the store failed. Where that fails too, the intent is the last record of it.
    pub(super) async fn record_failure(&self, event: AuditEvent, error: &(impl std::fmt::Display + Sync)) {
        let now = self.clock.untrusted_now();
        self.note(event.ended(now, AuditOutcome::Failed, &error.to_string())).await;
    }

    /// Records what no act waits for.
    pub(super) async fn note(&self, event: AuditEvent) {
        let (action, outcome) = (event.action.as_str(), event.outcome.as_str());
        if let Err(why) = self.record(event).await {
            tracing::warn!(action, outcome, %why, "the audit log does not have this");
        }
    }

    /// Returns the directory that holds an app's keys, and the app's id there.
    pub(super) fn directory<'a>(&'a self, app: &'a RingApp) -> Option<(&'a dyn KeyDirectory, &'a str)> {
        let (workspace, app_id) = app.at_braze.as_ref()?;
        Some((&**self.directories.get(workspace)?, app_id))
    }
}
