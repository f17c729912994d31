//! Texts for people: steps with their reasons, blockers with what ends them, the forecast with its times.

use std::collections::BTreeMap;

use countersign::{
    clock::UnixMillis,
    domain::ids::AppName,
    rotate::plan::{Blocker, Entry, Forecast, Listing, Observation, simulate},
};

use super::*;
use simulation::{START, key};

/// Works until the plan waits or rests; why each kind of step was done, the last time.
fn told(simulation: &mut Simulation) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for _ in 0..MANY {
        let Next::Do { step, reason } = simulation.work(false) else { return told };
        told.insert(serde_json::to_value(&step).unwrap()["step"].as_str().unwrap().to_owned(), reason);
    }
    panic!("no end: {told:?}");
}

#[test]
fn an_ordinary_rotation_says_why_at_each_step() {
    let mut simulation = Simulation::new(Config { every: Some(HOUR), ..policy() }, 1, 0, 1);
    simulation.pass(HOUR);
    let mut told = told(&mut simulation);
    for wait in [SOAK, HOUR, policy().margin] {
        simulation.pass(wait);
        told.extend(super::texts::told(&mut simulation));
    }
    for (step, why) in [
        ("begin", "for as long as the policy allows"),
        ("generate", "no published key to rotate to"),
        ("publish", "only after Braze was shown to hold it"),
        ("note", "Braze's list shows it"),
        ("prove", "every app of the ring"),
        ("activate", "for the soak"),
        ("promote", "should be the primary"),
        ("retire", "last token has expired"),
        ("withdraw", "no token of it can be alive"),
        ("destroy", "no token of it can be alive"),
        ("finish", "nothing is left"),
    ] {
        assert!(told[step].contains(why), "{step}: {}", told[step]);
    }
}

#[test]
fn where_nothing_signs_haste_is_given_as_the_reason() {
    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    steps(&mut simulation);
    let bad = simulation.snapshot().active().unwrap().record.kid.clone();
    let transition = compromise(&simulation.snapshot(), &bad).unwrap();
    simulation.transition(transition);
    let mut first = told(&mut simulation);
    assert!(first["destroy"].contains("compromised"), "{first:?}");
    assert!(first["generate"].contains("as soon as it is listed"), "{first:?}");
    assert!(first["publish"].contains("only after"), "{first:?}");
    assert!(first["withdraw"].contains("compromised: its tokens must be rejected"), "{first:?}");
    simulation.pass(Duration::from_secs(2));
    first = told(&mut simulation);
    assert!(first["activate"].contains("soak is left out"), "{first:?}");

    // An operator who gives up while nothing signs does not leave the ring without a key.
    let bad = simulation.snapshot().active().unwrap().record.kid.clone();
    let transition = compromise(&simulation.snapshot(), &bad).unwrap();
    simulation.transition(transition);
    let transition = abort(&simulation.snapshot()).unwrap();
    simulation.transition(transition);
    let again = told(&mut simulation);
    assert!(again["begin"].contains("no key signs"), "{again:?}");
}

#[test]
fn a_stand_by_key_and_a_key_deleted_by_hand_have_reasons_of_their_own() {
    let mut simulation = Simulation::new(Config { standby: true, ..policy() }, 1, 0, 1);
    assert!(told(&mut simulation)["generate"].contains("keeps a published key ready"));

    let mut simulation = Simulation::new(policy(), 1, 0, 1);
    happen(&mut simulation, &Happening::Begin);
    steps(&mut simulation);
    simulation.pass(SOAK);
    assert_eq!(steps(&mut simulation), ["activate", "promote"]);
    // The key that retires, whose tokens are alive.
    simulation.rob(0, 0);
    let told = told(&mut simulation);
    assert!(told["publish"].contains("its tokens are alive"), "{told:?}");
}

#[test]
fn a_second_copy_goes_and_the_primary_one_stays() {
    let mut simulation = Simulation::new(policy(), 1, 0, 0);
    steps(&mut simulation);
    let mut snapshot = simulation.snapshot();
    let Listing::Shown(entries) = &mut snapshot.apps[0].listing else { panic!() };
    entries.insert(0, Entry { id: "copy".to_owned(), primary: false, ..entries[0].clone() });
    let Next::Do { step: Step::Withdraw { id, .. }, reason } = next(&snapshot) else { panic!("{:?}", next(&snapshot)) };
    assert_eq!(id, "copy");
    assert!(reason.contains("twice"), "{reason}");
    // Where none is the primary, the first stays.
    let Listing::Shown(entries) = &mut snapshot.apps[0].listing else { panic!() };
    entries[1].primary = false;
    let Next::Do { step: Step::Promote { id, .. }, .. } = next(&snapshot) else { panic!("{:?}", next(&snapshot)) };
    assert_eq!(id, "copy");
}

