//! The plan of a rotation: its rules hold among faults, whatever happens, and it always comes to an end.

mod simulation;
mod texts;
mod transitions;
mod waits;

use std::time::Duration;

use countersign::{
    domain::{ids::Kid, key::KeyState, rotation::Goal},
    rotate::{
        Config,
        plan::{
            CommandRefused, Next, OperatorCommand, Snapshot, Step, Transition, command_transition, due, forecast, next,
            transition,
        },
    },
};
use proptest::prelude::*;

use simulation::{Fault, Simulation};

const HOUR: Duration = Duration::from_hours(1);
const SOAK: Duration = Duration::from_mins(5);

/// More steps than can be done at once.
const MANY: usize = 50;

fn policy() -> Config {
    Config { soak: SOAK, margin: Duration::from_mins(1), longest_life: HOUR, ..Config::default() }
}

/// Event of a simulation.
#[derive(Clone, Debug)]
enum Happening {
    Work { dies: bool },
    Pass(Duration),
    Operate,
    Begin,
    Abort,
    RollBack,
    Compromise(usize),
    Fault(Fault),
    Silence(usize, bool),
    Intrude(usize),
    Rob(usize, usize),
    ToggleNode(usize),
}

fn begin(snapshot: &Snapshot) -> Option<Transition> {
    command_transition(snapshot, &OperatorCommand::Begin).unwrap()
}

fn abort(snapshot: &Snapshot) -> Result<Transition, CommandRefused> {
    command_transition(snapshot, &OperatorCommand::Abort).map(Option::unwrap)
}

fn roll_back(snapshot: &Snapshot) -> Result<Transition, CommandRefused> {
    command_transition(snapshot, &OperatorCommand::RollBack).map(Option::unwrap)
}

fn compromise(snapshot: &Snapshot, kid: &Kid) -> Result<Transition, CommandRefused> {
    command_transition(snapshot, &OperatorCommand::Compromise(kid.clone())).map(Option::unwrap)
}

