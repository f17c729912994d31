//! Reconciliation: asks the plan for a step, does it, records it, and asks again. Every step can be done again.
//!
//! A change outside the store (at Braze, of a private half) goes into the audit log first and is made then. A change of
//! records is one transaction, compare-and-set, with its audit events.

use std::time::Duration;

use super::{
    config::Ring,
    error::RotateError,
    observe::{Observed, Unasked},
    plan::{self, Next, Step},
    rotator::{Rotator, StepPhase},
};
use crate::{
    braze::{BrazeError, KeyDirectory},
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome},
        ids::{AppName, Kid, RingName},
        rotation::{Goal, Progress, Publication},
    },
    store::{KeyTransaction, PublicationChange},
};

/// Time after which the lease of a process that died ends; a running process renews it with each step.
const LEASE: Duration = Duration::from_mins(2);
/// Upper bound of the steps of one reconciliation; a rotation of ten apps has fewer.
const MAX_STEPS: usize = 400;
/// Upper bound of the lost races in one reconciliation.
const MAX_RACES: usize = 10;
/// Size of new keys: Braze's recommendation.
const BITS: u32 = 2048;

/// Outcome of one step.
enum StepOutcome {
    Done,
    /// The records changed since the observation.
    Raced,
    /// Braze refused, or did not answer.
    Failed(AppName, BrazeError),
}

impl Rotator {
    /// Does the steps of a ring until nothing can be done now. Returns the blockers that are left. An app whose step
    /// fails is left out until the next reconciliation; the steps of the other apps continue.
    ///
    /// # Errors
    /// [`RotateError::Busy`] where another process reconciles the ring; store and custody.
    pub async fn reconcile(&self, ring: &Ring) -> Result<Next, RotateError> {
        self.lease(&ring.name).await?;
        let reconciled = self.reconcile_steps(ring).await;
        self.store.release(&lease_name(&ring.name), &self.lease_name).await?;
        reconciled
    }

