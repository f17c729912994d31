//! Two processes append to one audit log, and one of them is killed: no gap is left, and each acknowledged act is there
//! once.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use countersign::{
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::InstallationId,
    },
    store::{self, Config, Store},
    telemetry::Metrics,
};

use crate::{
    store::{T, audit::leaves},
    support::postgres::Server,
};

/// Name of the file that tells the other process where the store is.
const PLACE: &str = "place";
/// Acts that the other process is heard to have done before it is killed.
const HEARD: usize = 150;
/// Acts of this process.
const OWN: u32 = 400;

fn config(place: &str) -> Config {
    let timeout = Duration::from_mins(1);
    let config = Config { timeout, ..Config::default() };
    if place.starts_with("postgres") {
        Config { url: Some(place.to_owned()), ..config }
    } else {
        Config { path: place.into(), ..config }
    }
}

async fn act(store: &Arc<dyn Store>, name: String) {
    let (action, outcome) = (AuditAction::Publishing, AuditOutcome::Intended);
    let (actor, target) = (Actor::named(name), AuditTarget::default());
    store.append_events(vec![AuditEvent { at: T, actor, action, target, outcome, why: String::new() }]).await.unwrap();
}

/// Run in another process, in a folder that has the file [`PLACE`].
#[tokio::test]
#[ignore = "the other half of another test"]
async fn the_other_node() {
    let Ok(place) = fs::read_to_string(PLACE) else { return };
    let store = store::open(&config(&place), Metrics::new()).await.unwrap();
    for n in 0.. {
        act(&store, format!("other {n}")).await;
        println!("\ndone: other {n}");
    }
}

/// Acts beside another process, which is killed meanwhile. Returns the names of all acts that were acknowledged.
async fn act_beside_a_killed_process(store: &Arc<dyn Store>, folder: &Path) -> Vec<String> {
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "audit_kill::the_other_node", "--ignored", "--nocapture"]).current_dir(folder);
    let mut other = other.stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(other.stdout.take().unwrap());
    let hearing = tokio::task::spawn_blocking(move || {
        let mut heard = Vec::new();
        for line in said.lines() {
            heard.extend(line.unwrap().strip_prefix("done: ").map(str::to_owned));
            if heard.len() == HEARD {
                other.kill().unwrap();
            }
        }
        other.wait().unwrap();
        heard
    });
    let mut acknowledged = Vec::new();
    for n in 0..OWN {
        act(store, format!("own {n}")).await;
        acknowledged.push(format!("own {n}"));
    }
    acknowledged.extend(hearing.await.unwrap());
    acknowledged
}

async fn no_gap_is_left(place: &str, folder: &Path) {
    fs::write(folder.join(PLACE), place).unwrap();
    let store = store::create(&config(place), InstallationId::new([7; 16]), Metrics::new()).await.unwrap();
    let acknowledged = act_beside_a_killed_process(&store, folder).await;
    assert!(acknowledged.len() >= OWN as usize + HEARD, "{}", acknowledged.len());
    // It fails where an index is missing.
    let mut found: Vec<String> = leaves(&store).await.into_iter().map(|leaf| leaf.event.actor.name).collect();
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), count, "no act is there twice");
    for name in &acknowledged {
        assert!(found.binary_search(name).is_ok(), "{name} was acknowledged");
    }
    // The last one may have been committed, and the process killed before it said so.
    assert!(count <= acknowledged.len() + 1, "{count} of {}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_no_gap_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store.db");
    no_gap_is_left(place.to_str().unwrap(), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_killed_process_leaves_no_gap_in_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let database = Server::shared().database();
    no_gap_is_left(&database.url(), folder.path()).await;
}
