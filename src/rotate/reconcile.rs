//! Does what the plan says: one step, put on record, then the next. Every step can be done again.
//!
//! What changes something outside the store (Braze, a private half) is put into the audit log first and done then. What
//! changes records is one act: compare-and-set, with its line of the audit log.

use std::{sync::Arc, time::Duration};

use super::{
    Config, Observed, RotateError, Rotator,
    observe::Unasked,
    plan::{Next, Observation, Step, Transition},
};
use crate::{
    braze::BrazeError,
    domain::{
        ids::{AppName, Kid, RingName},
        rotation::{AuditAction, Goal, Progress, Publication},
    },
    store::{KeyChange, KeyTransaction, PublicationChange},
};

/// How long a worker that died keeps others away; a living one renews it with each step.
const LEASE: Duration = Duration::from_mins(2);
/// More steps than any rotation has.
const LONGEST: usize = 400;
/// The size of keys that are made: Braze's recommendation.
const BITS: u32 = 2048;

/// A step on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPhase {
    /// It is about to begin.
    Before,
    /// It is in the audit log; nothing is changed elsewhere yet.
    Recorded,
    /// What it changes elsewhere is changed, and not on record yet.
    Effected,
    /// It is done.
    Done,
}

/// Told of each step, its reason, and how far it is.
pub type Observer = Arc<dyn Fn(&Step, &str, StepPhase) + Send + Sync>;

/// How a step went.
enum Outcome {
    Done,
    /// Somebody else changed the records: look again.
    Raced,
    /// Braze did not do it, or did not say.
    Failed(AppName, BrazeError),
}

impl Rotator {
    /// Takes a ring as far as it goes now; what it then waits for. An app that fails is left alone for this time; the
    /// others go on.
    ///
    /// # Errors
    /// [`RotateError::Busy`] where another does it; store and custody.
    pub async fn reconcile(&self, config: &Config) -> Result<Next, RotateError> {
        self.lease(&config.ring).await?;
        let reconciled = self.reconcile_steps(config).await;
        self.store.release(&lease_name(&config.ring), &self.actor).await?;
        reconciled
    }

    async fn reconcile_steps(&self, config: &Config) -> Result<Next, RotateError> {
        let mut failed = Unasked::new();
        let mut races = 0;
        for _ in 0..LONGEST {
            let observed = self.observe_except(config, &failed).await?;
            let (step, reason) = match observed.snapshot.next() {
                Next::Do { step, reason } => (step, reason),
                next => return Ok(next),
            };
            // Looking may have taken long.
            self.lease(&config.ring).await?;
            match self.take(config, &observed, &step, &reason).await? {
                Outcome::Done => {}
                Outcome::Raced => races += 1,
                Outcome::Failed(app, error) => {
                    tracing::warn!(ring = %config.ring, %app, %step, %error, "a step of the rotation failed");
                    failed.insert(app, error.to_string());
                }
            }
            if races > 10 {
                break;
            }
        }
        Err(RotateError::Raced(config.ring.clone()))
    }

    async fn lease(&self, ring: &RingName) -> Result<(), RotateError> {
        let taken = self.store.lease(&lease_name(ring), &self.actor, self.clock.now(), LEASE).await?;
        if taken { Ok(()) } else { Err(RotateError::Busy(ring.clone())) }
    }

    async fn take(
        &self,
        config: &Config,
        observed: &Observed,
        step: &Step,
        reason: &str,
    ) -> Result<Outcome, RotateError> {
        (self.observer)(step, reason, StepPhase::Before);
        let outcome = match step {
            Step::Note { observations } => self.note(observed, observations).await?,
            Step::Generate => self.generate(observed, step, reason).await?,
            Step::Publish { app, kid } => self.publish(config, observed, step, app, kid, reason).await?,
            Step::Promote { app, id, .. } | Step::Withdraw { app, id, .. } => {
                self.change(config, observed, step, app, id, reason).await?
            }
            Step::Destroy { kid } => self.destroy(observed, step, kid, reason).await?,
            Step::Begin | Step::Prove { .. } | Step::Activate { .. } | Step::Retire { .. } | Step::Finish => {
                match observed.snapshot.transition(step)? {
                    Some(transition) => self.save(observed, transition, reason).await?,
                    None => Outcome::Done,
                }
            }
        };
        if matches!(outcome, Outcome::Done) {
            (self.observer)(step, reason, StepPhase::Done);
        }
        Ok(outcome)
    }