    /// Puts on record what Braze's lists show, and does nothing else: diagnoses of failures go by the records, also
    /// where no rotation is in progress. Where another process reconciles the ring, that one records it.
    ///
    /// # Errors
    /// Store and clock.
    pub(super) async fn note_lists(&self, ring: &Ring) -> Result<(), RotateError> {
        match self.lease(&ring.name).await {
            Ok(()) => {}
            Err(RotateError::Busy(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let noted = self.note_lists_leased(ring).await;
        self.store.release(&lease_name(&ring.name), &self.lease_name).await?;
        noted
    }

    async fn note_lists_leased(&self, ring: &Ring) -> Result<(), RotateError> {
        // A list that was read before the lease may be older than the records.
        let observed = self.observe(ring).await?;
        if let Next::Do { step: step @ Step::Note { .. }, reason } = plan::next(&observed.snapshot) {
            self.do_step(ring, &observed, &step, &reason).await?;
        }
        Ok(())
    }

    async fn reconcile_steps(&self, ring: &Ring) -> Result<Next, RotateError> {
        let mut failed = Unasked::new();
        let mut requested = Vec::new();
        let mut races = 0;
        for _ in 0..MAX_STEPS {
            let observed = self.observe_except(ring, &failed).await?;
            let (step, reason) = match plan::next(&observed.snapshot) {
                Next::Do { step, reason } => (step, reason),
                next => return Ok(next),
            };
            if let Step::Promote { app, .. } | Step::Withdraw { app, .. } = &step {
                if requested.contains(&step) {
                    let why = format!("its list does not show yet that Braze was asked to {step}");
                    failed.insert(app.clone(), why);
                    continue;
                }
                requested.push(step.clone());
            }
            // The observation may have taken long.
            self.lease(&ring.name).await?;
            match self.do_step(ring, &observed, &step, &reason).await? {
                StepOutcome::Done => {}
                StepOutcome::Raced => races += 1,
                StepOutcome::Failed(app, error) => {
                    tracing::warn!(ring = %ring.name, %app, %step, %error, "a step of the rotation failed");
                    failed.insert(app, error.to_string());
                }
            }
            if races > MAX_RACES {
                break;
            }
        }
        Err(RotateError::Raced(ring.name.clone()))
    }

    async fn lease(&self, ring: &RingName) -> Result<(), RotateError> {
        let taken = self.store.lease(&lease_name(ring), &self.lease_name, self.clock.trusted_now()?, LEASE).await?;
        if taken { Ok(()) } else { Err(RotateError::Busy(ring.clone())) }
    }

    async fn do_step(
        &self,
        ring: &Ring,
        observed: &Observed,
        step: &Step,
        reason: &str,
    ) -> Result<StepOutcome, RotateError> {
        (self.observer)(step, reason, StepPhase::Before);
        let outcome = match step {
            Step::Note { observations } => step_outcome(self.save_observations(observed, observations).await?),
            Step::Generate => self.generate(observed, step, reason).await?,
            Step::Publish { app, kid } => self.publish(ring, observed, step, app, kid, reason).await?,
            Step::Promote { app, id, .. } | Step::Withdraw { app, id, .. } => {
                self.change(ring, observed, step, app, id, reason).await?
            }
            Step::Destroy { kid } => self.destroy(observed, step, kid, reason).await?,
            Step::Begin | Step::Prove { .. } | Step::Activate { .. } | Step::Retire { .. } | Step::Finish => {
                match plan::transition(&observed.snapshot, step)? {
                    Some(transition) => step_outcome(self.save_transition(observed, transition, &[], reason).await?),
                    None => StepOutcome::Done,
                }
            }
        };
        if matches!(outcome, StepOutcome::Done) {
            (self.observer)(step, reason, StepPhase::Done);
        }
        Ok(outcome)
    }

    /// Makes a key and records it, after its intent. A crash between the two leaves a private half that no record names
    /// and that nothing uses.
    async fn generate(&self, observed: &Observed, step: &Step, reason: &str) -> Result<StepOutcome, RotateError> {
        let now = self.clock.trusted_now()?;
        let snapshot = &observed.snapshot;
        let intent = self.event(&snapshot.ring, None, None, AuditAction::Created, reason).intended();
        self.intend(&intent).await?;
        (self.observer)(step, reason, StepPhase::Recorded);
        let held = match self.custodian.generate(&snapshot.ring, BITS).await {
            Ok(held) => held,
            Err(error) => {
                self.record_failure(intent, &error).await;
                return Err(error.into());
            }
        };
        (self.observer)(step, reason, StepPhase::Effected);
        let record = held.on_record(snapshot.ring.clone(), now);
        let new_key = if snapshot.goal == Goal::Rotating { Some(record.kid.clone()) } else { snapshot.new_key.clone() };
        let progress = Progress { version: observed.progress.version, goal: snapshot.goal, new_key };
        let events = vec![self.event(&snapshot.ring, Some(&record.kid), None, AuditAction::Created, reason)];
        let transaction = KeyTransaction {
            insert: Some(record.clone()),
            progress: Some((snapshot.ring.clone(), progress)),
            events,
            ..KeyTransaction::default()
        };
        let written = self.store.transact(transaction).await?;
        if !written {
            // No record names the private half, so that it must be destroyed.
            self.custodian.destroy(&record).await?;
            self.record_failure(intent, &"the records changed meanwhile, and the new key was thrown away").await;
        }
        Ok(step_outcome(written))
    }

    /// Asks Braze once to add a key. The request is recorded first, and Braze's id of the key when Braze has answered; a
    /// later list shows its effect.
    async fn publish(
        &self,
        ring: &Ring,
        observed: &Observed,
        step: &Step,
        app: &AppName,
        kid: &Kid,
        reason: &str,
    ) -> Result<StepOutcome, RotateError> {
        let Some(((directory, app_id), key)) = self.directory_of(ring, app).zip(observed.snapshot.key(kid)) else {
            return Ok(StepOutcome::Raced);
        };
        let before = observed.publication(app, kid).cloned();
        let asked = Publication { asked: Some(self.clock.trusted_now()?), ..before.clone().unwrap_or_default() };
        let change = |from, to| PublicationChange { app: app.clone(), kid: kid.clone(), from, to };
        let intent = self.event(&ring.name, Some(kid), Some(app), AuditAction::Publishing, reason).intended();
        let transaction = KeyTransaction {
            publications: vec![change(before.clone(), Some(asked.clone()))],
            events: vec![intent.clone()],
            ..KeyTransaction::default()
        };
        if !self.store.transact(transaction).await? {
            return Ok(StepOutcome::Raced);
        }
        (self.observer)(step, reason, StepPhase::Recorded);
        let description = format!("countersign {kid} ring {}", ring.name);
        let created = directory.create(app_id, &key.record.public_key, &description).await;
        (self.observer)(step, reason, StepPhase::Effected);
        let event = self.outcome_at_braze(intent, &created);
        let (to, outcome) = match created {
            Ok(id) => (Some(Publication { braze_id: Some(id), ..asked.clone() }), StepOutcome::Done),
            Err(error) if error.is_ambiguous() => {
                tracing::warn!(%app, %kid, %error, "Braze's answer is not clear: its next list shows whether it added the key");
                self.record(event).await?;
                return Ok(StepOutcome::Done);
            }
            // Braze did not add it, so that it may be asked again at any time.
            Err(error) => (before, StepOutcome::Failed(app.clone(), error)),
        };
        let (publications, events) = (vec![change(Some(asked), to)], vec![event.clone()]);
        if !self.store.transact(KeyTransaction { publications, events, ..KeyTransaction::default() }).await? {
            // Somebody who changed the record meanwhile knows more.
            self.record(event).await?;
        }
        Ok(outcome)
    }

    /// Makes an entry primary, or deletes it.
    async fn change(
        &self,
        ring: &Ring,
        observed: &Observed,
        step: &Step,
        app: &AppName,
        id: &str,
        reason: &str,
    ) -> Result<StepOutcome, RotateError> {
        let Some((directory, app_id)) = self.directory_of(ring, app) else { return Ok(StepOutcome::Raced) };
        let (kid, action) = match step {
            Step::Promote { kid, .. } => (kid, AuditAction::MadePrimary),
            Step::Withdraw { kid, .. } => (kid, AuditAction::Withdrawn),
            _ => return Ok(StepOutcome::Raced),
        };
        let intent = self.event(&observed.snapshot.ring, Some(kid), Some(app), action, reason).intended();
        self.intend(&intent).await?;
        (self.observer)(step, reason, StepPhase::Recorded);
        let done = match action {
            AuditAction::MadePrimary => directory.make_primary(app_id, id).await,
            _ => directory.delete(app_id, id).await,
        };
        (self.observer)(step, reason, StepPhase::Effected);
        self.record(self.outcome_at_braze(intent, &done)).await?;
        if let Err(error) = done {
            return Ok(StepOutcome::Failed(app.clone(), error));
        }
        let known = observed.publication(app, kid).filter(|known| known.shown.is_none());
        if let (Step::Withdraw { .. }, Some(known)) = (step, known) {
            // No list has shown the key, so that none will show its end.
            let from = Some(known.clone());
            let publications = vec![PublicationChange { app: app.clone(), kid: kid.clone(), from, to: None }];
            self.store.transact(KeyTransaction { publications, ..KeyTransaction::default() }).await?;
        }
        Ok(StepOutcome::Done)
    }

    async fn destroy(
        &self,
        observed: &Observed,
        step: &Step,
        kid: &Kid,
        reason: &str,
    ) -> Result<StepOutcome, RotateError> {
        let Some(key) = observed.snapshot.key(kid) else { return Ok(StepOutcome::Raced) };
        let intent = self.event(&observed.snapshot.ring, Some(kid), None, AuditAction::Destroyed, reason).intended();
        self.intend(&intent).await?;
        (self.observer)(step, reason, StepPhase::Recorded);
        if let Err(error) = self.custodian.destroy(&key.record).await {
            self.record_failure(intent, &error).await;
            return Err(error.into());
        }
        (self.observer)(step, reason, StepPhase::Effected);
        let destroyed = Some((kid.clone(), self.clock.untrusted_now()));
        let events = vec![intent.ended(self.clock.untrusted_now(), AuditOutcome::Done, "")];
        Ok(step_outcome(self.store.transact(KeyTransaction { destroyed, events, ..KeyTransaction::default() }).await?))
    }

    fn directory_of<'a>(&'a self, ring: &'a Ring, app: &AppName) -> Option<(&'a dyn KeyDirectory, &'a str)> {
        self.directory(ring.apps.iter().find(|known| known.app == *app)?)
    }

    /// Returns the record of an answer of Braze. An unclear one may have taken effect.
    fn outcome_at_braze<T>(&self, intent: AuditEvent, answer: &Result<T, BrazeError>) -> AuditEvent {
        let now = self.clock.untrusted_now();
        match answer {
            Ok(_) => intent.ended(now, AuditOutcome::Done, ""),
            Err(error) if error.is_ambiguous() => intent.ended(now, AuditOutcome::Unknown, &error.to_string()),
            Err(error) => intent.ended(now, AuditOutcome::Failed, &error.to_string()),
        }
    }
}

fn lease_name(ring: &RingName) -> String {
    format!("rotate {ring}")
}

fn step_outcome(written: bool) -> StepOutcome {
    if written { StepOutcome::Done } else { StepOutcome::Raced }
}
