//! Changes of records by steps and by operators' commands. They are pure, so that a simulation uses them too.

use super::{
    command::{CommandRefused, OperatorCommand},
    snapshot::{KeySnapshot, Snapshot},
    step::Step,
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::AuditAction,
        ids::Kid,
        key::{KeyRecord, KeyState, WrongState},
        rotation::Goal,
    },
};

/// Change of records: all of it, with its audit events, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Keys, each with the state that it must be in and its record after the change.
    pub changes: Vec<(KeyState, KeyRecord)>,
    /// Goal after the change.
    pub goal: Goal,
    /// Key that the rotation in progress has made, after the change.
    pub new_key: Option<Kid>,
    /// Events for the audit log.
    pub actions: Vec<(Option<Kid>, AuditAction)>,
}

impl Transition {
    /// Returns a transition that keeps goal and new key, and changes no key.
    fn unchanged(snapshot: &Snapshot) -> Self {
        Self { changes: Vec::new(), goal: snapshot.goal, new_key: snapshot.new_key.clone(), actions: Vec::new() }
    }

    fn with(
        mut self,
        key: &KeySnapshot,
        change: impl FnOnce(KeyRecord, UnixMillis) -> Result<KeyRecord, WrongState>,
        action: AuditAction,
        now: UnixMillis,
    ) -> Result<Self, CommandRefused> {
        self.changes.push((key.record.state, change(key.record.clone(), now)?));
        self.actions.push((Some(key.record.kid.clone()), action));
        Ok(self)
    }
}

/// Returns the change of records by a step; `None` for a step that changes only something outside the records.
///
/// # Errors
/// [`CommandRefused::State`], [`CommandRefused::NoSuchKey`] for a step that [`super::next`] did not return.
pub fn transition(snapshot: &Snapshot, step: &Step) -> Result<Option<Transition>, CommandRefused> {
    let (same, now) = (Transition::unchanged(snapshot), snapshot.now);
    Ok(Some(match step {
        Step::Begin => Transition { goal: Goal::Rotating, actions: vec![(None, AuditAction::Begun)], ..same },
        Step::Finish => Transition { goal: Goal::Idle, new_key: None, ..same },
        Step::Prove { kid } => same.with(find(snapshot, kid)?, KeyRecord::published, AuditAction::Published, now)?,
        Step::Retire { kid } => same.with(find(snapshot, kid)?, KeyRecord::retired, AuditAction::Retired, now)?,
        Step::Activate { kid, .. } => {
            Transition { goal: Goal::CleaningUp, new_key: None, ..switch_active(snapshot, find(snapshot, kid)?)? }
        }
        Step::Note { .. }
        | Step::Generate
        | Step::Publish { .. }
        | Step::Promote { .. }
        | Step::Withdraw { .. }
        | Step::Destroy { .. } => return Ok(None),
    }))
}

/// Returns the change of records by an operator's command; `None` where there is nothing to change.
///
/// # Errors
/// [`CommandRefused`] where the ring's state does not allow the command.
pub fn command_transition(
    snapshot: &Snapshot,
    command: &OperatorCommand,
) -> Result<Option<Transition>, CommandRefused> {
    match command {
        OperatorCommand::Begin => Ok(begin(snapshot)),
        OperatorCommand::Abort => abort(snapshot).map(Some),
        OperatorCommand::RollBack => roll_back(snapshot).map(Some),
        OperatorCommand::Compromise(kid) => compromise(snapshot, kid).map(Some),
        OperatorCommand::Repair => Ok(repair(snapshot)),
    }
}

fn begin(snapshot: &Snapshot) -> Option<Transition> {
    let begun = Transition {
        goal: Goal::Rotating,
        actions: vec![(None, AuditAction::Begun)],
        ..Transition::unchanged(snapshot)
    };
    (snapshot.goal != Goal::Rotating).then_some(begun)
}