    /// Saves a transition; `false`: somebody was faster.
    pub(super) async fn transition(
        &self,
        observed: &Observed,
        transition: Transition,
        why: &str,
    ) -> Result<bool, RotateError> {
        let ring = &observed.snapshot.ring;
        let changes = transition.changes.into_iter().map(|(from, to)| KeyChange { from, to }).collect();
        let events =
            transition.actions.iter().map(|(kid, action)| self.event(ring, kid.as_ref(), None, *action, why)).collect();
        let progress =
            Progress { version: observed.progress.version, goal: transition.goal, new_key: transition.new_key };
        let act =
            KeyTransaction { changes, events, progress: Some((ring.clone(), progress)), ..KeyTransaction::default() };
        Ok(self.store.transact(act).await?)
    }

    async fn save(&self, observed: &Observed, transition: Transition, why: &str) -> Result<Outcome, RotateError> {
        Ok(outcome(self.transition(observed, transition, why).await?))
    }

    async fn note(&self, observed: &Observed, observations: &[Observation]) -> Result<Outcome, RotateError> {
        Ok(outcome(self.record(observed, observations).await?))
    }

    /// Puts observations on record; `false`: somebody was faster.
    pub(super) async fn record(&self, observed: &Observed, observations: &[Observation]) -> Result<bool, RotateError> {
        let mut act = KeyTransaction::default();
        for observation in observations {
            let (app, kid, to) = self.seen(observed, observation);
            if to.is_some() {
                let why = observation.to_string();
                act.events.push(self.event(
                    &observed.snapshot.ring,
                    Some(kid),
                    Some(app),
                    AuditAction::Published,
                    &why,
                ));
            }
            act.publications.push(PublicationChange {
                app: app.clone(),
                kid: kid.clone(),
                from: known(observed, app, kid),
                to,
            });
        }
        Ok(self.store.transact(act).await?)
    }

