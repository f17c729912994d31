//! The plan of a rotation: its rules hold in a world of faults, whatever happens, and it always comes to an end.

mod told;
mod turns;
mod waits;
mod world;

use std::time::Duration;

use countersign::{
    domain::{key::KeyState, rotation::Goal},
    rotate::plan::{Next, Policy, Refusal, Step},
};
use proptest::prelude::*;

use world::{Fault, World};

const HOUR: Duration = Duration::from_hours(1);
const SOAK: Duration = Duration::from_mins(5);

/// More steps than can be done at once.
const MANY: usize = 50;

fn policy() -> Policy {
    Policy { every: None, soak: SOAK, margin: Duration::from_mins(1), longest_life: HOUR, standby: false }
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    Work { dies: bool },
    Pass(Duration),
    Operate,
    Ask,
    Abort,
    RollBack,
    Compromise(usize),
    Fault(Fault),
    Silence(usize, bool),
    Intrude(usize),
    Rob(usize, usize),
    ToggleNode(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let fault = prop_oneof![Just(Fault::Before), Just(Fault::After)];
    prop_oneof![
        12 => any::<bool>().prop_map(|dies| Happening::Work { dies }),
        8 => (0..7200_u64).prop_map(|seconds| Happening::Pass(Duration::from_secs(seconds))),
        4 => Just(Happening::Operate),
        2 => Just(Happening::Ask),
        1 => Just(Happening::Abort),
        1 => Just(Happening::RollBack),
        1 => any::<usize>().prop_map(Happening::Compromise),
        2 => fault.prop_map(Happening::Fault),
        2 => (0..4_usize, any::<bool>()).prop_map(|(app, silent)| Happening::Silence(app, silent)),
        1 => (0..4_usize).prop_map(Happening::Intrude),
        1 => (0..4_usize, any::<usize>()).prop_map(|(app, which)| Happening::Rob(app, which)),
        2 => (0..3_usize).prop_map(Happening::ToggleNode),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (proptest::option::of(1..200_u64), 60..900_u64, 60..3600_u64, 60..86_400_u64, any::<bool>()).prop_map(
        |(days, soak, margin, life, standby)| Policy {
            every: days.map(|days| Duration::from_hours(24 * days)),
            soak: Duration::from_secs(soak),
            margin: Duration::from_secs(margin),
            longest_life: Duration::from_secs(life),
            standby,
        },
    )
}

fn happen(world: &mut World, happening: &Happening) {
    if let Next::Do { step: Step::Note { .. }, .. } = world.snapshot().next() {
        // An operator's word is taken after an observation.
        world.work(false);
    }
    let snapshot = world.snapshot();
    let transition = match happening {
        Happening::Ask => Ok(snapshot.ask()),
        Happening::Abort => snapshot.abort().map(Some),
        Happening::RollBack => snapshot.roll_back().map(Some),
        Happening::Compromise(which) => {
            let kid = snapshot.keys[which % snapshot.keys.len()].record.kid.clone();
            snapshot.compromise(&kid).map(Some)
        }
        _ => Ok(None),
    };
    match happening {
        Happening::Work { dies } => drop(world.work(*dies)),
        Happening::Pass(span) => world.pass(*span),
        Happening::Operate => {
            if let Next::Wait { blockers, .. } = snapshot.next() {
                world.operate(&blockers);
            }
        }
        Happening::Fault(fault) => world.faults.push(*fault),
        Happening::Silence(app, silent) => world.silence(*app, *silent),
        Happening::Intrude(app) => world.intrude(*app),
        Happening::Rob(app, which) => world.rob(*app, *which),
        Happening::ToggleNode(node) => world.toggle_node(*node),
        _ => {}
    }
    if let Ok(Some(transition)) = transition {
        world.transition(transition);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The rules are asserted by the world itself, at every step.
    #[test]
    fn whatever_happens_the_rules_hold_and_it_comes_to_an_end(
        policy in any_policy(),
        apps in prop_oneof![(1..3_usize, 0..2_usize), (Just(0), 1..3_usize)],
        nodes in 0..3_usize,
        lag in 0..2_u64,
        happenings in proptest::collection::vec(happening(), 0..80),
    ) {
        let mut world = World::new(policy, apps.0, apps.1, nodes);
        world.lag = Duration::from_secs(lag);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        world.heal();
        if world.snapshot().active().is_none() {
            // Without `every` nobody but an operator begins.
            happen(&mut world, &Happening::Ask);
        }
        world.settle();
        world.check_settled();
    }

    /// The forecast names what then happens.
    #[test]
    fn a_forecast_comes_true(policy in any_policy(), rest in 1..3_usize, nodes in 0..3_usize) {
        let mut world = World::new(policy, rest, 0, nodes);
        world.settle();
        happen(&mut world, &Happening::Ask);
        let forecast = world.snapshot().forecast();
        prop_assert!(forecast.stuck.is_empty());
        let mut foretold = forecast.lines.iter().filter(|line| !line.waits);
        for _ in 0..200 {
            match world.work(false) {
                Next::Do { step, reason } => {
                    // What Braze calls its keys, and who they are, cannot be foretold.
                    let line = foretold.next().unwrap();
                    let kind = |text: &str| text.split(' ').take(2).collect::<Vec<_>>().join(" ");
                    prop_assert_eq!(kind(&step.to_string()), kind(&line.what));
                    prop_assert_eq!(&reason, &line.why);
                    if step == Step::Finish {
                        break;
                    }
                }
                Next::Wait { until, .. } => {
                    let wait = until.map_or(Duration::from_secs(2), |until| until.since(world.now));
                    world.pass(wait.min(Duration::from_secs(2)));
                    if let Some(until) = until {
                        let rest = until.since(world.now);
                        world.pass(rest);
                    }
                }
                Next::Idle { .. } => break,
            }
        }
        prop_assert_eq!(world.goal, Goal::Idle);
    }
}

/// Works until the plan waits or rests; the steps' names.
fn steps(world: &mut World) -> Vec<String> {
    let mut done = Vec::new();
    while let Next::Do { step, .. } = world.work(false) {
        assert!(done.len() < MANY, "no end: {done:?}");
        let name = serde_json::to_value(&step).unwrap()["step"].as_str().unwrap().to_owned();
        done.push(name);
    }
    done
}

#[test]
fn a_rotation_goes_step_by_step() {
    let mut world = World::new(policy(), 2, 0, 2);
    assert_eq!(steps(&mut world), ["note"]);
    happen(&mut world, &Happening::Ask);
    assert_eq!(steps(&mut world), ["generate", "publish", "note", "publish", "note", "prove"]);
    world.pass(Duration::from_secs(299));
    assert_eq!(steps(&mut world), [""; 0], "the soak is not over");
    world.pass(Duration::from_secs(1));
    assert_eq!(steps(&mut world), ["activate", "promote", "promote"]);
    world.pass(HOUR);
    assert_eq!(steps(&mut world), [""; 0], "the margin is not over");
    world.pass(policy().margin);
    assert_eq!(steps(&mut world), ["retire", "withdraw", "note", "withdraw", "note", "destroy", "finish"]);
    world.check_settled();
}

#[test]
fn no_key_signs_before_every_node_has_loaded_it() {
    let mut world = World::new(policy(), 1, 0, 2);
    happen(&mut world, &Happening::Ask);
    world.toggle_node(1);
    steps(&mut world);
    world.pass(SOAK);
    // A node that lives, and has not looked since before the key was published.
    let mut snapshot = world.snapshot();
    snapshot.nodes[0].loaded.clear();
    let Next::Wait { blockers, until: None } = snapshot.next() else { panic!("{:?}", snapshot.next()) };
    assert!(blockers[0].to_string().contains("node-0"), "{}", blockers[0]);
    assert_eq!(steps(&mut world)[0], "activate");
}

#[test]
fn a_compromise_is_one_change_where_a_key_stands_by() {
    let mut world = World::new(Policy { standby: true, ..policy() }, 1, 0, 2);
    world.settle();
    let snapshot = world.snapshot();
    let bad = snapshot.active().unwrap().record.kid.clone();
    let transition = snapshot.compromise(&bad).unwrap();
    assert_eq!(transition.changes.len(), 2);
    assert_eq!(transition.changes[1].1.state, KeyState::Active, "in the same moment");
    world.transition(transition);
    assert_eq!(steps(&mut world)[..4], ["destroy", "promote", "withdraw", "note"]);
    world.settle();
    world.check_settled();
    assert_eq!(world.snapshot().compromise(&bad), Err(Refusal::CompromisedAlready(bad)));
}

#[test]
fn a_compromise_without_stand_by_brings_a_new_key_in_haste() {
    let mut world = World::new(policy(), 1, 0, 2);
    steps(&mut world);
    let bad = world.snapshot().active().unwrap().record.kid.clone();
    let transition = world.snapshot().compromise(&bad).unwrap();
    world.transition(transition);
    let done = steps(&mut world);
    assert_eq!(done[..5], ["destroy", "generate", "publish", "note", "prove"]);
    assert_eq!(done[5..], ["promote", "withdraw", "note"], "the bad one goes once there is another to stay");
    world.pass(Duration::from_secs(2));
    assert_eq!(steps(&mut world), ["activate", "finish"], "no soak");
    world.check_settled();
}

#[test]
fn a_rollback_is_possible_until_the_old_key_is_withdrawn() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    let first = world.snapshot().active().unwrap().record.kid.clone();
    assert!(matches!(world.snapshot().roll_back(), Err(Refusal::NothingToRollBack(_))));
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    world.pass(SOAK);
    steps(&mut world);
    let transition = world.snapshot().roll_back().unwrap();
    world.transition(transition);
    assert_eq!(world.snapshot().active().unwrap().record.kid, first);
    assert_eq!(steps(&mut world), ["promote"]);
    world.settle();
    world.check_settled();
    assert!(world.snapshot().roll_back().is_err());
}

#[test]
fn an_abort_leaves_the_key_that_signs_and_clears_the_other_away() {
    let mut world = World::new(policy(), 1, 0, 1);
    steps(&mut world);
    assert!(matches!(world.snapshot().abort(), Err(Refusal::NothingToAbort(_))));
    happen(&mut world, &Happening::Ask);
    steps(&mut world);
    let transition = world.snapshot().abort().unwrap();
    world.transition(transition);
    assert_eq!(steps(&mut world), ["withdraw", "note", "destroy", "finish"]);
    world.check_settled();
}

#[test]
fn a_lost_answer_is_not_asked_for_again_before_it_could_show() {
    let mut world = World::new(policy(), 1, 0, 0);
    world.lag = Duration::from_mins(1);
    world.pass(Duration::from_mins(1));
    happen(&mut world, &Happening::Ask);
    world.faults.push(Fault::After);
    assert_eq!(steps(&mut world), ["generate", "publish"]);
    world.pass(Duration::from_secs(59));
    assert_eq!(steps(&mut world), [""; 0]);
    world.pass(Duration::from_secs(1));
    assert_eq!(steps(&mut world), ["note", "prove"]);
}

#[test]
fn every_app_of_a_ring_counts_also_those_that_people_look_after() {
    let mut world = World::new(policy(), 1, 1, 0);
    steps(&mut world);
    happen(&mut world, &Happening::Ask);
    assert_eq!(steps(&mut world), ["generate", "publish", "note"]);
    world.pass(HOUR);
    let Next::Wait { blockers, until: None } = world.snapshot().next() else { panic!() };
    assert!(blockers[0].to_string().contains("keys confirm"), "{}", blockers[0]);
    world.operate(&blockers);
    assert_eq!(steps(&mut world), ["prove"]);
    world.pass(SOAK);
    assert_eq!(steps(&mut world), ["activate", "promote"]);
}
