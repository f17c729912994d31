//! Operators' words: begin, give up, go back, compromised, confirmed. They change records only, so that none of them waits
//! for Braze; what follows from them is driven like everything else.

use super::{
    Config, Observed, RotateError, Rotator,
    plan::{Next, Observation, Refusal, Snapshot, Step, Transition},
};
use crate::domain::{
    ids::{AppName, Kid},
    key::{KeyRecord, KeyState},
    rotation::{AuditAction, Goal},
    spki::Spki,
};

/// How often a lost race is run again.
const RACES: usize = 20;

/// What an operator wants.
type OperatorCommand<'a> = dyn Fn(&Snapshot) -> Result<Option<Transition>, Refusal> + Send + Sync + 'a;

impl Rotator {
    /// Begins a rotation, unless one is under way.
    pub async fn begin(&self, config: &Config, why: &str) -> Result<(), RotateError> {
        self.follow(config, None, why, &|snapshot| Ok(snapshot.ask())).await
    }

    /// Gives the rotation up that is under way.
    pub async fn abort(&self, config: &Config, why: &str) -> Result<(), RotateError> {
        self.follow(config, None, why, &|snapshot| snapshot.abort().map(Some)).await
    }

    /// Lets the key before sign again.
    pub async fn roll_back(&self, config: &Config, why: &str) -> Result<(), RotateError> {
        self.follow(config, None, why, &|snapshot| snapshot.roll_back().map(Some)).await
    }

    /// Stops a key for good; nodes follow within 2 s. Where it signed, a key that is ready takes over in the same moment.
    pub async fn compromise(&self, config: &Config, kid: &Kid, why: &str) -> Result<(), RotateError> {
        self.follow(config, Some(kid), why, &|snapshot| snapshot.compromise(kid).map(Some)).await
    }

    /// Has everything put right at Braze that is ours: missing keys, primary, keys that have to go.
    pub async fn repair(&self, config: &Config, why: &str) -> Result<(), RotateError> {
        self.follow(config, None, why, &|snapshot| Ok(snapshot.put_right())).await
    }

    /// Takes an operator's word that an app, or every app that people look after, holds a key; shown by its fingerprint.
    pub async fn confirm(
        &self,
        config: &Config,
        key: &KeyRecord,
        fingerprint: &str,
        app: Option<&AppName>,
    ) -> Result<Vec<AppName>, RotateError> {
        let spki = Spki::from_pem(&key.public_key).map_err(|_| RotateError::BadRecord(key.kid.clone()))?;
        if !spki.has_fingerprint(fingerprint) {
            self.refuse(config, Some(&key.kid), "a wrong fingerprint was given for it").await?;
            return Err(RotateError::WrongFingerprint(key.kid.clone()));
        }
        if !matches!(key.state, KeyState::Pending | KeyState::Published | KeyState::Active | KeyState::Retiring) {
            return Err(RotateError::NotWaiting(key.kid.clone(), key.state.as_str()));
        }
        let apps = by_hand(config, app)?;
        let assumed = |app: &AppName| Observation::Assumed { app: app.clone(), kid: key.kid.clone() };
        self.take_word(config, key, &apps, assumed, false).await?;
        self.prove(config, &key.kid).await?;
        Ok(apps)
    }

    /// Takes an operator's word that a key that has to go is deleted at an app, or at every app that people look after.
    pub async fn confirm_deleted(
        &self,
        config: &Config,
        key: &KeyRecord,
        app: Option<&AppName>,
    ) -> Result<Vec<AppName>, RotateError> {
        if !matches!(key.state, KeyState::Retired | KeyState::Compromised) {
            return Err(RotateError::NotWaiting(key.kid.clone(), key.state.as_str()));
        }
        let apps = by_hand(config, app)?;
        let gone = |app: &AppName| Observation::Gone { app: app.clone(), kid: key.kid.clone() };
        self.take_word(config, key, &apps, gone, true).await?;
        Ok(apps)
    }

