//! What a step or an operator's word changes on record, and what the audit log keeps of it.

use countersign::domain::{ids::Kid, key::WrongState, rotation::AuditAction};

use super::*;

/// What the audit log says, with `old` for the key that signed first and `new` for any other.
fn actions(transition: &countersign::rotate::plan::Transition, old: &Kid) -> Vec<(Option<&'static str>, AuditAction)> {
    transition
        .actions
        .iter()
        .map(|(kid, action)| (kid.as_ref().map(|kid| if kid == old { "old" } else { "new" }), *action))
        .collect()
}

#[test]
fn the_audit_log_tells_of_a_whole_rotation_and_each_step_leaves_the_goal_it_should() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let old = world.snapshot().active().unwrap().record.kid.clone();
    let asked = world.snapshot().ask().unwrap();
    assert_eq!((asked.goal, actions(&asked, &old)), (Goal::Rotating, vec![(None, AuditAction::Begun)]));
    assert_eq!(
        world.snapshot().transition(&Step::Begin),
        Ok(Some(asked.clone())),
        "the timer's word is the operator's"
    );
    world.transition(asked);
    assert_eq!(world.snapshot().ask(), None, "it is under way");
    let mut audit_log = Vec::new();
    for _ in 0..100 {
        let snapshot = world.snapshot();
        match snapshot.next() {
            Next::Do { step, .. } => {
                if let Some(transition) = snapshot.transition(&step).unwrap() {
                    audit_log.extend(actions(&transition, &old));
                    let expected = match step {
                        Step::Activate { .. } | Step::Retire { .. } => (Goal::CleaningUp, None),
                        Step::Finish => (Goal::Idle, None),
                        _ => (Goal::Rotating, snapshot.new_key.clone()),
                    };
                    assert_eq!((transition.goal, transition.new_key), expected, "{step:?}");
                    assert!(!matches!(step, Step::Prove { .. }) || snapshot.new_key.is_some());
                }
                world.work(false);
            }
            Next::Wait { until, .. } => world.pass(until.unwrap().since(world.now)),
            Next::Idle { .. } => break,
        }
    }
    let told = [
        (Some("new"), AuditAction::Published),
        (Some("new"), AuditAction::Activated),
        (Some("old"), AuditAction::Retired),
    ];
    assert_eq!(audit_log, told);
    world.check_settled();
}

#[test]
fn a_key_that_is_not_there_or_in_another_state_is_refused() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let snapshot = world.snapshot();
    let (active, nobody) = (snapshot.active().unwrap().record.kid.clone(), world::key(99, snapshot.now).kid);
    let steps = |kid: &Kid| {
        [
            Step::Prove { kid: kid.clone() },
            Step::Retire { kid: kid.clone() },
            Step::Activate { kid: kid.clone(), retiring: None },
        ]
    };
    for step in steps(&nobody) {
        assert_eq!(snapshot.transition(&step), Err(Refusal::NoSuchKey(nobody.clone())), "{step:?}");
    }
    assert_eq!(snapshot.compromise(&nobody), Err(Refusal::NoSuchKey(nobody)));
    for step in steps(&active) {
        let Err(Refusal::State(why)) = snapshot.transition(&step) else { panic!("{step:?}") };
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
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let old = world.snapshot().active().unwrap().record.kid.clone();
    happen(&mut world, &Happening::Ask);
    let nothing_made = world.snapshot().abort().unwrap();
    assert_eq!((nothing_made.goal, nothing_made.new_key.clone()), (Goal::CleaningUp, None));
    assert_eq!(actions(&nothing_made, &old), [(None, AuditAction::Aborted)]);
    steps(&mut world);
    let given_up = world.snapshot().abort().unwrap();
    assert_eq!((given_up.goal, given_up.new_key.clone()), (Goal::CleaningUp, None));
    assert_eq!(actions(&given_up, &old), [(None, AuditAction::Aborted), (Some("new"), AuditAction::Retired)]);

    world.pass(SOAK);
    steps(&mut world);
    let new = world.snapshot().active().unwrap().record.kid.clone();
    assert_ne!(new, old);
    assert_eq!(world.snapshot().abort(), Err(Refusal::SignsAlready(new)));
    world.settle();
    assert!(matches!(world.snapshot().abort(), Err(Refusal::NothingToAbort(ring)) if ring == "main"));
}