#[test]
fn every_step_observation_and_blocker_names_its_key_and_its_app() {
    let kid = key(7, START).kid;
    let app: AppName = "the-app".parse().unwrap();
    let id = String::new;
    let steps = [
        Step::Publish { app: app.clone(), kid: kid.clone() },
        Step::Promote { app: app.clone(), kid: kid.clone(), id: id() },
        Step::Withdraw { app: app.clone(), kid: kid.clone(), id: id() },
    ];
    let observations = [
        Observation::Shown { app: app.clone(), kid: kid.clone(), id: id() },
        Observation::Assumed { app: app.clone(), kid: kid.clone() },
        Observation::Gone { app: app.clone(), kid: kid.clone() },
        Observation::Attested { app: app.clone(), kid: kid.clone() },
        Observation::Removed { app: app.clone(), kid: kid.clone() },
    ];
    let until = UnixMillis(1_800_000_000_000);
    let blockers = [
        Blocker::Settling { app: app.clone(), kid: kid.clone(), until },
        Blocker::Paste { app: app.clone(), kid: kid.clone() },
        Blocker::Remove { app: app.clone(), kid: kid.clone() },
        Blocker::Primary { app: app.clone(), kid: kid.clone() },
        Blocker::Missing { app: app.clone(), kid: kid.clone() },
    ];
    let of_an_app: Vec<String> = (steps.iter().map(ToString::to_string))
        .chain(observations.iter().map(ToString::to_string))
        .chain(blockers.iter().map(ToString::to_string))
        .chain([Step::Note { observations: observations.to_vec() }.to_string()])
        .collect();
    let of_a_key = [
        Step::Prove { kid: kid.clone() }.to_string(),
        Step::Retire { kid: kid.clone() }.to_string(),
        Step::Destroy { kid: kid.clone() }.to_string(),
        Step::Activate { kid: kid.clone(), retiring: None }.to_string(),
        Blocker::Soak { kid: kid.clone(), until }.to_string(),
        Blocker::Tokens { kid: kid.clone(), until }.to_string(),
        Blocker::Nodes { kid: kid.clone(), nodes: vec!["node-1".to_owned(), "node-2".to_owned()] }.to_string(),
        Blocker::NoSuccessor { kid: kid.clone() }.to_string(),
    ];
    for text in &of_an_app {
        assert!(text.contains("app the-app"), "{text}");
    }
    for text in of_an_app.iter().chain(&of_a_key) {
        assert!(text.contains(&kid.as_str()[..8]) && !text.contains(kid.as_str()), "short enough for a line: {text}");
    }
    for text in [&of_an_app[8], &of_a_key[4], &of_a_key[5]] {
        assert!(text.contains(&until.to_string()), "{text}");
    }
    assert!(of_a_key[6].contains("node-1, node-2"), "{}", of_a_key[6]);
    let old = key(8, START).kid;
    let both = Step::Activate { kid, retiring: Some(old.clone()) }.to_string();
    assert!(both.contains(&old.as_str()[..8]) && both.contains("retires"), "{both}");
    let silent = Blocker::Silent { app: app.clone(), why: "down".to_owned() }.to_string();
    assert!(silent.contains("the-app") && silent.contains("down"), "{silent}");
    assert!(Blocker::Full { app }.to_string().contains("app the-app holds three keys"));
}

/// Seconds from now, what, and whether it is a wait.
fn lines(simulation: &Simulation, forecast: &Forecast) -> Vec<(u64, String, bool)> {
    let kind = |what: &str| what.replace("the new key", "key").split(' ').take(2).collect::<Vec<_>>().join(" ");
    forecast.lines.iter().map(|line| (line.at.since(simulation.now).as_secs(), kind(&line.what), line.waits)).collect()
}

