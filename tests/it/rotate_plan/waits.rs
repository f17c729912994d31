//! What is waited for, and to which moment exactly.

use countersign::rotate::plan::{Blocker, Listing};

use super::*;
use crate::support::domain::{MILLI, just_before};

/// What is in the way now, where nothing can be done.
fn waits(world: &World) -> Vec<Blocker> {
    match world.snapshot().next() {
        Next::Wait { blockers, .. } => blockers,
        other => panic!("{other:?}"),
    }
}

/// A ring that has just taken another key to sign.
fn rotated(rest: usize) -> World {
    let mut world = World::new(policy(), rest, 0, 1);
    steps(&mut world);
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    world.pass(SOAK);
    assert_eq!(steps(&mut world)[0], "activate");
    world
}

#[test]
fn the_next_rotation_is_due_by_the_policy_from_when_the_key_began_to_sign() {
    let mut world = World::new(Policy { every: Some(HOUR), ..policy() }, 1, 0, 1);
    steps(&mut world);
    let due = world.snapshot().active().unwrap().record.changed.plus(HOUR);
    assert_eq!(world.snapshot().next(), Next::Idle { due: Some(due) });
    let rest = due.since(world.now);
    world.pass(just_before(rest));
    assert_eq!(steps(&mut world), [""; 0]);
    world.pass(MILLI);
    assert_eq!(steps(&mut world)[0], "begin");
    let by_hand_only = World::new(policy(), 1, 0, 1).snapshot();
    assert_eq!(by_hand_only.due(), None);
}

#[test]
fn a_request_that_was_lost_is_made_again_when_it_can_no_longer_show() {
    for last_place in [false, true] {
        let mut world = World::new(policy(), 1, 0, 1);
        if last_place {
            world.intrude(0);
        }
        steps(&mut world);
        happen(&mut world, &Happening::Ask);
        world.faults.push(Fault::Before);
        assert_eq!(steps(&mut world), ["generate", "publish"]);
        let until = world.now.plus(SOAK);
        world.pass(just_before(SOAK));
        let [Blocker::Settling { until: told, .. }] = &waits(&world)[..] else { panic!("{:?}", waits(&world)) };
        assert_eq!(*told, until);
        world.pass(MILLI);
        assert_eq!(steps(&mut world), ["publish", "note", "prove"]);
    }
}

#[test]
fn a_key_stays_until_braze_was_shown_to_hold_the_one_after_it() {
    let mut world = rotated(1);
    world.silence(0, true);
    world.pass(2 * HOUR);
    assert!(matches!(&waits(&world)[..], [Blocker::Silent { why, .. }] if why == "down"), "{:?}", waits(&world));

    // Somebody deleted the key that signs, and at rest it is not published again without a command.
    world.silence(0, false);
    let mut snapshot = world.snapshot();
    let signs = snapshot.active().unwrap().record.kid.clone();
    snapshot.goal = Goal::Idle;
    let Listing::Shown(entries) = &mut snapshot.apps[0].listing else { panic!() };
    entries.retain(|entry| entry.kid.as_ref() != Some(&signs));
    snapshot.apps[0].publications.remove(&signs);
    let Next::Wait { blockers, until: None } = snapshot.next() else { panic!("{:?}", snapshot.next()) };
    assert_eq!(blockers, [Blocker::Missing { app: snapshot.apps[0].app.clone(), kid: signs }]);

    assert_eq!(steps(&mut world)[0], "retire");
}

/// A ring whose rotation was given up just after its key was asked for at Braze.
fn given_up(world: &mut World) {
    steps(world);
    happen(world, &Happening::Ask);
    assert_eq!(steps(world), ["generate", "publish"]);
    happen(world, &Happening::Abort);
}

#[test]
fn a_key_that_has_to_go_is_waited_for_as_long_as_it_may_yet_appear() {
    let mut world = World::new(policy(), 1, 0, 1);
    world.faults.push(Fault::Before);
    given_up(&mut world);
    let until = world.now.plus(SOAK);
    assert_eq!(steps(&mut world), ["destroy"]);
    world.pass(just_before(SOAK));
    let [Blocker::Settling { until: told, .. }] = &waits(&world)[..] else { panic!("{:?}", waits(&world)) };
    assert_eq!(*told, until);
    world.pass(MILLI);
    assert_eq!(steps(&mut world), ["finish"]);

    let mut world = World::new(policy(), 1, 0, 1);
    world.lag = Duration::from_mins(1);
    world.pass(world.lag);
    given_up(&mut world);
    assert_eq!(steps(&mut world), ["destroy"]);
    world.pass(world.lag);
    assert_eq!(steps(&mut world), ["note", "withdraw", "note", "finish"], "it did appear");
    world.check_settled();
}

#[test]
fn a_rotation_does_not_end_while_an_app_that_is_silent_holds_a_key_that_has_to_go() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    happen(&mut world, &Happening::Ask);
    assert_eq!(steps(&mut world)[2], "note");
    happen(&mut world, &Happening::Abort);
    world.silence(0, true);
    assert_eq!(steps(&mut world), ["destroy"]);
    world.pass(2 * HOUR);
    assert!(matches!(&waits(&world)[..], [Blocker::Silent { .. }]), "{:?}", waits(&world));
    world.silence(0, false);
    assert_eq!(steps(&mut world), ["withdraw", "note", "finish"]);
    world.check_settled();
}
