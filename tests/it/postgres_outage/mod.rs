//! The database is out of reach while two nodes are used: it crashes, hangs, is replaced by a standby that lags, or
//! only one node cannot reach it. No honest client notices.
//!
//! `POSTGRES_OUTAGE_SECONDS=60` is what a release is held to.

mod cut_off;
mod failover;
mod load;

use std::{collections::BTreeMap, time::Duration};

use countersign::{
    clock::{Clock, SystemClock, UnixMillis},
    outage::FRESH,
};
use serde_json::Value;

use crate::{
    cli::eventually,
    support::{cluster::Cluster, postgres::Server, service::Service, starting_service::StartingService},
};

/// Length of an outage.
fn outage() -> Duration {
    Duration::from_secs(std::env::var("POSTGRES_OUTAGE_SECONDS").map_or(20, |seconds| seconds.parse().unwrap()))
}

/// A server of its own with a database `store`, and a service on it that waits this long for answers.
async fn cluster(timeout: &str) -> (Server, Cluster) {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE store");
    let cluster = Cluster::on(&server.url("store"), "").await;
    cluster.configure(|text| text.replace("[store]\n", &format!("[store]\ntimeout = \"{timeout}\"\n")));
    (server, cluster)
}

/// Values of a node's metrics, by name with labels.
async fn metrics(node: &Service) -> BTreeMap<String, f64> {
    let text = String::from_utf8(node.get(&format!("{}/metrics", node.ops_url)).await.ok().body).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    lines.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// The value of a metric; 0 where there is none yet.
async fn metric(node: &Service, name: &str) -> f64 {
    metrics(node).await.get(name).copied().unwrap_or_default()
}

/// Waits until nodes that have just started may answer without the store: after a look that began when others could have
/// read their first report.
async fn started(server: &Server, cluster: &Cluster, nodes: &[Service]) {
    let ended = cluster.session(&nodes[0], "u-started").await;
    let all_looked = async |since: UnixMillis| {
        let count = format!("SELECT count(*) FROM countersign.followers WHERE looked >= {}", since.0);
        tokio::task::block_in_place(|| server.sql("store", &count)).trim() == nodes.len().to_string()
    };
    eventually(async || all_looked(UnixMillis(0)).await).await;
    let read = SystemClock.now().plus(2 * FRESH);
    while SystemClock.now() < read {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A node reports at once what it finds.
    revoke(&nodes[0], &ended).await.ok();
    eventually(async || all_looked(read).await).await;
}

/// Waits until nodes know what has ended by now.
async fn followed(nodes: &[Service]) {
    tokio::time::sleep(Duration::from_secs(3)).await;
    for node in nodes {
        // The look that this tells of began later than this wait.
        let is_fresh = |metrics: BTreeMap<String, f64>| {
            metrics.get("countersign_revocation_staleness_seconds").is_some_and(|stale| *stale <= 1.0)
        };
        eventually(async || is_fresh(metrics(node).await)).await;
    }
}

/// The condition `store` of the ops listener, of a node that is ready.
async fn store_condition(node: &Service) -> Value {
    let report = node.get(&format!("{}/readyz?verbose", node.ops_url)).await.ok().json();
    let conditions = report["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["name"] == "store").unwrap().clone()
}

/// Ends a session at a node; the answer's status.
async fn revoke(node: &Service, refresh_token: &str) -> crate::support::Answer {
    node.post("/v1/token/revoke", None, &serde_json::json!({ "refresh_token": refresh_token })).await.unwrap()
}

/// A node that starts while the database is down serves by itself once it is up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_node_that_starts_in_an_outage_serves_after_it() {
    let (server, cluster) = cluster("5s").await;
    server.crash();
    let mut node = StartingService::of(&cluster.config()).await;
    node.generate(&cluster.api_key, "u-1").await.problem(503, "unavailable");
    tokio::task::block_in_place(|| server.resume());
    let begun = std::time::Instant::now();
    node.wait_for(StartingService::ready).await;
    eventually(async || node.generate(&cluster.api_key, "u-1").await.status == 200).await;
    println!("served {:?} after the database was back", begun.elapsed());
    node.get(&format!("{}/readyz", node.ops_url)).await.ok();
}
