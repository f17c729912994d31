//! Changes of records by steps and operators' commands, and their events in the audit log.

use countersign::domain::{audit::AuditAction, key::WrongState};

use super::*;

/// Events of the audit log, with `old` for the key that signed first and `new` for any other.
fn actions(transition: &Transition, old: &Kid) -> Vec<(Option<&'static str>, AuditAction)> {
    transition
        .actions
        .iter()
        .map(|(kid, action)| (kid.as_ref().map(|kid| if kid == old { "old" } else { "new" }), *action))
        .collect()
}

#[test]
fn the_audit_log_tells_of_a_whole_rotation_and_each_step_leaves_the_goal_it_should() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    let old = simulation.snapshot().active().unwrap().record.kid.clone();
    let asked = begin(&simulation.snapshot()).unwrap();
    assert_eq!((asked.goal, actions(&asked, &old)), (Goal::Rotating, vec![(None, AuditAction::Begun)]));
    assert_eq!(
        transition(&simulation.snapshot(), &Step::Begin),
        Ok(Some(asked.clone())),
        "a policy's begin is the operator's"
    );
    simulation.transition(asked);
    assert_eq!(begin(&simulation.snapshot()), None, "it is under way");
    let mut audit_log = Vec::new();
    for _ in 0..100 {
        let snapshot = simulation.snapshot();
        match next(&snapshot) {
            Next::Do { step, .. } => {
                if let Some(transition) = transition(&snapshot, &step).unwrap() {
                    audit_log.extend(actions(&transition, &old));
                    let expected = match step {
                        Step::Activate { .. } | Step::Retire { .. } => (Goal::CleaningUp, None),
                        Step::Finish => (Goal::Idle, None),
                        _ => (Goal::Rotating, snapshot.new_key.clone()),
                    };
                    assert_eq!((transition.goal, transition.new_key), expected, "{step:?}");
                    assert!(!matches!(step, Step::Prove { .. }) || snapshot.new_key.is_some());
                }
                simulation.work(false);
            }
            Next::Wait { until, .. } => simulation.pass(until.unwrap().since(simulation.now)),
            Next::Idle { .. } => break,
        }
    }
    let told = [
        (Some("new"), AuditAction::Published),
        (Some("new"), AuditAction::Activated),
        (Some("old"), AuditAction::Retired),
    ];
    assert_eq!(audit_log, told);
    simulation.check_settled();
}

#[test]
fn a_key_that_is_not_there_or_in_another_state_is_refused() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    let snapshot = simulation.snapshot();
    let (active, nobody) = (snapshot.active().unwrap().record.kid.clone(), simulation::key(99, snapshot.now).kid);
    let steps = |kid: &Kid| {
        [
            Step::Prove { kid: kid.clone() },
            Step::Retire { kid: kid.clone() },
            Step::Activate { kid: kid.clone(), retiring: None },
        ]
    };
    for step in steps(&nobody) {
        assert_eq!(transition(&snapshot, &step), Err(CommandRefused::NoSuchKey(nobody.clone())), "{step:?}");
    }
    assert_eq!(compromise(&snapshot, &nobody), Err(CommandRefused::NoSuchKey(nobody)));
    for step in steps(&active) {
        let Err(CommandRefused::State(why)) = transition(&snapshot, &step) else { panic!("{step:?}") };
        let wrong: WrongState = match &step {
            Step::Prove { .. } => snapshot.active().unwrap().record.clone().published(snapshot.now).unwrap_err(),
            Step::Retire { .. } => snapshot.active().unwrap().record.clone().retired(snapshot.now).unwrap_err(),
            _ => continue,
        };
        assert_eq!(why, wrong.to_string());
    }
}

#[test]
fn an_abort_is_told_with_the_key_that_was_made_and_refused_once_it_signs() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    let old = simulation.snapshot().active().unwrap().record.kid.clone();
    happen(&mut simulation, &Happening::Begin);
    let nothing_made = abort(&simulation.snapshot()).unwrap();
    assert_eq!((nothing_made.goal, nothing_made.new_key.clone()), (Goal::CleaningUp, None));
    assert_eq!(actions(&nothing_made, &old), [(None, AuditAction::Aborted)]);
    steps(&mut simulation);
    let given_up = abort(&simulation.snapshot()).unwrap();
    assert_eq!((given_up.goal, given_up.new_key.clone()), (Goal::CleaningUp, None));
    assert_eq!(actions(&given_up, &old), [(None, AuditAction::Aborted), (Some("new"), AuditAction::Retired)]);

    simulation.pass(SOAK);
    steps(&mut simulation);
    let new = simulation.snapshot().active().unwrap().record.kid.clone();
    assert_ne!(new, old);
    assert_eq!(abort(&simulation.snapshot()), Err(CommandRefused::SignsAlready { ring: "main".to_owned(), kid: new }));
    simulation.settle();
    assert!(matches!(abort(&simulation.snapshot()), Err(CommandRefused::NothingToAbort(ring)) if ring == "main"));
}

