//! What a step, or an operator's command, changes on record: pure, and the same for doing it and for foretelling it.

use super::{KeySnapshot, Snapshot, Step};
use crate::domain::{
    ids::Kid,
    key::{KeyRecord, KeyState, WrongState},
    rotation::{AuditAction, Goal},
};

/// A change of records: all of it, with its events, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Keys with the state that they must be in, and the record as it becomes.
    pub changes: Vec<(KeyState, KeyRecord)>,
    /// What is to be reached from here.
    pub goal: Goal,
    /// The key that the rotation under way has made.
    pub new_key: Option<Kid>,
    /// What goes into the audit log.
    pub actions: Vec<(Option<Kid>, AuditAction)>,
}

/// An operator's word that is not followed, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to abort.
    #[error("ring {0}: no rotation is under way")]
    NothingToAbort(String),
    /// The rotation went past that point.
    #[error(
        "key {0} signs already, there is nothing to abort: `countersign rotate rollback` lets the key before it sign again"
    )]
    SignsAlready(Kid),
    /// There is no key to go back to.
    #[error("ring {0}: no key is retiring, so there is none to go back to: `countersign rotate run` brings a new one")]
    NothingToRollBack(String),
    /// The key to go back to is not everywhere.
    #[error(
        "key {0} is not proven to be at Braze for every app of its ring: going back to it would have its tokens rejected"
    )]
    NotHeld(Kid),
    /// Some nodes could not sign with it.
    #[error("key {kid} is not loaded by every node yet ({}): try again in some seconds", .nodes.join(", "))]
    NotLoaded {
        /// The key.
        kid: Kid,
        /// Which nodes.
        nodes: Vec<String>,
    },
    /// The key is not on record in this ring.
    #[error("there is no key {0}")]
    NoSuchKey(Kid),
    /// The key is declared so already.
    #[error("key {0} is on record as compromised already")]
    CompromisedAlready(Kid),
    /// A state does not allow it.
    #[error("{0}")]
    State(String),
}

impl From<WrongState> for Refusal {
    fn from(wrong: WrongState) -> Self {
        Self::State(wrong.to_string())
    }
}

impl Snapshot {
    /// What a step changes on record; nothing for those that only change something elsewhere.
    ///
    /// # Errors
    /// [`Refusal::State`], [`Refusal::NoSuchKey`] for a step that no plan made.
    pub fn transition(&self, step: &Step) -> Result<Option<Transition>, Refusal> {
        let same = self.standing();
        Ok(Some(match step {
            Step::Begin => Transition { goal: Goal::Rotating, actions: vec![(None, AuditAction::Begun)], ..same },
            Step::Finish => Transition { goal: Goal::Idle, new_key: None, ..same },
            Step::Prove { kid } => same.with(self.found(kid)?, KeyRecord::published, AuditAction::Published, self)?,
            Step::Retire { kid } => same.with(self.found(kid)?, KeyRecord::retired, AuditAction::Retired, self)?,
            Step::Activate { kid, .. } => {
                Transition { goal: Goal::CleaningUp, new_key: None, ..self.hand_over(self.found(kid)?)? }
            }
            Step::Note { .. }
            | Step::Generate
            | Step::Publish { .. }
            | Step::Promote { .. }
            | Step::Withdraw { .. }
            | Step::Destroy { .. } => return Ok(None),
        }))
    }

    /// An operator wants a rotation.
    pub fn ask(&self) -> Option<Transition> {
        let asked = Transition { goal: Goal::Rotating, actions: vec![(None, AuditAction::Begun)], ..self.standing() };
        (self.goal != Goal::Rotating).then_some(asked)
    }

    /// An operator gives the rotation up: the key that signs goes on, the key that was made for it goes.
    pub fn abort(&self) -> Result<Transition, Refusal> {
        if self.goal != Goal::Rotating {
            let signs = self.active().filter(|_| self.goal == Goal::CleaningUp);
            return Err(signs.map_or_else(
                || Refusal::NothingToAbort(self.ring.to_string()),
                |key| Refusal::SignsAlready(key.record.kid.clone()),
            ));
        }
        let given_up = Transition {
            goal: Goal::CleaningUp,
            new_key: None,
            actions: vec![(None, AuditAction::Aborted)],
            ..self.standing()
        };
        match self.new_key.as_ref().and_then(|kid| self.key(kid)).filter(|key| signs_nothing_yet(key)) {
            Some(key) => given_up.with(key, KeyRecord::retired, AuditAction::Retired, self),
            None => Ok(given_up),
        }
    }

