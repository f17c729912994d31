//! kill -9 at every boundary of every step of a rotation: whoever comes next goes on from there (R60).
//!
//! One round here; `ROTATION_ROUNDS=20` runs as many as a release is held to.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::{
    clock::{Clock, UnixMillis},
    rotate::{
        Observer, StepPhase,
        plan::{self, Next, Step},
    },
};

use crate::support::{
    postgres::Server,
    rotation::{APPS, RotationSetup, name, services},
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
    rotator.reconcile(&settings.rings_to_rotate()[0]).await.unwrap();
}

/// Returns whether the worker died at the given boundary. Where there are two nodes, the workers are on either in turn.
async fn work(setup: &RotationSetup, die_at: &str) -> bool {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let folder = setup.folder_in_turn(TURN.fetch_add(1, Ordering::Relaxed));
    let mut worker = Command::new(std::env::current_exe().unwrap());
    worker.args(["--exact", "rotate_kill::the_worker", "--ignored"]).current_dir(folder);
    worker.env("WORKER_NOW", setup.clock.now().0.to_string()).env("WORKER_DIES_AT", die_at);
    let output = tokio::task::spawn_blocking(move || worker.output().unwrap()).await.unwrap();
    let died = output.status.signal() == Some(9);
    assert!(died || output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    died
}

/// One rotation in which workers die at as many of these boundaries as it has; those that are left.
async fn rotate_over_dead_bodies(setup: &RotationSetup, mut left: Vec<String>) -> Vec<String> {
    let (rotator, config) = (setup.rotator(), setup.config());
    let old = setup.active().await;
    rotator.begin(&config, "the test wants it").await.unwrap();
    let mut next = 0;
    while next < left.len() {
        setup.report_node("a").await;
        if work(setup, &left[next]).await {
            left.remove(next);
            check(setup).await;
            // Until the dead one's lease is over.
            setup.clock.forward(Duration::from_secs(121));
            continue;
        }
        match plan::next(&rotator.observe(&config).await.unwrap().snapshot) {
            // This boundary does not come any more: another rotation has it.
            Next::Idle { .. } => break,
            waits => setup.pass(&waits),
        }
        if left[next].starts_with("note") {
            // Noting happens all the time: what comes later must not wait for it.
            next += 1;
        }
    }
    setup.clock.forward(Duration::from_secs(121));
    setup.settle().await;
    assert_ne!(setup.active().await.kid, old.kid);
    left
}

/// Never two that sign, never more than three at Braze, never one that signs and Braze lacks.
async fn check(setup: &RotationSetup) {
    let active = setup.active().await;
    for app in APPS {
        let held = setup.held(app).await;
        assert!(held.len() <= 3, "{held:?}");
        assert!(held.iter().any(|(key, _)| *key == active.public_key), "{app} lacks what signs");
    }
}

/// At the end: one key, everywhere, and nothing of another at Braze.
async fn check_the_end(setup: &RotationSetup) {
    let active = setup.active().await;
    for app in APPS {
        assert_eq!(setup.held(app).await, [(active.public_key.clone(), true)], "nothing is left behind at {app}");
    }
    let known: BTreeSet<String> = setup.keys().await.iter().map(|key| key.locator.clone()).collect();
    for file in private_keys(setup).await {
        let ours = known.contains(&file) && file == active.locator;
        // A worker that died between making a key and telling of it leaves a file that nobody knows: it never signs.
        assert!(ours || !known.contains(&file), "{file} should be destroyed");
    }
}

/// Where the private keys are: names of files, or ids of keys in the store.
async fn private_keys(setup: &RotationSetup) -> Vec<String> {
    let files = std::fs::read_dir(setup.folder.path().join("keys")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let stored = setup.services.store().sealed_keys().await.unwrap();
    files.chain(stored.iter().map(ToString::to_string)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_next_goes_on() {
    rotate_in_rounds(async || RotationSetup::new().await).await;
}

/// Two nodes on a database, which also has the keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn on_postgres_whoever_comes_next_goes_on() {
    let mut databases = Vec::new();
    rotate_in_rounds(async || {
        databases.push(Server::shared().database());
        RotationSetup::on_database(&databases[databases.len() - 1].url()).await
    })
    .await;
}

async fn rotate_in_rounds(mut set_up: impl AsyncFnMut() -> RotationSetup) {
    let rounds = std::env::var("ROTATION_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let setup = set_up().await;
        let mut left = boundaries();
        for _ in 0..6 {
            left = rotate_over_dead_bodies(&setup, left).await;
            check_the_end(&setup).await;
            if left.is_empty() {
                break;
            }
        }
        assert!(left.is_empty(), "round {round}: no worker died at {left:?}");
    }
}
