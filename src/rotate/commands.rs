//! Execution of operators' commands and confirmations. They only change records, so that none waits for Braze;
//! reconciliation does the steps that follow.

use super::{
    config::Ring,
    error::RotateError,
    observe::Observed,
    plan::{self, AppSnapshot, CommandRefused, Next, Observation, OperatorCommand, Snapshot, Step, Transition},
    rotator::Rotator,
};
use crate::domain::{
    audit::{AuditAction, AuditEvent, AuditOutcome},
    ids::{AppName, Kid},
    key::{KeyRecord, KeyState},
    spki::{Fingerprint, Spki},
};

/// Number of attempts at a transaction that fails because somebody else changed the records.
const ATTEMPTS: usize = 20;

impl Rotator {
    /// Begins a rotation, unless one is in progress.
    pub async fn begin(&self, ring: &Ring, why: &str) -> Result<(), RotateError> {
        self.execute(ring, &OperatorCommand::Begin, why).await
    }

    /// Aborts the rotation in progress.
    pub async fn abort(&self, ring: &Ring, why: &str) -> Result<(), RotateError> {
        self.execute(ring, &OperatorCommand::Abort, why).await
    }

    /// Activates the previous key again.
    pub async fn roll_back(&self, ring: &Ring, why: &str) -> Result<(), RotateError> {
        self.execute(ring, &OperatorCommand::RollBack, why).await
    }

    /// Stops a key for good; nodes follow within 2 s. Where it signed, a key that is ready takes over in the same
    /// transaction.
    pub async fn compromise(&self, ring: &Ring, kid: &Kid, why: &str) -> Result<(), RotateError> {
        self.execute(ring, &OperatorCommand::Compromise(kid.clone()), why).await
    }

    /// Sets the goal to repair Braze's lists: missing keys, the primary, retired and compromised keys. Keys that Braze
    /// gave an id and never listed are asked for again.
    pub async fn repair(&self, ring: &Ring, why: &str) -> Result<(), RotateError> {
        let observed = self.load_recorded(ring).await?;
        let snapshot = &observed.snapshot;
        let gone = |app: &AppSnapshot, kid: &Kid| Observation::Gone { app: app.app.clone(), kid: kid.clone() };
        let of_app = |app| snapshot.unlisted(app).map(move |(kid, _)| gone(app, kid));
        let gone: Vec<Observation> = snapshot.apps.iter().flat_map(of_app).collect();
        if !gone.is_empty() && !self.save_observations(&observed, &gone).await? {
            return Err(RotateError::Raced(ring.name.clone()));
        }
        self.execute(ring, &OperatorCommand::Repair, why).await
    }

    /// Executes an operator's command on the records. A refusal goes into the audit log too. While the
    /// clock is stopped, only a key is stopped.
    pub async fn execute(&self, ring: &Ring, command: &OperatorCommand, why: &str) -> Result<(), RotateError> {
        if !matches!(command, OperatorCommand::Compromise(_)) {
            self.clock.trusted_now()?;
        }
        let transition = |snapshot: &Snapshot| plan::command_transition(snapshot, command);
        let changed = self.transact(ring, command.kid(), why, transition).await?;
        if !changed && let Some(action) = command.action() {
            let event = self.event(&ring.name, command.kid(), None, action, why);
            self.note(AuditEvent { outcome: AuditOutcome::Unchanged, ..event }).await;
        }
        Ok(())
    }

    /// Records an operator's confirmation that an app, or every app without a workspace, holds a key. The
    /// fingerprint of what is at Braze proves it.
    ///
    /// # Errors
    /// [`RotateError::WrongFingerprint`], [`RotateError::NotWaiting`], [`RotateError::ProvenByList`],
    /// [`RotateError::NothingByHand`], [`RotateError::NotOfRing`].
    pub async fn confirm(
        &self,
        ring: &Ring,
        key: &KeyRecord,
        fingerprint: Fingerprint,
        app: Option<&AppName>,
    ) -> Result<Vec<AppName>, RotateError> {
        let spki = Spki::from_pem(&key.public_key).map_err(|_| RotateError::BadRecord(key.kid.clone()))?;
        if spki.fingerprint() != fingerprint {
            self.record_refusal(ring, Some(&key.kid), app, "a wrong fingerprint was given for it").await;
            return Err(RotateError::WrongFingerprint(key.kid.clone()));
        }
        let waits =
            matches!(key.state, KeyState::Pending | KeyState::Published | KeyState::Active | KeyState::Retiring);
        let apps = self.admit_confirmation(ring, key, waits, app).await?;
        let attested = |app: &AppName| Observation::Attested { app: app.clone(), kid: key.kid.clone() };
        self.record_confirmation(ring, &apps, |_, app| Some(attested(app))).await?;
        self.prove(ring, &key.kid).await?;
        Ok(apps)
    }

    /// Records an operator's confirmation that a key is deleted at an app, or at every app without a workspace.
    ///
    /// # Errors
    /// [`RotateError::NotWaiting`], [`RotateError::ProvenByList`], [`RotateError::NothingByHand`],
    /// [`RotateError::NotOfRing`].
    pub async fn confirm_deleted(
        &self,
        ring: &Ring,
        key: &KeyRecord,
        app: Option<&AppName>,
    ) -> Result<Vec<AppName>, RotateError> {
        let has_to_go = matches!(key.state, KeyState::Retired | KeyState::Compromised);
        let apps = self.admit_confirmation(ring, key, has_to_go, app).await?;
        let removed = |observed: &Observed, app: &AppName| {
            observed.publication(app, &key.kid).and_then(|known| known.shown)?;
            Some(Observation::Removed { app: app.clone(), kid: key.kid.clone() })
        };
        self.record_confirmation(ring, &apps, removed).await?;
        Ok(apps)
    }