#[test]
fn a_forecast_has_the_times_of_soak_and_tokens() {
    let day = Duration::from_hours(24);
    let mut simulation = Simulation::new(Config { every: Some(day), ..policy() }, 1, 0, 1);
    steps(&mut simulation);
    assert_eq!(forecast(&simulation.snapshot()).due, due(&simulation.snapshot()));
    simulation.pass(Duration::from_mins(10));
    happen(&mut simulation, &Happening::Begin);
    let forecast = super::forecast(&simulation.snapshot());
    let told = lines(&simulation, &forecast);
    let told: Vec<(u64, &str, bool)> = told.iter().map(|(at, what, waits)| (*at, what.as_str(), *waits)).collect();
    // Nodes have a moment to load the key; tokens live for an hour from the last one, and a minute is the margin.
    let (signs, dead) = (302, 302 + 3660);
    let expected = [
        (0, "make a", false),
        (0, "publish key", false),
        (0, "put on", false),
        (0, "put on", false),
        (0, "key", true),
        (signs, "sign with", false),
        (signs, "make key", false),
        (signs, "tokens of", true),
        (dead, "retire key", false),
        (dead, "delete key", false),
        (dead, "put on", false),
        (dead, "destroy the", false),
        (dead, "end the", false),
    ];
    for (line, (at, what, waits)) in told.iter().zip(expected) {
        assert!(line.0 == at && line.1.starts_with(what) && line.2 == waits, "{line:?} {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(forecast.lines.iter().all(|line| line.waits == line.why.is_empty()));
    assert_eq!(forecast.due, Some(simulation.now.plus(Duration::from_secs(signs)).plus(day)));
    assert!(forecast.stuck.is_empty());
}

#[test]
fn a_forecast_asks_people_for_what_is_theirs_and_goes_on_as_if_it_were_done() {
    let mut simulation = Simulation::new(policy(), 0, 1, 0);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    let forecast = super::forecast(&simulation.snapshot());
    assert!(forecast.stuck.is_empty(), "{forecast:#?}");
    let waits: Vec<&str> = forecast.lines.iter().filter(|line| line.waits).map(|line| line.what.as_str()).collect();
    assert_eq!(waits.iter().filter(|what| what.contains("add the new key at Braze")).count(), 1, "{waits:#?}");
    assert_eq!(waits.iter().filter(|what| what.contains("--deleted")).count(), 1, "{waits:#?}");
    assert_eq!(forecast.lines.last().unwrap().what, Step::Finish.to_string());
}

#[test]
fn a_forecast_ends_at_what_nobody_can_tell_the_end_of() {
    let mut simulation = Simulation::new(policy(), 2, 0, 1);
    steps(&mut simulation);
    happen(&mut simulation, &Happening::Begin);
    simulation.silence(1, true);
    let forecast = super::forecast(&simulation.snapshot());
    let [Blocker::Silent { app, why }] = &forecast.stuck[..] else { panic!("{forecast:#?}") };
    assert_eq!((app.as_str(), why.as_str()), ("app-1", "down"));
    let last = forecast.lines.last().unwrap();
    assert!(last.waits && last.what.contains("waits for Braze"), "{last:?}");
    assert!(!forecast.lines.iter().any(|line| line.what.starts_with("sign")), "{forecast:#?}");
    assert_eq!(forecast.due, None);
}

#[test]
fn a_forecast_is_of_one_rotation_also_where_the_next_is_due_at_its_end() {
    let mut simulation = Simulation::new(Config { every: Some(HOUR), ..policy() }, 1, 0, 1);
    steps(&mut simulation);
    simulation.pass(HOUR);
    let from_rest = forecast(&simulation.snapshot());
    happen(&mut simulation, &Happening::Begin);
    for forecast in [from_rest, forecast(&simulation.snapshot())] {
        let signs = forecast.lines.iter().find(|line| line.what.starts_with("sign with")).unwrap();
        let ends: Vec<_> = forecast.lines.iter().filter(|line| line.what == Step::Finish.to_string()).collect();
        assert_eq!(ends, [forecast.lines.last().unwrap()]);
        assert_eq!(forecast.due, Some(signs.at.plus(HOUR)));
        assert!(forecast.due < Some(ends[0].at), "the next is late already");
    }
}

#[test]
fn a_simulated_step_changes_what_the_step_changes() {
    for standby in [false, true] {
        let mut simulation = Simulation::new(Config { standby, ..policy() }, 2, 0, 1);
        simulation.settle();
        happen(&mut simulation, &Happening::Begin);
        for _ in 0..200 {
            let mut simulated = simulation.snapshot();
            match simulation.work(false) {
                Next::Do { step, .. } => {
                    simulate(&mut simulated, &step);
                    let real = simulation.snapshot();
                    assert_eq!(
                        (simulated.goal, simulated.new_key.is_some()),
                        (real.goal, real.new_key.is_some()),
                        "{step:?}"
                    );
                    let states = |snapshot: &Snapshot| {
                        snapshot.keys.iter().map(|key| (key.record.state, key.destroyed)).collect::<Vec<_>>()
                    };
                    assert_eq!(states(&simulated), states(&real), "{step:?}");
                }
                Next::Wait { until, .. } => simulation.pass(until.map_or(SOAK, |until| until.since(simulation.now))),
                Next::Idle { .. } => break,
            }
        }
        simulation.check_settled();
    }
}
