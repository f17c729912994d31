//! A node that was killed says nothing more: revocations wait for it where it may go on, and not where it has ended.

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    cli::eventually,
    support::service::{Service, run, run_json},
};

/// Reports of nodes that may answer without the store, by name.
fn reports(folder: &Path) -> Vec<String> {
    let store = Connection::open(folder.join("countersign.db")).unwrap();
    let mut found = store.prepare("SELECT node FROM followers WHERE serves_until IS NOT NULL").unwrap();
    let names = found.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

/// Starts a node, waits for its report, and kills it; its name.
async fn killed(config: &Path) -> String {
    let folder = config.parent().unwrap();
    let before = reports(folder);
    let mut node = Service::of(config);
    eventually(async || reports(folder).len() > before.len()).await;
    let name = reports(folder).into_iter().find(|name| !before.contains(name)).unwrap();
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    name
}

fn users_revoke(folder: &Path) -> (i32, Value) {
    let (code, out, err) = run(&["users", "revoke", "u-1", "--json"], folder);
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{err}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_killed_and_started_again_is_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    let api_key =
        run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    let config = path.join("countersign.toml");
    let dead = killed(&config).await;
    assert!(reports(path).contains(&dead), "it could not take back its report");

    let (code, answer) = users_revoke(path);
    assert_eq!((code, answer.get("pending")), (0, None), "{answer}");
    let node = Service::of(&config);
    for _ in 0..3 {
        let token = node.generate(&api_key, "u-1").await.ok().text("refresh_token");
        let revoked = node.post("/v1/token/revoke", None, &json!({ "refresh_token": token })).await.unwrap().ok();
        assert_eq!(revoked.json(), json!({ "status": "success" }));
        node.refresh(&token).await.unwrap().problem(401, "invalid_token");
    }
    eventually(async || users_revoke(path).0 == 0).await;
}

/// A process of another machine, or container, or of a version that did not say where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_go_on_elsewhere_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    let dead = killed(&path.join("countersign.toml")).await;
    let parts: Vec<&str> = dead.rsplitn(5, '-').collect();
    let [random, begun, _, pid, host] = parts[..] else { panic!("{dead}") };
    for elsewhere in [format!("{host}-{pid}-0123456789abcdef-{begun}-{random}"), format!("{host}-{pid}-{random}")] {
        let store = Connection::open(path.join("countersign.db")).unwrap();
        store.execute("UPDATE followers SET node = ?1", [&elsewhere]).unwrap();
        let (code, answer) = users_revoke(path);
        assert_eq!((code, &answer["pending"][0]["node"]), (5, &json!(elsewhere)), "{answer}");
    }
}