/// Ends the rotation: the active key keeps signing, the key that was made for the rotation retires.
fn abort(snapshot: &Snapshot) -> Result<Transition, CommandRefused> {
    if snapshot.goal != Goal::Rotating {
        let signs = snapshot.active().filter(|_| snapshot.goal == Goal::CleaningUp);
        return Err(signs.map_or_else(
            || CommandRefused::NothingToAbort(snapshot.ring.to_string()),
            |key| CommandRefused::SignsAlready { ring: snapshot.ring.to_string(), kid: key.record.kid.clone() },
        ));
    }
    let aborted = Transition {
        goal: Goal::CleaningUp,
        new_key: None,
        actions: vec![(None, AuditAction::Aborted)],
        ..Transition::unchanged(snapshot)
    };
    match snapshot.new_key.as_ref().and_then(|kid| snapshot.key(kid)).filter(|key| signs_nothing_yet(key)) {
        Some(key) => aborted.with(key, KeyRecord::retired, AuditAction::Retired, snapshot.now),
        None => Ok(aborted),
    }
}

/// Activates the retiring key again, while Braze still has it.
fn roll_back(snapshot: &Snapshot) -> Result<Transition, CommandRefused> {
    let key = snapshot.in_state(KeyState::Retiring).pop();
    let key = key.ok_or_else(|| CommandRefused::NothingToRollBack(snapshot.ring.to_string()))?;
    let kid = key.record.kid.clone();
    // Braze may not answer at this moment, so that its last list counts.
    if snapshot.proven(&kid, true).is_none() {
        return Err(CommandRefused::NotHeld(kid));
    }
    let nodes = snapshot.nodes_without(&kid);
    if !nodes.is_empty() {
        return Err(CommandRefused::NotLoaded { kid, nodes });
    }
    let mut transition = Transition { goal: Goal::CleaningUp, ..switch_active(snapshot, key)? };
    transition.actions.push((Some(kid), AuditAction::RolledBack));
    Ok(transition)
}

/// Stops a key at once. Where it was active, a key that is ready is activated in the same transaction; without one, the
/// goal is to rotate to a new key.
fn compromise(snapshot: &Snapshot, kid: &Kid) -> Result<Transition, CommandRefused> {
    let key = find(snapshot, kid)?;
    if key.record.state == KeyState::Compromised {
        return Err(CommandRefused::CompromisedAlready(kid.clone()));
    }
    let stopped = (key.record.state, key.record.clone().compromised(snapshot.now));
    let goal = if snapshot.goal == Goal::Rotating { Goal::Rotating } else { Goal::CleaningUp };
    let new_key = snapshot.new_key.clone().filter(|new_key| new_key != kid);
    let mut transition = Transition {
        changes: vec![stopped],
        goal,
        new_key,
        actions: vec![(Some(kid.clone()), AuditAction::Compromised)],
    };
    if key.record.state == KeyState::Active {
        add_successor(snapshot, &mut transition)?;
    }
    Ok(transition)
}

/// Adds the activation of a key that is ready, or else the goal to rotate to a new key.
fn add_successor(snapshot: &Snapshot, transition: &mut Transition) -> Result<(), CommandRefused> {
    let Some(next) = snapshot.successor(true) else {
        transition.goal = Goal::Rotating;
        return Ok(());
    };
    transition.changes.push((next.record.state, next.record.clone().activated(snapshot.now)?));
    transition.actions.push((Some(next.record.kid.clone()), AuditAction::Activated));
    // Another key is active then, which ends a rotation in progress, too.
    (transition.goal, transition.new_key) = (Goal::CleaningUp, None);
    Ok(())
}

/// Sets the goal in which missing keys are published, and retired and compromised keys are deleted.
fn repair(snapshot: &Snapshot) -> Option<Transition> {
    let repaired = Transition {
        goal: Goal::CleaningUp,
        actions: vec![(None, AuditAction::Repairing)],
        ..Transition::unchanged(snapshot)
    };
    (snapshot.goal == Goal::Idle).then_some(repaired)
}

/// Activates a key; the key that was active becomes retiring.
fn switch_active(snapshot: &Snapshot, key: &KeySnapshot) -> Result<Transition, CommandRefused> {
    let mut transition = Transition::unchanged(snapshot);
    if let Some(active) = snapshot.active() {
        transition.changes.push((KeyState::Active, active.record.clone().superseded(snapshot.now)?));
    }
    transition.with(key, KeyRecord::activated, AuditAction::Activated, snapshot.now)
}

fn find<'a>(snapshot: &'a Snapshot, kid: &Kid) -> Result<&'a KeySnapshot, CommandRefused> {
    snapshot.key(kid).ok_or_else(|| CommandRefused::NoSuchKey(kid.clone()))
}

fn signs_nothing_yet(key: &KeySnapshot) -> bool {
    matches!(key.record.state, KeyState::Pending | KeyState::Published)
}