    /// An operator wants the key before to sign again, while Braze still has it.
    pub fn roll_back(&self) -> Result<Transition, Refusal> {
        let key = self.in_state(KeyState::Retiring).pop();
        let key = key.ok_or_else(|| Refusal::NothingToRollBack(self.ring.to_string()))?;
        let kid = key.record.kid.clone();
        // Braze may be silent just when this is needed: what it showed before counts.
        if self.proven(&kid, true).is_none() {
            return Err(Refusal::NotHeld(kid));
        }
        let nodes = self.nodes_without(&kid);
        if !nodes.is_empty() {
            return Err(Refusal::NotLoaded { kid, nodes });
        }
        let mut transition = Transition { goal: Goal::CleaningUp, ..self.hand_over(key)? };
        transition.actions.push((Some(kid), AuditAction::RolledBack));
        Ok(transition)
    }

    /// An operator declares a key compromised: it stops at once, and where it signed, a key that is ready takes over in
    /// the same moment. Without one, the next key is brought in haste.
    pub fn compromise(&self, kid: &Kid) -> Result<Transition, Refusal> {
        let key = self.found(kid)?;
        if key.record.state == KeyState::Compromised {
            return Err(Refusal::CompromisedAlready(kid.clone()));
        }
        let stopped = (key.record.state, key.record.clone().compromised(self.now));
        let goal = if self.goal == Goal::Rotating { Goal::Rotating } else { Goal::CleaningUp };
        let new_key = self.new_key.clone().filter(|new_key| new_key != kid);
        let mut transition = Transition {
            changes: vec![stopped],
            goal,
            new_key,
            actions: vec![(Some(kid.clone()), AuditAction::Compromised)],
        };
        if key.record.state == KeyState::Active {
            self.succeed(&mut transition)?;
        }
        Ok(transition)
    }

    fn succeed(&self, transition: &mut Transition) -> Result<(), Refusal> {
        let Some(next) = self.successor(true) else {
            transition.goal = Goal::Rotating;
            return Ok(());
        };
        transition.changes.push((next.record.state, next.record.clone().activated(self.now)?));
        transition.actions.push((Some(next.record.kid.clone()), AuditAction::Activated));
        // A rotation that was under way has reached its end, if by another way.
        (transition.goal, transition.new_key) = (Goal::CleaningUp, None);
        Ok(())
    }

    fn hand_over(&self, key: &KeySnapshot) -> Result<Transition, Refusal> {
        let mut transition = self.standing();
        if let Some(active) = self.active() {
            transition.changes.push((KeyState::Active, active.record.clone().superseded(self.now)?));
        }
        transition.with(key, KeyRecord::activated, AuditAction::Activated, self)
    }

    fn found(&self, kid: &Kid) -> Result<&KeySnapshot, Refusal> {
        self.key(kid).ok_or_else(|| Refusal::NoSuchKey(kid.clone()))
    }

    fn standing(&self) -> Transition {
        Transition { changes: Vec::new(), goal: self.goal, new_key: self.new_key.clone(), actions: Vec::new() }
    }
}

fn signs_nothing_yet(key: &KeySnapshot) -> bool {
    matches!(key.record.state, KeyState::Pending | KeyState::Published)
}

impl Transition {
    fn with(
        mut self,
        key: &KeySnapshot,
        change: impl FnOnce(KeyRecord, crate::clock::UnixMillis) -> Result<KeyRecord, WrongState>,
        action: AuditAction,
        snapshot: &Snapshot,
    ) -> Result<Self, Refusal> {
        self.changes.push((key.record.state, change(key.record.clone(), snapshot.now)?));
        self.actions.push((Some(key.record.kid.clone()), action));
        Ok(self)
    }
}
