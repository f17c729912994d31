//! The database crashes again and again while two nodes are used: no rotation that was answered is lost, nobody is
//! logged out, and the service recovers within seconds of the database.
//!
//! A few crashes here; `POSTGRES_CRASHES=20` is what a release is held to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    cli::eventually,
    support::{cluster::Cluster, measured, postgres::Server, service::Service},
};

const CLIENTS: usize = 16;
/// Successes of each client between two crashes.
const PROGRESS: u64 = 10;
/// Refreshes after which a client logs in again.
const REFRESHES: u64 = 15;

/// Findings of all clients.
#[derive(Default)]
struct Seen {
    /// Answers with the database, of each client.
    progress: [AtomicU64; CLIENTS],
    /// Newest refresh token of each session, with the number of the rotations that were answered: a degraded answer is
    /// none.
    sessions: Mutex<Vec<(String, u64)>>,
    /// Answers that tell an honest client to log in, or that should not be.
    wrong: Mutex<Vec<String>>,
    degraded: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// A device: it keeps a refresh token until it has been answered with the next one.
struct Client {
    number: usize,
    urls: [String; 2],
    api_key: String,
    http: reqwest::Client,
    turn: usize,
    seen: Arc<Seen>,
}

impl Client {
    async fn live(mut self) {
        let mut login = 0;
        while !self.seen.stop.load(Relaxed) {
            login += 1;
            let user = format!("u-{}-{login}", self.number);
            let body = json!({ "app": "web", "user_id": user });
            let Some((mut token, _)) = self.call("generate", body).await else { return };
            let mut rotations = 0;
            while rotations < REFRESHES {
                let answer = self.call("refresh", json!({ "refresh_token": token })).await;
                let Some((next, is_degraded)) = answer else { break };
                (token, rotations) = (next, rotations + u64::from(!is_degraded));
            }
            self.seen.sessions.lock().unwrap().push((token, rotations));
        }
    }

    /// Calls one node after the other until one answers; the new refresh token, and whether the answer is degraded, or
    /// nothing at the end of the test.
    async fn call(&mut self, verb: &str, body: Value) -> Option<(String, bool)> {
        while !self.seen.stop.load(Relaxed) {
            self.turn += 1;
            let url = format!("{}/v1/token/{verb}", self.urls[self.turn % 2]);
            let mut request = self.http.post(url).json(&body).timeout(Duration::from_secs(30));
            if verb == "generate" {
                request = request.bearer_auth(&self.api_key);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let answer: Value = answer.json().await.unwrap();
            match status {
                200 => {
                    let is_degraded = answer["degraded"] == true;
                    if is_degraded {
                        self.seen.degraded.fetch_add(1, Relaxed);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    } else {
                        self.seen.progress[self.number].fetch_add(1, Relaxed);
                    }
                    return Some((answer["refresh_token"].as_str().unwrap().to_owned(), is_degraded));
                }
                503 => {
                    self.seen.refused.fetch_add(1, Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ => {
                    self.seen.wrong.lock().unwrap().push(format!("{verb}: {status} {answer}"));
                    return None;
                }
            }
        }
        None
    }
}

impl Seen {
    /// Waits until every client has had this many successes more.
    async fn go_on(&self, more: u64) -> Duration {
        let begun = Instant::now();
        let before: Vec<u64> = self.progress.iter().map(|count| count.load(Relaxed)).collect();
        while self.progress.iter().zip(&before).any(|(count, before)| count.load(Relaxed) < before + more) {
            let wrong = self.wrong.lock().unwrap().clone();
            assert!(wrong.is_empty(), "{wrong:?}");
            assert!(begun.elapsed() < Duration::from_mins(1), "no answers: {:?}", self.progress);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_database_that_crashes_loses_no_rotation_and_no_user() {
    measured(crash).await;
}

async fn crash() -> Result<(), String> {
    let crashes = std::env::var("POSTGRES_CRASHES").map_or(5, |crashes| crashes.parse().unwrap());
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE store");
    let cluster = Cluster::on(&server.url("store"), "").await;
    let nodes = [cluster.node(), cluster.node()];
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(n, &cluster, &nodes, &seen).live())).collect();

    let mut recoveries = Vec::new();
    for _ in 0..crashes {
        seen.go_on(PROGRESS).await;
        tokio::task::block_in_place(|| {
            server.crash();
            server.resume();
        });
        recoveries.push(seen.go_on(1).await);
    }
    seen.stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let wrong = seen.wrong.lock().unwrap().clone();
    assert!(wrong.is_empty(), "{wrong:?}");
    check_sessions(&cluster, &server, &nodes, &seen).await;
    recoveries.sort();
    println!(
        "{crashes} crashes, {} sessions, {} degraded answers, {} requests to try again; recovered within {:?}, half of the times within {:?}",
        seen.sessions.lock().unwrap().len(),
        seen.degraded.load(Relaxed),
        seen.refused.load(Relaxed),
        recoveries[recoveries.len() - 1],
        recoveries[recoveries.len() / 2],
    );
    // Each was within a minute; a machine that stands still for a moment makes some longer, and not half of them.
    if recoveries[recoveries.len() / 2] < Duration::from_secs(5) { Ok(()) } else { Err(format!("{recoveries:?}")) }
}

fn client(number: usize, cluster: &Cluster, nodes: &[Service; 2], seen: &Arc<Seen>) -> Client {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let urls = [nodes[0].url.clone(), nodes[1].url.clone()];
    Client { number, urls, api_key: cluster.api_key.clone(), http, turn: number, seen: Arc::clone(seen) }
}

/// Every session has the rotations that were answered, and at most one more, whose answer was lost. The newest token of
/// each goes on; a node that has not found the database again says 503 until it has, as the clients were told before.
async fn check_sessions(cluster: &Cluster, server: &Server, nodes: &[Service; 2], seen: &Seen) {
    let rows = server.sql("store", "SELECT encode(id, 'hex'), counter FROM countersign.sessions");
    let counters: BTreeMap<&str, u64> = rows
        .lines()
        .map(|row| row.split_once('|').unwrap())
        .map(|(id, counter)| (id, counter.parse().unwrap()))
        .collect();
    let sessions = seen.sessions.lock().unwrap().clone();
    assert!(sessions.len() >= CLIENTS);
    for (n, (token, rotations)) in sessions.into_iter().enumerate() {
        let id = hex::encode(cluster.contents(&token).session.0);
        match counters.get(&*id) {
            Some(counter) if *counter == rotations || *counter == rotations + 1 => {}
            None if cluster.contents(&token).unwritten => {}
            counter => panic!("{id}: {rotations} answered, {counter:?} on record"),
        }
        eventually(async || {
            let answer = nodes[n % 2].refresh(&token).await.unwrap();
            answer.status != 503 && answer.ok().status == 200
        })
        .await;
    }
    for node in nodes {
        let metrics = node.get(&format!("{}/metrics", node.ops_url)).await.ok().body;
        let metrics = String::from_utf8(metrics).unwrap();
        let lost = |line: &&str| line.contains(r#"kind="store_lost_writes""#) && !line.ends_with(" 0");
        assert_eq!(metrics.lines().find(lost), None);
    }
}
