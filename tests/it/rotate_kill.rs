//! kill -9 at every boundary of every step of a rotation: whoever comes next goes on from there (R60).
//!
//! One round here; `ROTATION_ROUNDS=20` runs as many as a release is held to.

use std::{
    collections::BTreeSet, os::unix::process::ExitStatusExt, path::Path, process::Command, sync::Arc, time::Duration,
};

use countersign::{
    clock::{Clock, UnixMillis},
    rotate::{
        Observer, StepPhase,
        plan::{self, Next, Step},
    },
};

use crate::support::{
    rotation::{APPS, Stage, name, services},
    test_service::TestClock,
};

const MOMENTS: [StepPhase; 4] = [StepPhase::Before, StepPhase::Recorded, StepPhase::Effected, StepPhase::Done];
const STEPS: [&str; 10] =
    ["note", "generate", "publish", "prove", "activate", "promote", "retire", "withdraw", "destroy", "finish"];

/// The boundaries that there are: a step that changes records only has nothing between its beginning and its end.
fn boundaries() -> Vec<String> {
    let exists = |step: &str, phase: StepPhase| match phase {
        StepPhase::Before | StepPhase::Done => true,
        StepPhase::Recorded => ["publish", "promote", "withdraw", "destroy"].contains(&step),
        StepPhase::Effected => ["generate", "publish", "promote", "withdraw", "destroy"].contains(&step),
    };
    let all = STEPS.into_iter().flat_map(|step| MOMENTS.map(|phase| (step, phase)));
    all.filter(|(step, phase)| exists(step, *phase)).map(|(step, phase)| boundary(step, phase)).collect()
}

fn boundary(step: &str, phase: StepPhase) -> String {
    format!("{step} {phase:?}").to_lowercase()
}

/// Worker that the tests below run as a process of its own, in the folder of the service: reconciles the ring once, and
/// dies at the given boundary.
#[tokio::test]
#[ignore = "the other half of another test"]
async fn the_worker() {
    let Ok(now) = std::env::var("WORKER_NOW") else { return };
    let die_at = std::env::var("WORKER_DIES_AT").unwrap();
    let clock = Arc::new(TestClock::at(UnixMillis(now.parse().unwrap())));
    let (services, settings) = services(Path::new("."), &clock).await;
    let observer: Observer = Arc::new(move |step: &Step, _, phase| {
        if boundary(&name(step), phase) == die_at {
            let us = rustix::process::getpid();
            rustix::process::kill_process(us, rustix::process::Signal::KILL).unwrap();
        }
    });
    let rotator = services.rotator(&settings, format!("worker {}", std::process::id()), observer).unwrap();
    rotator.reconcile(&settings.rotations()[0]).await.unwrap();
}

/// Returns whether the worker died at the given boundary.
async fn work(stage: &Stage, die_at: &str) -> bool {
    let mut worker = Command::new(std::env::current_exe().unwrap());
    worker.args(["--exact", "rotate_kill::the_worker", "--ignored"]).current_dir(stage.folder.path());
    worker.env("WORKER_NOW", stage.clock.now().0.to_string()).env("WORKER_DIES_AT", die_at);
    let output = tokio::task::spawn_blocking(move || worker.output().unwrap()).await.unwrap();
    let died = output.status.signal() == Some(9);
    assert!(died || output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    died
}

/// One rotation in which workers die at as many of these boundaries as it has; those that are left.
async fn rotate_over_dead_bodies(stage: &Stage, mut left: Vec<String>) -> Vec<String> {
    let (rotator, config) = (stage.rotator(), stage.config());
    let old = stage.active().await;
    rotator.begin(&config, "the test wants it").await.unwrap();
    let mut next = 0;
    while next < left.len() {
        stage.node_looks("a").await;
        if work(stage, &left[next]).await {
            left.remove(next);
            check(stage).await;
            // Until the dead one's lease is over.
            stage.clock.forward(Duration::from_secs(121));
            continue;
        }
        match plan::next(&rotator.observe(&config).await.unwrap().snapshot) {
            // This boundary does not come any more: another rotation has it.
            Next::Idle { .. } => break,
            waits => stage.pass(&waits),
        }
        if left[next].starts_with("note") {
            // Noting happens all the time: what comes later must not wait for it.
            next += 1;
        }
    }
    stage.clock.forward(Duration::from_secs(121));
    stage.settle().await;
    assert_ne!(stage.active().await.kid, old.kid);
    left
}

/// Never two that sign, never more than three at Braze, never one that signs and Braze lacks.
async fn check(stage: &Stage) {
    let active = stage.active().await;
    for app in APPS {
        let held = stage.held(app).await;
        assert!(held.len() <= 3, "{held:?}");
        assert!(held.iter().any(|(key, _)| *key == active.public_key), "{app} lacks what signs");
    }
}

/// At the end: one key, everywhere, and nothing of another at Braze.
async fn check_the_end(stage: &Stage) {
    let active = stage.active().await;
    for app in APPS {
        assert_eq!(stage.held(app).await, [(active.public_key.clone(), true)], "nothing is left behind at {app}");
    }
    let known: BTreeSet<String> = stage.keys().await.iter().map(|key| key.locator.clone()).collect();
    for file in std::fs::read_dir(stage.folder.path().join("keys")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let ours = known.contains(&file) && file == active.locator;
        // A worker that died between making a key and telling of it leaves a file that nobody knows: it never signs.
        assert!(ours || !known.contains(&file), "{file} should be destroyed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_next_goes_on() {
    let rounds = std::env::var("ROTATION_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let stage = Stage::new().await;
        let mut left = boundaries();
        for _ in 0..6 {
            left = rotate_over_dead_bodies(&stage, left).await;
            check_the_end(&stage).await;
            if left.is_empty() {
                break;
            }
        }
        assert!(left.is_empty(), "round {round}: no worker died at {left:?}");
    }
}