    async fn take_word(
        &self,
        config: &Config,
        key: &KeyRecord,
        apps: &[AppName],
        observation: impl Fn(&AppName) -> Observation,
        when_held: bool,
    ) -> Result<(), RotateError> {
        for _ in 0..RACES {
            let observed = self.load_recorded(config).await?;
            let held = |app: &&AppName| {
                let snapshot = observed.snapshot.apps.iter().find(|snapshot| snapshot.app == **app);
                let known = snapshot.and_then(|snapshot| snapshot.publications.get(&key.kid));
                known.is_some_and(|known| known.shown.is_some())
            };
            let observations: Vec<Observation> =
                apps.iter().filter(|app| held(app) == when_held).map(&observation).collect();
            if self.record(&observed, &observations).await? {
                return Ok(());
            }
        }
        Err(RotateError::Raced(config.ring.clone()))
    }

    /// A pending key that every app holds by now is published.
    async fn prove(&self, config: &Config, kid: &Kid) -> Result<(), RotateError> {
        let command = |snapshot: &Snapshot| {
            let pending = snapshot.key(kid).is_some_and(|key| key.record.state == KeyState::Pending);
            if pending && snapshot.is_held_everywhere(kid) {
                snapshot.transition(&Step::Prove { kid: kid.clone() })
            } else {
                Ok(None)
            }
        };
        self.follow(config, Some(kid), "every app of the ring is confirmed to hold it", &command).await
    }

    /// Does what a word says, on what is on record. A refusal is in the audit log too.
    async fn follow(
        &self,
        config: &Config,
        kid: Option<&Kid>,
        why: &str,
        command: &OperatorCommand<'_>,
    ) -> Result<(), RotateError> {
        for _ in 0..RACES {
            let observed = self.noted(config).await?;
            let transition = match command(&observed.snapshot) {
                Ok(Some(transition)) => transition,
                Ok(None) => return Ok(()),
                Err(refusal) => {
                    self.refuse(config, kid, &refusal.to_string()).await?;
                    return Err(refusal.into());
                }
            };
            if self.transition(&observed, transition, why).await? {
                return Ok(());
            }
        }
        Err(RotateError::Raced(config.ring.clone()))
    }

    /// What is on record, once what follows from it by itself is on record too.
    async fn noted(&self, config: &Config) -> Result<Observed, RotateError> {
        for _ in 0..RACES {
            let observed = self.load_recorded(config).await?;
            match observed.snapshot.next() {
                Next::Do { step: Step::Note { observations }, .. } => {
                    self.record(&observed, &observations).await?;
                }
                _ => return Ok(observed),
            }
        }
        Err(RotateError::Raced(config.ring.clone()))
    }

    async fn refuse(&self, config: &Config, kid: Option<&Kid>, why: &str) -> Result<(), RotateError> {
        let events = vec![self.event(&config.ring, kid, None, AuditAction::Refused, why)];
        self.store.transact(crate::store::KeyTransaction { events, ..Default::default() }).await?;
        Ok(())
    }
}

/// The apps that people look after: the one that is meant, or all of them.
fn by_hand(config: &Config, app: Option<&AppName>) -> Result<Vec<AppName>, RotateError> {
    if let Some(app) = app {
        let known = config.apps.iter().find(|known| known.app == *app);
        let known = known.ok_or_else(|| RotateError::NotOfRing { app: app.clone(), ring: config.ring.clone() })?;
        return if known.place.is_none() { Ok(vec![app.clone()]) } else { Err(RotateError::ProvenByList(app.clone())) };
    }
    let apps: Vec<AppName> = config.apps.iter().filter(|app| app.place.is_none()).map(|app| app.app.clone()).collect();
    if apps.is_empty() { Err(RotateError::NothingByHand(config.ring.clone())) } else { Ok(apps) }
}

impl Snapshot {
    /// Whether every app was shown, or is attested, to hold a key.
    pub fn is_held_everywhere(&self, kid: &Kid) -> bool {
        let shown =
            |app: &super::plan::AppSnapshot| app.publications.get(kid).is_some_and(|known| known.shown.is_some());
        self.apps.iter().all(shown)
    }

    fn put_right(&self) -> Option<Transition> {
        let transition = Transition {
            changes: Vec::new(),
            goal: Goal::CleaningUp,
            new_key: self.new_key.clone(),
            actions: Vec::new(),
        };
        (self.goal == Goal::Idle).then_some(transition)
    }
}