fn happening() -> impl Strategy<Value = Happening> {
    let fault = prop_oneof![Just(Fault::Refused), Just(Fault::Before), Just(Fault::After)];
    prop_oneof![
        12 => any::<bool>().prop_map(|dies| Happening::Work { dies }),
        8 => (0..7200_u64).prop_map(|seconds| Happening::Pass(Duration::from_secs(seconds))),
        4 => Just(Happening::Operate),
        2 => Just(Happening::Begin),
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

fn any_policy() -> impl Strategy<Value = Config> {
    (proptest::option::of(1..200_u64), 60..900_u64, 60..3600_u64, 60..86_400_u64, any::<bool>()).prop_map(
        |(days, soak, margin, life, standby)| Config {
            every: days.map(|days| Duration::from_hours(24 * days)),
            soak: Duration::from_secs(soak),
            margin: Duration::from_secs(margin),
            longest_life: Duration::from_secs(life),
            standby,
            ..Config::default()
        },
    )
}

fn happen(simulation: &mut Simulation, happening: &Happening) {
    if let Next::Do { step: Step::Note { .. }, .. } = next(&simulation.snapshot()) {
        // An operator's command is executed after an observation.
        simulation.work(false);
    }
    let snapshot = simulation.snapshot();
    let command = match happening {
        Happening::Begin => Some(OperatorCommand::Begin),
        Happening::Abort => Some(OperatorCommand::Abort),
        Happening::RollBack => Some(OperatorCommand::RollBack),
        Happening::Compromise(which) => {
            let kid = snapshot.keys[which % snapshot.keys.len()].record.kid.clone();
            Some(OperatorCommand::Compromise(kid))
        }
        _ => None,
    };
    match happening {
        Happening::Work { dies } => drop(simulation.work(*dies)),
        Happening::Pass(span) => simulation.pass(*span),
        Happening::Operate => {
            if let Next::Wait { blockers, .. } = next(&snapshot) {
                simulation.operate(&blockers);
            }
        }
        Happening::Fault(fault) => simulation.faults.push(*fault),
        Happening::Silence(app, silent) => simulation.silence(*app, *silent),
        Happening::Intrude(app) => simulation.intrude(*app),
        Happening::Rob(app, which) => simulation.rob(*app, *which),
        Happening::ToggleNode(node) => simulation.toggle_node(*node),
        _ => {}
    }
    if let Some(command) = command
        && let Ok(Some(transition)) = command_transition(&snapshot, &command)
    {
        simulation.transition(transition);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The rules are asserted by the simulation itself, at every step.
    #[test]
    fn whatever_happens_the_rules_hold_and_it_comes_to_an_end(
        policy in any_policy(),
        apps in prop_oneof![(1..3_usize, 0..2_usize), (Just(0), 1..3_usize)],
        nodes in 0..3_usize,
        lag in 0..2_u64,
        happenings in proptest::collection::vec(happening(), 0..80),
    ) {
        let mut simulation = Simulation::new(policy, apps.0, apps.1, nodes);
        simulation.lag = Duration::from_secs(lag);
        for happening in &happenings {
            happen(&mut simulation, happening);
        }
        simulation.heal();
        if simulation.snapshot().active().is_none() {
            // Without `every` nobody but an operator begins.
            happen(&mut simulation, &Happening::Begin);
        }
        simulation.settle();
        simulation.check_settled();
    }

    /// A list may lag for as long as the soak: a key is asked for once within it, no duplicate is made, and no fourth
    /// key is asked for, as the simulation asserts at each request.
    #[test]
    fn however_late_lists_are_and_answers_fail_no_key_is_asked_for_twice_within_the_soak(
        policy in any_policy(),
        rest in 1..3_usize,
        nodes in 0..3_usize,
        share in 0..=100_u32,
        happenings in proptest::collection::vec(happening(), 0..80),
    ) {
        let mut simulation = Simulation::new(policy, rest, 0, nodes);
        simulation.lag = simulation.policy.soak * share / 100;
        simulation.pass(simulation.lag);
        for happening in &happenings {
            happen(&mut simulation, happening);
        }
        simulation.faults.clear();
        (0..rest).for_each(|app| simulation.silence(app, false));
        if simulation.snapshot().active().is_none() {
            happen(&mut simulation, &Happening::Begin);
        }
        simulation.settle();
        simulation.check_settled();
    }

    /// A list may lag for any time: a key that Braze gave an id is asked for once.
    #[test]
    fn a_key_with_an_id_is_asked_for_once_however_late_the_list_is(
        policy in any_policy(),
        rest in 1..3_usize,
        share in 0..1000_u32,
        seconds in proptest::collection::vec(0..2000_u64, 20..60),
        compromise in any::<bool>(),
    ) {
        let mut simulation = Simulation::new(policy, rest, 0, 1);
        simulation.lag = simulation.policy.soak * share / 100;
        steps(&mut simulation);
        happen(&mut simulation, &if compromise { Happening::Compromise(0) } else { Happening::Begin });
        for seconds in seconds {
            steps(&mut simulation);
            simulation.pass(Duration::from_secs(seconds));
        }
        prop_assert!(simulation.creates.values().all(|times| times.len() == 1), "{:?}", simulation.creates);
    }

    /// The forecast names what then happens.
    #[test]
    fn a_forecast_comes_true(policy in any_policy(), rest in 1..3_usize, nodes in 0..3_usize) {
        let mut simulation = Simulation::new(policy, rest, 0, nodes);
        simulation.settle();
        happen(&mut simulation, &Happening::Begin);
        let foreseen = forecast(&simulation.snapshot());
        prop_assert!(foreseen.stuck.is_empty());
        let mut lines = foreseen.lines.iter().filter(|line| !line.waits);
        for _ in 0..200 {
            match simulation.work(false) {
                Next::Do { step, reason } => {
                    // A forecast cannot know Braze's ids, nor the ids of new keys.
                    let line = lines.next().unwrap();
                    let kind = |text: &str| text.replace("the new key", "key").split(' ').take(2).collect::<Vec<_>>().join(" ");
                    prop_assert_eq!(kind(&step.to_string()), kind(&line.what));
                    prop_assert_eq!(&reason, &line.why);
                    if step == Step::Finish {
                        break;
                    }
                }
                Next::Wait { until, .. } => {
                    let wait = until.map_or(Duration::from_secs(2), |until| until.since(simulation.now));
                    simulation.pass(wait.min(Duration::from_secs(2)));
                    if let Some(until) = until {
                        let rest = until.since(simulation.now);
                        simulation.pass(rest);
                    }
                }
                Next::Idle { .. } => break,
            }
        }
        prop_assert_eq!(simulation.goal, Goal::Idle);
    }
}

/// Works until the plan waits or rests; the steps' names.
fn steps(simulation: &mut Simulation) -> Vec<String> {
    let mut done = Vec::new();
    while let Next::Do { step, .. } = simulation.work(false) {
        assert!(done.len() < MANY, "no end: {done:?}");
        let name = serde_json::to_value(&step).unwrap()["step"].as_str().unwrap().to_owned();
        done.push(name);
    }
    done
}

#[test]
fn a_rotation_goes_step_by_step() {
    let mut simulation = Simulation::new(policy(), 2, 0, 2);
    assert_eq!(steps(&mut simulation), ["note"]);
    happen(&mut simulation, &Happening::Begin);
    assert_eq!(steps(&mut simulation), ["generate", "publish", "note", "publish", "note", "prove"]);
    simulation.pass(Duration::from_secs(299));
    assert_eq!(steps(&mut simulation), [""; 0], "the soak is not over");
    simulation.pass(Duration::from_secs(1));
    assert_eq!(steps(&mut simulation), ["activate", "promote", "promote"]);
    simulation.pass(HOUR);
    assert_eq!(steps(&mut simulation), [""; 0], "the margin is not over");
    simulation.pass(policy().margin);
    assert_eq!(steps(&mut simulation), ["retire", "withdraw", "note", "withdraw", "note", "destroy", "finish"]);
    simulation.check_settled();
}

#[test]
fn no_key_signs_before_every_node_has_loaded_it() {
    let mut simulation = Simulation::new(policy(), 1, 0, 2);
    happen(&mut simulation, &Happening::Begin);
    simulation.toggle_node(1);
    steps(&mut simulation);
    simulation.pass(SOAK);
    // A node that lives, and has not looked since before the key was published.
    let mut snapshot = simulation.snapshot();
    snapshot.nodes[0].loaded.clear();
    let Next::Wait { blockers, until: None } = next(&snapshot) else { panic!("{:?}", next(&snapshot)) };
    assert!(blockers[0].to_string().contains("node-0"), "{}", blockers[0]);
    assert_eq!(steps(&mut simulation)[0], "activate");
}

#[test]
fn a_compromise_is_one_change_where_a_key_stands_by() {
    let mut simulation = Simulation::new(Config { standby: true, ..policy() }, 1, 0, 2);
    simulation.settle();
    let snapshot = simulation.snapshot();
    let bad = snapshot.active().unwrap().record.kid.clone();
    let transition = compromise(&snapshot, &bad).unwrap();
    assert_eq!(transition.changes.len(), 2);
    assert_eq!(transition.changes[1].1.state, KeyState::Active, "in the same moment");
    simulation.transition(transition);
    assert_eq!(steps(&mut simulation)[..4], ["destroy", "promote", "withdraw", "note"]);
    simulation.settle();
    simulation.check_settled();
    assert_eq!(compromise(&simulation.snapshot(), &bad), Err(CommandRefused::CompromisedAlready(bad)));
}

#[test]
fn a_compromise_without_stand_by_brings_a_new_key_in_haste() {
    let mut simulation = Simulation::new(policy(), 1, 0, 2);
    steps(&mut simulation);
    let bad = simulation.snapshot().active().unwrap().record.kid.clone();
    let transition = compromise(&simulation.snapshot(), &bad).unwrap();
    simulation.transition(transition);
    let done = steps(&mut simulation);
    assert_eq!(done[..5], ["destroy", "generate", "publish", "note", "prove"]);
    assert_eq!(done[5..], ["promote", "withdraw", "note"], "the bad one goes once there is another to stay");
    simulation.pass(Duration::from_secs(2));
    assert_eq!(steps(&mut simulation), ["activate", "finish"], "no soak");
    simulation.check_settled();
}

#[test]
fn a_rollback_is_possible_until_the_old_key_is_withdrawn() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    let first = simulation.snapshot().active().unwrap().record.kid.clone();
    assert!(matches!(roll_back(&simulation.snapshot()), Err(CommandRefused::NothingToRollBack(_))));
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    simulation.pass(SOAK);
    steps(&mut simulation);
    let transition = roll_back(&simulation.snapshot()).unwrap();
    simulation.transition(transition);
    assert_eq!(simulation.snapshot().active().unwrap().record.kid, first);
    assert_eq!(steps(&mut simulation), ["promote"]);
    simulation.settle();
    simulation.check_settled();
    assert!(roll_back(&simulation.snapshot()).is_err());
}

#[test]
fn an_abort_leaves_the_key_that_signs_and_clears_the_other_away() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    assert!(matches!(abort(&simulation.snapshot()), Err(CommandRefused::NothingToAbort(_))));
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    let transition = abort(&simulation.snapshot()).unwrap();
    simulation.transition(transition);
    assert_eq!(steps(&mut simulation), ["withdraw", "note", "destroy", "finish"]);
    simulation.check_settled();
}

#[test]
fn a_lost_answer_is_not_asked_for_again_before_it_could_show() {
    let mut simulation = Simulation::new(policy(), 1, 0, 0);
    simulation.lag = Duration::from_mins(1);
    simulation.pass(Duration::from_mins(1));
    happen(&mut simulation, &Happening::Begin);
    simulation.faults.push(Fault::After);
    assert_eq!(steps(&mut simulation), ["generate", "publish"]);
    simulation.pass(Duration::from_secs(59));
    assert_eq!(steps(&mut simulation), [""; 0]);
    simulation.pass(Duration::from_secs(1));
    assert_eq!(steps(&mut simulation), ["note", "prove"]);
}

#[test]
fn every_app_of_a_ring_counts_also_those_that_people_look_after() {
    let mut simulation = Simulation::new(policy(), 1, 1, 0);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    assert_eq!(steps(&mut simulation), ["generate", "publish", "note"]);
    simulation.pass(HOUR);
    let Next::Wait { blockers, until: None } = next(&simulation.snapshot()) else { panic!() };
    assert!(blockers[0].to_string().contains("keys confirm"), "{}", blockers[0]);
    simulation.operate(&blockers);
    assert_eq!(steps(&mut simulation), ["prove"]);
    simulation.pass(SOAK);
    assert_eq!(steps(&mut simulation), ["activate", "promote"]);
}
