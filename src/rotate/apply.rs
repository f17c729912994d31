//! Does what the plan says: one step, put on record, then the next. Every step can be done again.
//!
//! What changes something outside the store (Braze, a private half) is put into the trail first and done then. What
//! changes records is one act: compare-and-set, with its line of the trail.

use std::{sync::Arc, time::Duration};

use super::{
    Config, Look, RotateError, Rotor,
    look::Unasked,
    plan::{Next, Sighting, Step, Turn},
};
use crate::{
    braze::BrazeError,
    domain::{
        ids::{AppName, Kid, RingName},
        rotation::{Deed, Goal, Progress, Publication},
    },
    store::{Act, KeyChange, PublicationChange},
};

/// How long a worker that died keeps others away; a living one renews it with each step.
const LEASE: Duration = Duration::from_mins(2);
/// More steps than any rotation has.
const LONGEST: usize = 400;
/// The size of keys that are made: Braze's recommendation.
const BITS: u32 = 2048;

/// A step on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It is about to begin.
    Before,
    /// It is in the trail; nothing is changed elsewhere yet.
    Recorded,
    /// What it changes elsewhere is changed, and not on record yet.
    Effected,
    /// It is done.
    Done,
}

/// Told of each step, its reason, and how far it is.
pub type Observer = Arc<dyn Fn(&Step, &str, Moment) + Send + Sync>;

/// How a step went.
enum Outcome {
    Done,
    /// Somebody else changed the records: look again.
    Raced,
    /// Braze did not do it, or did not say.
    Failed(AppName, BrazeError),
}

impl Rotor {
    /// Takes a ring as far as it goes now; what it then waits for. An app that fails is left alone for this time; the
    /// others go on.
    ///
    /// # Errors
    /// [`RotateError::Busy`] where another does it; store and custody.
    pub async fn drive(&self, config: &Config) -> Result<Next, RotateError> {
        self.lease(&config.ring).await?;
        let driven = self.drive_on(config).await;
        self.store.release(&lease_name(&config.ring), &self.by).await?;
        driven
    }

