//! Writes of transitions and observations to the store. Each is one transaction, compare-and-set, with its audit
//! events.

use super::{
    error::RotateError,
    observe::Observed,
    plan::{Observation, Transition},
    rotator::Rotator,
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid},
        rotation::{AuditAction, Progress, Publication},
    },
    store::{KeyChange, KeyTransaction, PublicationChange},
};

impl Rotator {
    /// Saves a transition. Returns `false` where the records changed since the observation.
    pub(super) async fn save_transition(
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
        let progress = Some((ring.clone(), progress));
        Ok(self.store.transact(KeyTransaction { changes, progress, events, ..KeyTransaction::default() }).await?)
    }

    /// Saves observations. Returns `false` where the records changed since the observation.
    pub(super) async fn save_observations(
        &self,
        observed: &Observed,
        observations: &[Observation],
    ) -> Result<bool, RotateError> {
        let mut transaction = KeyTransaction::default();
        for observation in observations {
            let (app, kid, to) = publication_after(observed, observation, self.clock.trusted_now()?);
            if to.is_some() {
                let why = observation.to_string();
                let ring = &observed.snapshot.ring;
                transaction.events.push(self.event(ring, Some(kid), Some(app), AuditAction::Published, &why));
            }
            let from = observed.publication(app, kid).cloned();
            transaction.publications.push(PublicationChange { app: app.clone(), kid: kid.clone(), from, to });
        }
        Ok(self.store.transact(transaction).await?)
    }
}

fn publication_after<'a>(
    observed: &Observed,
    observation: &'a Observation,
    now: UnixMillis,
) -> (&'a AppName, &'a Kid, Option<Publication>) {
    let shown = Some(now);
    match observation {
        Observation::Shown { app, kid, id } => {
            let asked = observed.publication(app, kid).and_then(|known| known.asked);
            (app, kid, Some(Publication { asked, shown, braze_id: Some(id.clone()) }))
        }
        Observation::Assumed { app, kid } => (app, kid, Some(Publication { asked: None, shown, braze_id: None })),
        Observation::Gone { app, kid } => (app, kid, None),
    }
}
