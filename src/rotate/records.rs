//! Writes of transitions and observations to the store. Each is one transaction, compare-and-set, with its audit
//! events.

use super::{
    error::RotateError,
    observe::Observed,
    plan::{Observation, Transition},
    rotator::Rotator,
};
use crate::{
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome},
        rotation::Progress,
    },
    store::{KeyChange, KeyTransaction, PublicationChange},
};

impl Rotator {
    /// Saves a transition, with observations that are not saved yet. Returns `false` where the records changed since the
    /// observation.
    pub(super) async fn save_transition(
        &self,
        observed: &Observed,
        transition: Transition,
        unsaved: &[Observation],
        why: &str,
    ) -> Result<bool, RotateError> {
        let ring = &observed.snapshot.ring;
        let mut transaction = self.transaction_of(observed, unsaved)?;
        transaction.changes = transition.changes.into_iter().map(|(from, to)| KeyChange { from, to }).collect();
        let actions = transition.actions.iter();
        transaction.events.extend(actions.map(|(kid, action)| self.event(ring, kid.as_ref(), None, *action, why)));
        let progress =
            Progress { version: observed.progress.version, goal: transition.goal, new_key: transition.new_key };
        transaction.progress = Some((ring.clone(), progress));
        Ok(self.store.transact(transaction).await?)
    }

    /// Saves observations. Returns `false` where the records changed since the observation.
    pub(super) async fn save_observations(
        &self,
        observed: &Observed,
        observations: &[Observation],
    ) -> Result<bool, RotateError> {
        Ok(self.store.transact(self.transaction_of(observed, observations)?).await?)
    }

    fn transaction_of(&self, observed: &Observed, observations: &[Observation]) -> Result<KeyTransaction, RotateError> {
        let mut transaction = KeyTransaction::default();
        for observation in observations {
            // A wrong time of publication would end a soak early. A key that signs has none before it, and must be stopped
            // also where the clock is.
            if !matches!(observation, Observation::Assumed { .. }) {
                self.clock.trusted_now()?;
            }
            let (app, kid) = observation.subject();
            let to = observed.snapshot.publication_after(observation);
            let action = match observation {
                Observation::Shown { .. } | Observation::Assumed { .. } | Observation::Attested { .. } => {
                    Some(AuditAction::Published)
                }
                Observation::Removed { .. } => Some(AuditAction::Withdrawn),
                // Our own deletion has its event already.
                Observation::Gone { .. } => None,
            };
            let (ring, why) = (&observed.snapshot.ring, observation.to_string());
            let event = action.map(|action| self.event(ring, Some(kid), Some(app), action, &why));
            // Nothing proves what is only taken to be so.
            let outcome = if matches!(observation, Observation::Assumed { .. }) {
                AuditOutcome::Unknown
            } else {
                AuditOutcome::Done
            };
            transaction.events.extend(event.map(|event| AuditEvent { outcome, ..event }));
            let from = observed.publication(app, kid).cloned();
            transaction.publications.push(PublicationChange { app: app.clone(), kid: kid.clone(), from, to });
        }
        Ok(transaction)
    }
}