#[test]
fn a_rollback_is_told_and_needs_the_key_at_every_app_and_node() {
    let mut world = World::new(policy(), 2, 0, 1);
    steps(&mut world);
    let old = world.snapshot().active().unwrap().record.kid.clone();
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    world.pass(SOAK);
    steps(&mut world);
    let back = world.snapshot().roll_back().unwrap();
    assert_eq!(back.goal, Goal::CleaningUp);
    assert_eq!(actions(&back, &old), [(Some("old"), AuditAction::Activated), (Some("old"), AuditAction::RolledBack)]);
    let states: Vec<KeyState> = back.changes.iter().map(|(_, record)| record.state).collect();
    assert_eq!(states, [KeyState::Retiring, KeyState::Active]);

    // Braze is silent: what it showed before counts, now that haste is needed.
    world.silence(0, true);
    assert_eq!(world.snapshot().roll_back(), Ok(back));
    world.silence(0, false);
    let mut snapshot = world.snapshot();
    snapshot.nodes[0].loaded.clear();
    assert_eq!(snapshot.roll_back(), Err(Refusal::NotLoaded { kid: old.clone(), nodes: vec!["node-0".to_owned()] }));
    world.rob(1, 0);
    assert_eq!(world.snapshot().roll_back(), Err(Refusal::NotHeld(old)));
}

#[test]
fn a_rollback_during_the_next_rotation_ends_that_too() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    world.pass(SOAK);
    steps(&mut world);
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    assert!(world.new_key.is_some());
    let back = world.snapshot().roll_back().unwrap();
    assert_eq!(back.goal, Goal::CleaningUp);
    world.transition(back);
    world.settle();
    world.check_settled();
    assert_eq!(world.new_key, None, "nothing is left of it");
}

#[test]
fn a_compromise_of_any_other_key_leaves_the_one_that_signs_alone() {
    let mut world = World::new(Policy { standby: true, ..policy() }, 1, 0, 1);
    world.settle();
    let snapshot = world.snapshot();
    let signs = snapshot.active().unwrap().record.kid.clone();
    let waits = snapshot.keys.iter().find(|key| key.record.state == KeyState::Published).unwrap().record.kid.clone();
    let transition = snapshot.compromise(&waits).unwrap();
    assert_eq!((transition.changes.len(), transition.goal), (1, Goal::CleaningUp));
    assert_eq!(actions(&transition, &signs), [(Some("new"), AuditAction::Compromised)]);
    world.transition(transition);
    assert_eq!(world.snapshot().active().unwrap().record.kid, signs);
    world.settle();
    world.check_settled();
}

#[test]
fn a_compromise_of_the_key_that_signs_is_told_with_the_one_that_takes_over() {
    let mut world = World::new(Policy { standby: true, ..policy() }, 1, 0, 1);
    world.settle();
    let old = world.snapshot().active().unwrap().record.kid.clone();
    let transition = world.snapshot().compromise(&old).unwrap();
    assert_eq!((transition.goal, transition.new_key.clone()), (Goal::CleaningUp, None));
    assert_eq!(
        actions(&transition, &old),
        [(Some("old"), AuditAction::Compromised), (Some("new"), AuditAction::Activated)]
    );
    // Without one that stands by, the next is brought.
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let old = world.snapshot().active().unwrap().record.kid.clone();
    let transition = world.snapshot().compromise(&old).unwrap();
    assert_eq!((transition.goal, transition.changes.len()), (Goal::Rotating, 1));
}

#[test]
fn a_compromise_during_a_rotation_goes_on_with_it_without_the_key_that_is_bad() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    let new_key = world.new_key.clone().unwrap();
    let transition = world.snapshot().compromise(&new_key).unwrap();
    assert_eq!((transition.goal, transition.new_key.clone()), (Goal::Rotating, None), "another is made");
    world.transition(transition);
    world.settle();
    world.check_settled();
    assert_ne!(world.snapshot().active().unwrap().record.kid, new_key);
}

#[test]
fn a_key_takes_over_at_once_only_where_every_app_holds_it_and_every_node_has_loaded_it() {
    let mut world = World::new(Policy { standby: true, ..policy() }, 2, 0, 2);
    world.settle();
    let bad = world.snapshot().active().unwrap().record.kid.clone();
    let takes_over = |snapshot: &countersign::rotate::plan::Snapshot| {
        let transition = snapshot.compromise(&bad).unwrap();
        assert_eq!(transition.goal, if transition.changes.len() == 2 { Goal::CleaningUp } else { Goal::Rotating });
        transition.changes.len() == 2
    };
    assert!(takes_over(&world.snapshot()));
    let mut snapshot = world.snapshot();
    snapshot.nodes[1].loaded.clear();
    assert!(!takes_over(&snapshot), "a node could not sign with it");
    world.silence(1, true);
    assert!(takes_over(&world.snapshot()), "what Braze showed before it fell silent counts");
    world.silence(1, false);
    world.rob(1, 0);
    assert!(!takes_over(&world.snapshot()), "an app would reject its tokens");
}
