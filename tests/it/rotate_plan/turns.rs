//! What a step or an operator's word changes on record, and what the trail keeps of it.

use countersign::domain::{ids::Kid, key::WrongState, rotation::Deed};

use super::*;

/// What the trail says, with `old` for the key that signed first and `new` for any other.
fn deeds(turn: &countersign::rotate::plan::Turn, old: &Kid) -> Vec<(Option<&'static str>, Deed)> {
    turn.deeds
        .iter()
        .map(|(kid, deed)| (kid.as_ref().map(|kid| if kid == old { "old" } else { "new" }), *deed))
        .collect()
}

#[test]
fn the_trail_tells_of_a_whole_rotation_and_each_step_leaves_the_goal_it_should() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let old = world.view().active().unwrap().record.kid.clone();
    let asked = world.view().ask().unwrap();
    assert_eq!((asked.goal, deeds(&asked, &old)), (Goal::Rotate, vec![(None, Deed::Begun)]));
    assert_eq!(world.view().turn(&Step::Begin), Ok(Some(asked.clone())), "the timer's word is the operator's");
    world.turn(asked);
    assert_eq!(world.view().ask(), None, "it is under way");
    let mut trail = Vec::new();
    for _ in 0..100 {
        let view = world.view();
        match view.next() {
            Next::Do { step, .. } => {
                if let Some(turn) = view.turn(&step).unwrap() {
                    trail.extend(deeds(&turn, &old));
                    let expected = match step {
                        Step::Activate { .. } | Step::Retire { .. } => (Goal::Finish, None),
                        Step::Finish => (Goal::Rest, None),
                        _ => (Goal::Rotate, view.made.clone()),
                    };
                    assert_eq!((turn.goal, turn.made), expected, "{step:?}");
                    assert!(!matches!(step, Step::Prove { .. }) || view.made.is_some());
                }
                world.work(false);
            }
            Next::Wait { until, .. } => world.pass(until.unwrap().since(world.now)),
            Next::Rest { .. } => break,
        }
    }
    let told = [(Some("new"), Deed::Published), (Some("new"), Deed::Activated), (Some("old"), Deed::Retired)];
    assert_eq!(trail, told);
    world.check_settled();
}

#[test]
fn a_key_that_is_not_there_or_in_another_state_is_refused() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let view = world.view();
    let (active, nobody) = (view.active().unwrap().record.kid.clone(), world::key(99, view.now).kid);
    let steps = |kid: &Kid| {
        [
            Step::Prove { kid: kid.clone() },
            Step::Retire { kid: kid.clone() },
            Step::Activate { kid: kid.clone(), retiring: None },
        ]
    };
    for step in steps(&nobody) {
        assert_eq!(view.turn(&step), Err(Refusal::NoSuchKey(nobody.clone())), "{step:?}");
    }
    assert_eq!(view.compromise(&nobody), Err(Refusal::NoSuchKey(nobody)));
    for step in steps(&active) {
        let Err(Refusal::State(why)) = view.turn(&step) else { panic!("{step:?}") };
        let wrong: WrongState = match &step {
            Step::Prove { .. } => view.active().unwrap().record.clone().published(view.now).unwrap_err(),
            Step::Retire { .. } => view.active().unwrap().record.clone().retired(view.now).unwrap_err(),
            _ => continue,
        };
        assert_eq!(why, wrong.to_string());
    }
}

#[test]
fn an_abort_is_told_with_the_key_that_was_made_and_refused_once_it_signs() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let old = world.view().active().unwrap().record.kid.clone();
    happen(&mut world, &Happening::Ask);
    let nothing_made = world.view().abort().unwrap();
    assert_eq!((nothing_made.goal, nothing_made.made.clone()), (Goal::Finish, None));
    assert_eq!(deeds(&nothing_made, &old), [(None, Deed::Aborted)]);
    steps(&mut world);
    let given_up = world.view().abort().unwrap();
    assert_eq!((given_up.goal, given_up.made.clone()), (Goal::Finish, None));
    assert_eq!(deeds(&given_up, &old), [(None, Deed::Aborted), (Some("new"), Deed::Retired)]);

    world.pass(SOAK);
    steps(&mut world);
    let new = world.view().active().unwrap().record.kid.clone();
    assert_ne!(new, old);
    assert_eq!(world.view().abort(), Err(Refusal::SignsAlready(new)));
    world.settle();
    assert!(matches!(world.view().abort(), Err(Refusal::NothingToAbort(ring)) if ring == "main"));
}