    /// Returns the apps that a confirmation is for. A refusal is recorded.
    async fn admit_confirmation(
        &self,
        ring: &Ring,
        key: &KeyRecord,
        is_due: bool,
        app: Option<&AppName>,
    ) -> Result<Vec<AppName>, RotateError> {
        let not_waiting = || RotateError::NotWaiting(key.kid.clone(), key.state.as_str());
        let apps = if is_due { apps_by_hand(ring, app) } else { Err(not_waiting()) };
        if let Err(refused) = &apps {
            self.record_refusal(ring, Some(&key.kid), app, &refused.to_string()).await;
        }
        apps
    }

    /// Saves the observation for each app that has one.
    async fn record_confirmation(
        &self,
        ring: &Ring,
        apps: &[AppName],
        observation: impl Fn(&Observed, &AppName) -> Option<Observation>,
    ) -> Result<(), RotateError> {
        for _ in 0..ATTEMPTS {
            let observed = self.load_recorded(ring).await?;
            let observations: Vec<Observation> = apps.iter().filter_map(|app| observation(&observed, app)).collect();
            if self.save_observations(&observed, &observations).await? {
                return Ok(());
            }
        }
        Err(RotateError::Raced(ring.name.clone()))
    }

    /// Records that a pending key is published, where every app holds it now.
    async fn prove(&self, ring: &Ring, kid: &Kid) -> Result<(), RotateError> {
        let transition = |snapshot: &Snapshot| {
            let is_pending = snapshot.key(kid).is_some_and(|key| key.record.state == KeyState::Pending);
            if is_pending && snapshot.is_held_everywhere(kid) {
                plan::transition(snapshot, &Step::Prove { kid: kid.clone() })
            } else {
                Ok(None)
            }
        };
        self.transact(ring, Some(kid), "every app of the ring is confirmed to hold it", transition).await.map(drop)
    }

    /// Computes a transition from the records and saves it. Returns `false` where there is nothing to change. Where the
    /// records change meanwhile, it tries again.
    async fn transact(
        &self,
        ring: &Ring,
        kid: Option<&Kid>,
        why: &str,
        transition: impl Fn(&Snapshot) -> Result<Option<Transition>, CommandRefused> + Send,
    ) -> Result<bool, RotateError> {
        for _ in 0..ATTEMPTS {
            let (observed, unsaved) = self.load_with_observations(ring).await?;
            let transition = match transition(&observed.snapshot) {
                Ok(Some(transition)) => transition,
                Ok(None) => return Ok(false),
                Err(refused) => {
                    self.record_refusal(ring, kid, None, &refused.to_string()).await;
                    return Err(refused.into());
                }
            };
            if self.save_transition(&observed, transition, &unsaved, why).await? {
                return Ok(true);
            }
        }
        Err(RotateError::Raced(ring.name.clone()))
    }

    /// Loads the records. The observations that the plan derives from them are saved first. Returned with the records are
    /// those that the store did not take, as where their audit events cannot be recorded: a key must be stopped without
    /// them, and its own transaction takes them along.
    async fn load_with_observations(&self, ring: &Ring) -> Result<(Observed, Vec<Observation>), RotateError> {
        for _ in 0..ATTEMPTS {
            let observed = self.load_recorded(ring).await?;
            match plan::next(&observed.snapshot) {
                Next::Do { step: Step::Note { observations }, .. } => {
                    match self.save_observations(&observed, &observations).await {
                        Err(RotateError::Store(error)) => {
                            tracing::warn!(ring = %ring.name, %error, "observations are saved with the next change");
                            return Ok((observed, observations));
                        }
                        saved => drop(saved?),
                    }
                }
                _ => return Ok((observed, Vec::new())),
            }
        }
        Err(RotateError::Raced(ring.name.clone()))
    }

    async fn record_refusal(&self, ring: &Ring, kid: Option<&Kid>, app: Option<&AppName>, why: &str) {
        let event = self.event(&ring.name, kid, app, AuditAction::Refused, why);
        self.note(AuditEvent { outcome: AuditOutcome::Refused, ..event }).await;
    }
}

/// Returns the given app, or every app of the ring, where its keys are added and deleted by hand.
fn apps_by_hand(ring: &Ring, app: Option<&AppName>) -> Result<Vec<AppName>, RotateError> {
    if let Some(app) = app {
        let known = ring.apps.iter().find(|known| known.app == *app);
        let known = known.ok_or_else(|| RotateError::NotOfRing { app: app.clone(), ring: ring.name.clone() })?;
        return if known.at_braze.is_none() {
            Ok(vec![app.clone()])
        } else {
            Err(RotateError::ProvenByList(app.clone()))
        };
    }
    let apps: Vec<AppName> = ring.apps.iter().filter(|app| app.at_braze.is_none()).map(|app| app.app.clone()).collect();
    if apps.is_empty() { Err(RotateError::NothingByHand(ring.name.clone())) } else { Ok(apps) }
}