    fn seen<'a>(
        &self,
        observed: &Observed,
        observation: &'a Observation,
    ) -> (&'a AppName, &'a Kid, Option<Publication>) {
        let now = self.clock.now();
        match observation {
            Observation::Shown { app, kid, id } => {
                let asked = known(observed, app, kid).and_then(|known| known.asked);
                (app, kid, Some(Publication { asked, shown: Some(now), braze_id: Some(id.clone()) }))
            }
            Observation::Assumed { app, kid } => {
                (app, kid, Some(Publication { asked: None, shown: Some(now), braze_id: None }))
            }
            Observation::Gone { app, kid } => (app, kid, None),
        }
    }

    /// A private half without a record, where a crash comes between the two, is a file that nobody uses.
    async fn generate(&self, observed: &Observed, step: &Step, reason: &str) -> Result<Outcome, RotateError> {
        let custodian = Arc::clone(&self.custodian);
        let new_key = tokio::task::spawn_blocking(move || custodian.generate(BITS)).await;
        let held = new_key.map_err(|why| crate::custody::CustodyError::Generation(why.to_string()))??;
        (self.observer)(step, reason, StepPhase::Effected);
        let snapshot = &observed.snapshot;
        let record = held.on_record(snapshot.ring.clone(), self.clock.now());
        let new_key = if snapshot.goal == Goal::Rotating { Some(record.kid.clone()) } else { snapshot.new_key.clone() };
        let progress = Progress { version: observed.progress.version, goal: snapshot.goal, new_key };
        let events = vec![self.event(&snapshot.ring, Some(&record.kid), None, AuditAction::Created, reason)];
        let act = KeyTransaction {
            insert: Some(record.clone()),
            progress: Some((snapshot.ring.clone(), progress)),
            events,
            ..KeyTransaction::default()
        };
        let written = self.store.transact(act).await?;
        if !written {
            // Nobody knows of it: it must not lie about.
            self.custodian.destroy(&record)?;
        }
        Ok(outcome(written))
    }

    /// Asks once. Whether it happened, a list tells: that it was asked is on record before.
    async fn publish(
        &self,
        config: &Config,
        observed: &Observed,
        step: &Step,
        app: &AppName,
        kid: &Kid,
        reason: &str,
    ) -> Result<Outcome, RotateError> {
        let Some(((directory, app_id), key)) = self.place(config, app).zip(observed.snapshot.key(kid)) else {
            return Ok(Outcome::Raced);
        };
        let before = known(observed, app, kid);
        let asked = Publication { asked: Some(self.clock.now()), ..before.clone().unwrap_or_default() };
        let change = |from, to| PublicationChange { app: app.clone(), kid: kid.clone(), from, to };
        let act = KeyTransaction {
            publications: vec![change(before.clone(), Some(asked.clone()))],
            events: vec![self.event(&config.ring, Some(kid), Some(app), AuditAction::Publishing, reason)],
            ..KeyTransaction::default()
        };
        if !self.store.transact(act).await? {
            return Ok(Outcome::Raced);
        }
        (self.observer)(step, reason, StepPhase::Recorded);
        let description = format!("countersign {kid} ring {}", config.ring);
        let created = directory.create(app_id, &key.record.public_key, &description).await;
        (self.observer)(step, reason, StepPhase::Effected);
        match created {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if error.is_ambiguous() => {
                tracing::warn!(%app, %kid, %error, "whether Braze took the key is for its list to tell");
                Ok(Outcome::Done)
            }
            Err(error) => {
                // It did not happen, so that it may be asked again at any time.
                let act =
                    KeyTransaction { publications: vec![change(Some(asked), before)], ..KeyTransaction::default() };
                self.store.transact(act).await?;
                Ok(Outcome::Failed(app.clone(), error))
            }
        }
    }

    /// Makes primary, or deletes.
    async fn change(
        &self,
        config: &Config,
        observed: &Observed,
        step: &Step,
        app: &AppName,
        id: &str,
        reason: &str,
    ) -> Result<Outcome, RotateError> {
        let Some((directory, app_id)) = self.place(config, app) else { return Ok(Outcome::Raced) };
        let (kid, action) = match step {
            Step::Promote { kid, .. } => (kid, AuditAction::MadePrimary),
            Step::Withdraw { kid, .. } => (kid, AuditAction::Withdrawn),
            _ => return Ok(Outcome::Raced),
        };
        let events = vec![self.event(&observed.snapshot.ring, Some(kid), Some(app), action, reason)];
        self.store.transact(KeyTransaction { events, ..KeyTransaction::default() }).await?;
        (self.observer)(step, reason, StepPhase::Recorded);
        let done = match action {
            AuditAction::MadePrimary => directory.make_primary(app_id, id).await,
            _ => directory.delete(app_id, id).await,
        };
        (self.observer)(step, reason, StepPhase::Effected);
        Ok(done.map_or_else(|error| Outcome::Failed(app.clone(), error), |()| Outcome::Done))
    }

    async fn destroy(&self, observed: &Observed, step: &Step, kid: &Kid, reason: &str) -> Result<Outcome, RotateError> {
        let Some(key) = observed.snapshot.key(kid) else { return Ok(Outcome::Raced) };
        let events = vec![self.event(&observed.snapshot.ring, Some(kid), None, AuditAction::Destroyed, reason)];
        self.store.transact(KeyTransaction { events, ..KeyTransaction::default() }).await?;
        (self.observer)(step, reason, StepPhase::Recorded);
        self.custodian.destroy(&key.record)?;
        (self.observer)(step, reason, StepPhase::Effected);
        let act = KeyTransaction { destroyed: Some((kid.clone(), self.clock.now())), ..KeyTransaction::default() };
        Ok(outcome(self.store.transact(act).await?))
    }

    fn place<'a>(&'a self, config: &'a Config, app: &AppName) -> Option<(&'a dyn crate::braze::KeyDirectory, &'a str)> {
        self.directory(config.apps.iter().find(|known| known.app == *app)?)
    }
}

fn lease_name(ring: &RingName) -> String {
    format!("rotate {ring}")
}

fn outcome(written: bool) -> Outcome {
    if written { Outcome::Done } else { Outcome::Raced }
}

/// What is on record of a key at an app.
fn known(observed: &Observed, app: &AppName, kid: &Kid) -> Option<Publication> {
    observed.snapshot.apps.iter().find(|snapshot| snapshot.app == *app)?.publications.get(kid).cloned()
}