    async fn drive_on(&self, config: &Config) -> Result<Next, RotateError> {
        let mut failed = Unasked::new();
        let mut races = 0;
        for _ in 0..LONGEST {
            let look = self.look_except(config, &failed).await?;
            let (step, reason) = match look.view.next() {
                Next::Do { step, reason } => (step, reason),
                next => return Ok(next),
            };
            // Looking may have taken long.
            self.lease(&config.ring).await?;
            match self.take(config, &look, &step, &reason).await? {
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
        let taken = self.store.lease(&lease_name(ring), &self.by, self.clock.now(), LEASE).await?;
        if taken { Ok(()) } else { Err(RotateError::Busy(ring.clone())) }
    }

    async fn take(&self, config: &Config, look: &Look, step: &Step, reason: &str) -> Result<Outcome, RotateError> {
        (self.observer)(step, reason, Moment::Before);
        let outcome = match step {
            Step::Note { sightings } => self.note(look, sightings).await?,
            Step::Generate => self.generate(look, step, reason).await?,
            Step::Publish { app, kid } => self.publish(config, look, step, app, kid, reason).await?,
            Step::Promote { app, id, .. } | Step::Withdraw { app, id, .. } => {
                self.change(config, look, step, app, id, reason).await?
            }
            Step::Destroy { kid } => self.destroy(look, step, kid, reason).await?,
            Step::Begin | Step::Prove { .. } | Step::Activate { .. } | Step::Retire { .. } | Step::Finish => {
                match look.view.turn(step)? {
                    Some(turn) => self.save(look, turn, reason).await?,
                    None => Outcome::Done,
                }
            }
        };
        if matches!(outcome, Outcome::Done) {
            (self.observer)(step, reason, Moment::Done);
        }
        Ok(outcome)
    }

    /// Saves a turn; `false`: somebody was faster.
    pub(super) async fn turn(&self, look: &Look, turn: Turn, why: &str) -> Result<bool, RotateError> {
        let ring = &look.view.ring;
        let changes = turn.changes.into_iter().map(|(from, to)| KeyChange { from, to }).collect();
        let events = turn.deeds.iter().map(|(kid, deed)| self.event(ring, kid.as_ref(), None, *deed, why)).collect();
        let progress = Progress { version: look.progress.version, goal: turn.goal, made: turn.made };
        let act = Act { changes, events, progress: Some((ring.clone(), progress)), ..Act::default() };
        Ok(self.store.act(act).await?)
    }

    async fn save(&self, look: &Look, turn: Turn, why: &str) -> Result<Outcome, RotateError> {
        Ok(outcome(self.turn(look, turn, why).await?))
    }

    async fn note(&self, look: &Look, sightings: &[Sighting]) -> Result<Outcome, RotateError> {
        Ok(outcome(self.note_down(look, sightings).await?))
    }

    /// Puts sightings on record; `false`: somebody was faster.
    pub(super) async fn note_down(&self, look: &Look, sightings: &[Sighting]) -> Result<bool, RotateError> {
        let mut act = Act::default();
        for sighting in sightings {
            let (app, kid, to) = self.seen(look, sighting);
            if to.is_some() {
                let why = sighting.to_string();
                act.events.push(self.event(&look.view.ring, Some(kid), Some(app), Deed::Published, &why));
            }
            act.publications.push(PublicationChange {
                app: app.clone(),
                kid: kid.clone(),
                from: known(look, app, kid),
                to,
            });
        }
        Ok(self.store.act(act).await?)
    }

    fn seen<'a>(&self, look: &Look, sighting: &'a Sighting) -> (&'a AppName, &'a Kid, Option<Publication>) {
        let now = self.clock.now();
        match sighting {
            Sighting::Shown { app, kid, id } => {
                let asked = known(look, app, kid).and_then(|known| known.asked);
                (app, kid, Some(Publication { asked, shown: Some(now), braze_id: Some(id.clone()) }))
            }
            Sighting::Assumed { app, kid } => {
                (app, kid, Some(Publication { asked: None, shown: Some(now), braze_id: None }))
            }
            Sighting::Gone { app, kid } => (app, kid, None),
        }
    }

    /// A private half without a record, where a crash comes between the two, is a file that nobody uses.
    async fn generate(&self, look: &Look, step: &Step, reason: &str) -> Result<Outcome, RotateError> {
        let custodian = Arc::clone(&self.custodian);
        let made = tokio::task::spawn_blocking(move || custodian.generate(BITS)).await;
        let held = made.map_err(|why| crate::custody::CustodyError::Generation(why.to_string()))??;
        (self.observer)(step, reason, Moment::Effected);
        let view = &look.view;
        let record = held.on_record(view.ring.clone(), self.clock.now());
        let made = if view.goal == Goal::Rotate { Some(record.kid.clone()) } else { view.made.clone() };
        let progress = Progress { version: look.progress.version, goal: view.goal, made };
        let events = vec![self.event(&view.ring, Some(&record.kid), None, Deed::Created, reason)];
        let act = Act {
            insert: Some(record.clone()),
            progress: Some((view.ring.clone(), progress)),
            events,
            ..Act::default()
        };
        let written = self.store.act(act).await?;
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
        look: &Look,
        step: &Step,
        app: &AppName,
        kid: &Kid,
        reason: &str,
    ) -> Result<Outcome, RotateError> {
        let Some(((directory, app_id), key)) = self.place(config, app).zip(look.view.key(kid)) else {
            return Ok(Outcome::Raced);
        };
        let before = known(look, app, kid);
        let asked = Publication { asked: Some(self.clock.now()), ..before.clone().unwrap_or_default() };
        let change = |from, to| PublicationChange { app: app.clone(), kid: kid.clone(), from, to };
        let act = Act {
            publications: vec![change(before.clone(), Some(asked.clone()))],
            events: vec![self.event(&config.ring, Some(kid), Some(app), Deed::Publishing, reason)],
            ..Act::default()
        };
        if !self.store.act(act).await? {
            return Ok(Outcome::Raced);
        }
        (self.observer)(step, reason, Moment::Recorded);
        let description = format!("countersign {kid} ring {}", config.ring);
        let created = directory.create(app_id, &key.record.public_key, &description).await;
        (self.observer)(step, reason, Moment::Effected);
        match created {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if error.is_ambiguous() => {
                tracing::warn!(%app, %kid, %error, "whether Braze took the key is for its list to tell");
                Ok(Outcome::Done)
            }
            Err(error) => {
                // It did not happen, so that it may be asked again at any time.
                let act = Act { publications: vec![change(Some(asked), before)], ..Act::default() };
                self.store.act(act).await?;
                Ok(Outcome::Failed(app.clone(), error))
            }
        }
    }

    /// Makes primary, or deletes.
    async fn change(
        &self,
        config: &Config,
        look: &Look,
        step: &Step,
        app: &AppName,
        id: &str,
        reason: &str,
    ) -> Result<Outcome, RotateError> {
        let Some((directory, app_id)) = self.place(config, app) else { return Ok(Outcome::Raced) };
        let (kid, deed) = match step {
            Step::Promote { kid, .. } => (kid, Deed::MadePrimary),
            Step::Withdraw { kid, .. } => (kid, Deed::Withdrawn),
            _ => return Ok(Outcome::Raced),
        };
        let events = vec![self.event(&look.view.ring, Some(kid), Some(app), deed, reason)];
        self.store.act(Act { events, ..Act::default() }).await?;
        (self.observer)(step, reason, Moment::Recorded);
        let done = match deed {
            Deed::MadePrimary => directory.make_primary(app_id, id).await,
            _ => directory.delete(app_id, id).await,
        };
        (self.observer)(step, reason, Moment::Effected);
        Ok(done.map_or_else(|error| Outcome::Failed(app.clone(), error), |()| Outcome::Done))
    }

    async fn destroy(&self, look: &Look, step: &Step, kid: &Kid, reason: &str) -> Result<Outcome, RotateError> {
        let Some(key) = look.view.key(kid) else { return Ok(Outcome::Raced) };
        let events = vec![self.event(&look.view.ring, Some(kid), None, Deed::Destroyed, reason)];
        self.store.act(Act { events, ..Act::default() }).await?;
        (self.observer)(step, reason, Moment::Recorded);
        self.custodian.destroy(&key.record)?;
        (self.observer)(step, reason, Moment::Effected);
        let act = Act { destroyed: Some((kid.clone(), self.clock.now())), ..Act::default() };
        Ok(outcome(self.store.act(act).await?))
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
fn known(look: &Look, app: &AppName, kid: &Kid) -> Option<Publication> {
    look.view.apps.iter().find(|view| view.app == *app)?.publications.get(kid).cloned()
}