#[test]
fn a_rollback_is_told_and_needs_the_key_at_every_app_and_node() {
    let mut simulation = Simulation::new(policy(), 2, 0, 1);
    steps(&mut simulation);
    let old = simulation.snapshot().active().unwrap().record.kid.clone();
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    simulation.pass(SOAK);
    steps(&mut simulation);
    let back = roll_back(&simulation.snapshot()).unwrap();
    assert_eq!(back.goal, Goal::CleaningUp);
    assert_eq!(actions(&back, &old), [(Some("old"), AuditAction::Activated), (Some("old"), AuditAction::RolledBack)]);
    let states: Vec<KeyState> = back.changes.iter().map(|(_, record)| record.state).collect();
    assert_eq!(states, [KeyState::Retiring, KeyState::Active]);

    // Braze is silent: what it showed before counts, now that haste is needed.
    simulation.silence(0, true);
    assert_eq!(roll_back(&simulation.snapshot()), Ok(back));
    simulation.silence(0, false);
    let mut snapshot = simulation.snapshot();
    snapshot.nodes[0].loaded.clear();
    assert_eq!(
        roll_back(&snapshot),
        Err(CommandRefused::NotLoaded { kid: old.clone(), nodes: vec!["node-0".to_owned()] })
    );
    simulation.rob(1, 0);
    assert_eq!(roll_back(&simulation.snapshot()), Err(CommandRefused::NotHeld(old)));
}

#[test]
fn a_rollback_during_the_next_rotation_ends_that_too() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    simulation.pass(SOAK);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    assert!(simulation.new_key.is_some());
    let back = roll_back(&simulation.snapshot()).unwrap();
    assert_eq!(back.goal, Goal::CleaningUp);
    simulation.transition(back);
    simulation.settle();
    simulation.check_settled();
    assert_eq!(simulation.new_key, None, "nothing is left of it");
}

#[test]
fn a_compromise_of_any_other_key_leaves_the_one_that_signs_alone() {
    let mut simulation = Simulation::new(Config { standby: true, ..policy() }, 1, 0, 1);
    simulation.settle();
    let snapshot = simulation.snapshot();
    let signs = snapshot.active().unwrap().record.kid.clone();
    let waits = snapshot.keys.iter().find(|key| key.record.state == KeyState::Published).unwrap().record.kid.clone();
    let transition = compromise(&snapshot, &waits).unwrap();
    assert_eq!((transition.changes.len(), transition.goal), (1, Goal::CleaningUp));
    assert_eq!(actions(&transition, &signs), [(Some("new"), AuditAction::Compromised)]);
    simulation.transition(transition);
    assert_eq!(simulation.snapshot().active().unwrap().record.kid, signs);
    simulation.settle();
    simulation.check_settled();
}

#[test]
fn a_compromise_of_the_key_that_signs_is_told_with_the_one_that_takes_over() {
    let mut simulation = Simulation::new(Config { standby: true, ..policy() }, 1, 0, 1);
    simulation.settle();
    let old = simulation.snapshot().active().unwrap().record.kid.clone();
    let transition = compromise(&simulation.snapshot(), &old).unwrap();
    assert_eq!((transition.goal, transition.new_key.clone()), (Goal::CleaningUp, None));
    assert_eq!(
        actions(&transition, &old),
        [(Some("old"), AuditAction::Compromised), (Some("new"), AuditAction::Activated)]
    );
    // Without one that stands by, the next is brought.
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    let old = simulation.snapshot().active().unwrap().record.kid.clone();
    let transition = compromise(&simulation.snapshot(), &old).unwrap();
    assert_eq!((transition.goal, transition.changes.len()), (Goal::Rotating, 1));
}

#[test]
fn a_compromise_during_a_rotation_goes_on_with_it_without_the_key_that_is_bad() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    let new_key = simulation.new_key.clone().unwrap();
    let transition = compromise(&simulation.snapshot(), &new_key).unwrap();
    assert_eq!((transition.goal, transition.new_key.clone()), (Goal::Rotating, None), "another is made");
    simulation.transition(transition);
    simulation.settle();
    simulation.check_settled();
    assert_ne!(simulation.snapshot().active().unwrap().record.kid, new_key);
}

#[test]
fn a_key_takes_over_at_once_only_where_every_app_holds_it_and_every_node_has_loaded_it() {
    let mut simulation = Simulation::new(Config { standby: true, ..policy() }, 2, 0, 2);
    simulation.settle();
    let bad = simulation.snapshot().active().unwrap().record.kid.clone();
    let takes_over = |snapshot: &Snapshot| {
        let transition = compromise(snapshot, &bad).unwrap();
        assert_eq!(transition.goal, if transition.changes.len() == 2 { Goal::CleaningUp } else { Goal::Rotating });
        transition.changes.len() == 2
    };
    assert!(takes_over(&simulation.snapshot()));
    let mut snapshot = simulation.snapshot();
    snapshot.nodes[1].loaded.clear();
    assert!(!takes_over(&snapshot), "a node could not sign with it");
    simulation.silence(1, true);
    assert!(takes_over(&simulation.snapshot()), "what Braze showed before it fell silent counts");
    simulation.silence(1, false);
    simulation.rob(1, 0);
    assert!(!takes_over(&simulation.snapshot()), "an app would reject its tokens");
}