#[test]
fn a_rollback_is_told_and_needs_the_key_at_every_app_and_node() {
    let mut world = World::new(policy(), 2, 0, 1);
    steps(&mut world);
    let old = world.view().active().unwrap().record.kid.clone();
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    world.pass(SOAK);
    steps(&mut world);
    let back = world.view().roll_back().unwrap();
    assert_eq!(back.goal, Goal::Finish);
    assert_eq!(deeds(&back, &old), [(Some("old"), Deed::Activated), (Some("old"), Deed::RolledBack)]);
    let states: Vec<KeyState> = back.changes.iter().map(|(_, record)| record.state).collect();
    assert_eq!(states, [KeyState::Retiring, KeyState::Active]);

    // Braze is silent: what it showed before counts, now that haste is needed.
    world.silence(0, true);
    assert_eq!(world.view().roll_back(), Ok(back));
    world.silence(0, false);
    let mut view = world.view();
    view.nodes[0].loaded.clear();
    assert_eq!(view.roll_back(), Err(Refusal::NotLoaded { kid: old.clone(), nodes: vec!["node-0".to_owned()] }));
    world.rob(1, 0);
    assert_eq!(world.view().roll_back(), Err(Refusal::NotHeld(old)));
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
    assert!(world.made.is_some());
    let back = world.view().roll_back().unwrap();
    assert_eq!(back.goal, Goal::Finish);
    world.turn(back);
    world.settle();
    world.check_settled();
    assert_eq!(world.made, None, "nothing is left of it");
}

#[test]
fn a_compromise_of_any_other_key_leaves_the_one_that_signs_alone() {
    let mut world = World::new(Policy { standby: true, ..policy() }, 1, 0, 1);
    world.settle();
    let view = world.view();
    let signs = view.active().unwrap().record.kid.clone();
    let waits = view.keys.iter().find(|key| key.record.state == KeyState::Published).unwrap().record.kid.clone();
    let turn = view.compromise(&waits).unwrap();
    assert_eq!((turn.changes.len(), turn.goal), (1, Goal::Finish));
    assert_eq!(deeds(&turn, &signs), [(Some("new"), Deed::Compromised)]);
    world.turn(turn);
    assert_eq!(world.view().active().unwrap().record.kid, signs);
    world.settle();
    world.check_settled();
}

#[test]
fn a_compromise_of_the_key_that_signs_is_told_with_the_one_that_takes_over() {
    let mut world = World::new(Policy { standby: true, ..policy() }, 1, 0, 1);
    world.settle();
    let old = world.view().active().unwrap().record.kid.clone();
    let turn = world.view().compromise(&old).unwrap();
    assert_eq!((turn.goal, turn.made.clone()), (Goal::Finish, None));
    assert_eq!(deeds(&turn, &old), [(Some("old"), Deed::Compromised), (Some("new"), Deed::Activated)]);
    // Without one that stands by, the next is brought.
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let old = world.view().active().unwrap().record.kid.clone();
    let turn = world.view().compromise(&old).unwrap();
    assert_eq!((turn.goal, turn.changes.len()), (Goal::Rotate, 1));
}

#[test]
fn a_compromise_during_a_rotation_goes_on_with_it_without_the_key_that_is_bad() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    let made = world.made.clone().unwrap();
    let turn = world.view().compromise(&made).unwrap();
    assert_eq!((turn.goal, turn.made.clone()), (Goal::Rotate, None), "another is made");
    world.turn(turn);
    world.settle();
    world.check_settled();
    assert_ne!(world.view().active().unwrap().record.kid, made);
}

#[test]
fn a_key_takes_over_at_once_only_where_every_app_holds_it_and_every_node_has_loaded_it() {
    let mut world = World::new(Policy { standby: true, ..policy() }, 2, 0, 2);
    world.settle();
    let bad = world.view().active().unwrap().record.kid.clone();
    let takes_over = |view: &countersign::rotate::plan::View| {
        let turn = view.compromise(&bad).unwrap();
        assert_eq!(turn.goal, if turn.changes.len() == 2 { Goal::Finish } else { Goal::Rotate });
        turn.changes.len() == 2
    };
    assert!(takes_over(&world.view()));
    let mut view = world.view();
    view.nodes[1].loaded.clear();
    assert!(!takes_over(&view), "a node could not sign with it");
    world.silence(1, true);
    assert!(takes_over(&world.view()), "what Braze showed before it fell silent counts");
    world.silence(1, false);
    world.rob(1, 0);
    assert!(!takes_over(&world.view()), "an app would reject its tokens");
}
