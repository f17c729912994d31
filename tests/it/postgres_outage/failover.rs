//! The primary is lost, and a standby that lacks its last writes takes its place.

use std::time::{Duration, Instant};

use super::{followed, metric, revoke, started, store_condition};
use crate::support::{
    cluster::Cluster,
    postgres::{Server, url_of_both},
};

/// Sessions that are refreshed while the standby no longer follows.
const SESSIONS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_standby_that_lags_takes_over_and_honest_clients_go_on() {
    let primary = Server::start();
    primary.sql("postgres", "CREATE DATABASE store");
    let cluster = Cluster::on(&primary.url("store"), "").await;
    let standby = primary.standby();
    let one = primary.url("store");
    cluster.configure(|text| {
        let both = url_of_both(&primary, &standby, "store");
        text.replace(&one, &both)
    });
    let nodes = [cluster.node(), cluster.node()];
    let mut tokens = Vec::new();
    for n in 0..SESSIONS {
        tokens.push(cluster.session(&nodes[n % 2], &format!("u-{n}")).await);
    }
    let ended = cluster.session(&nodes[0], "u-ended").await;
    revoke(&nodes[0], &ended).await.ok();
    standby.wait_for_writes_of(&primary, "store");
    standby.stop_following();
    // These writes never arrive.
    for (n, token) in tokens.iter_mut().enumerate() {
        for _ in 0..3 {
            *token = nodes[n % 2].refresh(token).await.unwrap().ok().text("refresh_token");
        }
    }
    started(&primary, &cluster, &nodes).await;

    tokio::task::block_in_place(|| primary.crash());
    // The standby takes no writes: every answer is degraded, and nothing moves on.
    for round in 0..3 {
        for (n, token) in tokens.iter_mut().enumerate() {
            let answer = nodes[(n + round) % 2].refresh(token).await.unwrap().ok();
            assert_eq!(answer.json()["degraded"], true);
            *token = answer.text("refresh_token");
        }
        nodes[round % 2].refresh(&ended).await.unwrap().problem(401, "invalid_token");
    }
    tokio::task::block_in_place(|| standby.promote());
    let promoted = Instant::now();
    // All sessions are ahead of the store now; each goes on, and is soon not degraded any more.
    for (n, token) in tokens.iter_mut().enumerate() {
        loop {
            let answer = nodes[n % 2].refresh(token).await.unwrap().ok();
            *token = answer.text("refresh_token");
            if answer.json()["degraded"] != true {
                break;
            }
            assert!(promoted.elapsed() < Duration::from_mins(1), "{:?}", promoted.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    println!("failover: no degraded answer {:?} after the promotion", promoted.elapsed());
    let mut ahead = 0.0;
    for node in &nodes {
        ahead += metric(node, "countersign_alarms_total{kind=\"store_lost_writes\"}").await;
        assert_eq!(metric(node, "countersign_alarms_total{kind=\"reuse\"}").await, 0.0);
        crate::cli::eventually(async || store_condition(node).await["ok"] == true).await;
        node.refresh(&ended).await.unwrap().problem(401, "invalid_token");
    }
    assert!((ahead - f64::from(u32::try_from(SESSIONS).unwrap())).abs() < 0.5, "each session is noticed once: {ahead}");

    // The new primary's log of ends is followed, although its transactions have numbers of its own.
    let late = tokens.pop().unwrap();
    revoke(&nodes[0], &late).await.ok();
    followed(&nodes).await;
    tokio::task::block_in_place(|| standby.crash());
    for node in &nodes {
        node.refresh(&late).await.unwrap().problem(401, "invalid_token");
        assert_eq!(node.refresh(&tokens[0]).await.unwrap().ok().json()["degraded"], true);
    }
}
