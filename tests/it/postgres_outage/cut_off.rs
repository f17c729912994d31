//! One node cannot reach the database, and the other can.

use std::fs;

use serde_json::Value;

use super::{cluster, followed, revoke, started, store_condition};
use crate::support::{
    postgres::Pooler,
    service::{PENDING, Service, run},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_revocation_is_done_when_the_node_that_was_cut_off_knows_it() {
    let (server, cluster) = cluster("5s").await;
    let pooler = Pooler::start(&server);
    let text = fs::read_to_string(cluster.config()).unwrap();
    let beside = cluster.folder.path().join("beside.toml");
    fs::write(&beside, text.replace(&server.url("store"), &pooler.url("store"))).unwrap();
    let nodes = [cluster.node(), Service::of(&beside)];
    let [near, cut] = &nodes;
    let known = cluster.session(near, "u-known").await;
    let first = cluster.session(near, "u-1").await;
    let second = cluster.session(near, "u-2").await;
    let honest = cluster.session(near, "u-honest").await;
    started(&server, &cluster, &nodes).await;
    // Both nodes follow. A machine that stands still for 3 s makes one revocation pending, and not all of them.
    crate::cli::eventually(async || revoke(near, &known).await.ok().json()["status"] == "success").await;

    let hanging = pooler.hang();
    crate::cli::eventually(async || store_condition(cut).await["ok"] == false).await;
    // It refuses what it knows to have ended, and serves the others.
    cut.refresh(&known).await.unwrap().problem(401, "invalid_token");
    let answer = cut.refresh(&honest).await.unwrap().ok();
    assert_eq!(answer.json()["degraded"], true);
    let honest = answer.text("refresh_token");
    revoke(cut, &honest).await.problem(503, "unavailable");

    // Its client moves to the other node and on, and comes back: no false reuse.
    let next = near.refresh(&honest).await.unwrap().ok().text("refresh_token");
    let honest = cut.refresh(&next).await.unwrap().ok().text("refresh_token");

    let pending = revoke(near, &first).await.ok().json();
    assert_eq!(pending["status"], "pending", "{pending}");
    let folder = cluster.folder.path().to_owned();
    let users_revoke = |user: &'static str| {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || run(&["users", "revoke", user, "--json"], &folder))
    };
    let (code, out, err) = users_revoke("u-2").await.unwrap();
    assert_eq!(code, PENDING, "{out}{err}");
    let said: Value = serde_json::from_str(&out).unwrap();
    println!("pending: {pending}; {said}");
    near.refresh(&first).await.unwrap().problem(401, "invalid_token");
    // What is promised is no more than what it does: it does not know of these.
    cut.refresh(&first).await.unwrap().ok();
    cut.refresh(&second).await.unwrap().ok();

    drop(hanging);
    crate::cli::eventually(async || store_condition(cut).await["ok"] == true).await;
    followed(&nodes).await;
    crate::cli::eventually(async || users_revoke("u-2").await.unwrap().0 == 0).await;
    for token in [&first, &second, &known] {
        cut.refresh(token).await.unwrap().problem(401, "invalid_token");
    }
    let honest = cut.refresh(&honest).await.unwrap().ok().text("refresh_token");
    near.refresh(&honest).await.unwrap().ok();
}
