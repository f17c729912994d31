//! Blockers, and the exact time at which each ends.

use countersign::rotate::plan::{Blocker, Listing};

use super::*;
use crate::support::domain::{MILLI, just_before};

/// Returns the blockers; panics where there is a step to do.
fn waits(simulation: &Simulation) -> Vec<Blocker> {
    match next(&simulation.snapshot()) {
        Next::Wait { blockers, .. } => blockers,
        other => panic!("{other:?}"),
    }
}

/// A ring that has just taken another key to sign.
fn rotated(rest: usize) -> Simulation {
    let mut simulation = Simulation::new(policy(), rest, 0, 1);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    simulation.pass(SOAK);
    assert_eq!(steps(&mut simulation)[0], "activate");
    simulation
}

#[test]
fn the_next_rotation_is_due_by_the_policy_from_when_the_key_began_to_sign() {
    let mut simulation = Simulation::new(Config { every: Some(HOUR), ..policy() }, 1, 0, 1);
    steps(&mut simulation);
    let until = simulation.snapshot().active().unwrap().record.changed.plus(HOUR);
    assert_eq!(next(&simulation.snapshot()), Next::Idle { due: Some(until) });
    let rest = until.since(simulation.now);
    simulation.pass(just_before(rest));
    assert_eq!(steps(&mut simulation), [""; 0]);
    simulation.pass(MILLI);
    assert_eq!(steps(&mut simulation)[0], "begin");
    let by_hand_only = Simulation::new(policy(), 1, 0, 1).snapshot();
    assert_eq!(due(&by_hand_only), None);
}

#[test]
fn a_request_that_was_lost_is_made_again_when_it_can_no_longer_show() {
    for last_place in [false, true] {
        let mut simulation = Simulation::new(policy(), 1, 0, 1);
        if last_place {
            simulation.intrude(0);
        }
        steps(&mut simulation);
        happen(&mut simulation, &Happening::Begin);
        simulation.faults.push(Fault::Before);
        assert_eq!(steps(&mut simulation), ["generate", "publish"]);
        let until = simulation.now.plus(SOAK);
        simulation.pass(just_before(SOAK));
        let [Blocker::Settling { until: told, .. }] = &waits(&simulation)[..] else {
            panic!("{:?}", waits(&simulation))
        };
        assert_eq!(*told, until);
        simulation.pass(MILLI);
        assert_eq!(steps(&mut simulation), ["publish", "note", "prove"]);
    }
}

#[test]
fn a_key_stays_until_braze_was_shown_to_hold_the_one_after_it() {
    let mut simulation = rotated(1);
    simulation.silence(0, true);
    simulation.pass(2 * HOUR);
    assert!(
        matches!(&waits(&simulation)[..], [Blocker::Silent { why, .. }] if why == "down"),
        "{:?}",
        waits(&simulation)
    );

    // Somebody deleted the key that signs, and at rest it is not published again without a command.
    simulation.silence(0, false);
    let mut snapshot = simulation.snapshot();
    let signs = snapshot.active().unwrap().record.kid.clone();
    snapshot.goal = Goal::Idle;
    let Listing::Shown(entries) = &mut snapshot.apps[0].listing else { panic!() };
    entries.retain(|entry| entry.kid.as_ref() != Some(&signs));
    snapshot.apps[0].publications.remove(&signs);
    let Next::Wait { blockers, until: None } = next(&snapshot) else { panic!("{:?}", next(&snapshot)) };
    assert_eq!(blockers, [Blocker::Missing { app: snapshot.apps[0].app.clone(), kid: signs }]);

    assert_eq!(steps(&mut simulation)[0], "retire");
}

/// A ring whose rotation was given up just after its key was asked for at Braze.
fn given_up(simulation: &mut Simulation) {
    steps(simulation);
    happen(simulation, &Happening::Begin);
    assert_eq!(steps(simulation), ["generate", "publish"]);
    happen(simulation, &Happening::Abort);
}

#[test]
fn a_key_that_has_to_go_is_waited_for_as_long_as_it_may_yet_appear() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    simulation.faults.push(Fault::Before);
    given_up(&mut simulation);
    let until = simulation.now.plus(SOAK);
    assert_eq!(steps(&mut simulation), ["destroy"]);
    simulation.pass(just_before(SOAK));
    let [Blocker::Settling { until: told, .. }] = &waits(&simulation)[..] else { panic!("{:?}", waits(&simulation)) };
    assert_eq!(*told, until);
    simulation.pass(MILLI);
    assert_eq!(steps(&mut simulation), ["finish"]);

    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    simulation.lag = Duration::from_mins(1);
    simulation.pass(simulation.lag);
    given_up(&mut simulation);
    assert_eq!(steps(&mut simulation), ["destroy"]);
    simulation.pass(simulation.lag);
    assert_eq!(steps(&mut simulation), ["note", "withdraw", "note", "finish"], "it did appear");
    simulation.check_settled();
}

#[test]
fn a_rotation_does_not_end_while_an_app_that_is_silent_holds_a_key_that_has_to_go() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    assert_eq!(steps(&mut simulation)[2], "note");
    happen(&mut simulation, &Happening::Abort);
    simulation.silence(0, true);
    assert_eq!(steps(&mut simulation), ["destroy"]);
    simulation.pass(2 * HOUR);
    assert!(matches!(&waits(&simulation)[..], [Blocker::Silent { .. }]), "{:?}", waits(&simulation));
    simulation.silence(0, false);
    assert_eq!(steps(&mut simulation), ["withdraw", "note", "finish"]);
    simulation.check_settled();
}
