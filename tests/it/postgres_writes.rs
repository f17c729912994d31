//! The work of the database for a refresh: flushes of its log, statements, and updates that touch no index.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::support::{
    cluster::Cluster,
    measured,
    postgres::{Server, Work},
    service::Service,
};

const CLIENTS: usize = 64;
/// Sessions of each client: enough pages, that the rows of a batch lie in many of them.
const SESSIONS: usize = 32;
/// Refreshes of each session.
const TURNS: usize = 3;

/// The clients begin their sessions, at once.
async fn log_in(cluster: &Arc<Cluster>, node: &Arc<Service>) -> Vec<Vec<String>> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (cluster, node) = (Arc::clone(cluster), Arc::clone(node));
        clients.spawn(async move {
            let mut tokens = Vec::with_capacity(SESSIONS);
            for session in 0..SESSIONS {
                tokens.push(cluster.session(&node, &format!("u-{client}-{session}")).await);
            }
            tokens
        });
    }
    clients.join_all().await
}

/// The clients refresh their sessions in turn, at once.
async fn refresh(node: &Arc<Service>, clients: Vec<Vec<String>>) {
    let mut refreshing = JoinSet::new();
    for mut tokens in clients {
        let node = Arc::clone(node);
        refreshing.spawn(async move {
            for _ in 0..TURNS {
                for token in &mut tokens {
                    *token = node.refresh(token).await.unwrap().ok().text("refresh_token");
                }
            }
        });
    }
    refreshing.join_all().await;
}

/// Prints the work of each call; its flushes, and its statements on sessions: the others, which a node makes every
/// second, are fewer for each call on a quicker machine.
#[allow(clippy::cast_precision_loss, reason = "counts of thousands")]
fn show(what: &str, calls: usize, work: &Work, took: Duration, cpu: Duration) -> [f64; 2] {
    let each = |count: f64| count / calls as f64;
    println!(
        "{calls} {what} of {CLIENTS} clients in {took:.1?}; each {:.3} flushes, {:.3} statements ({:.3} on sessions), {:.3} writes and {:.0} \
         bytes of the log, {:.3} pages, {:.0} µs of the database's CPU",
        each(work.flushes),
        each(work.statements),
        each(work.of_sessions),
        each(work.log_writes),
        each(work.log_bytes),
        each(work.pages),
        each(cpu.as_secs_f64() * 1e6),
    );
    [each(work.flushes), each(work.of_sessions)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn many_refreshes_share_a_flush_and_a_statement() {
    measured(count_the_work).await;
}

async fn count_the_work() -> Result<(), String> {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE store");
    let cluster = Arc::new(Cluster::on(&server.url("store"), "").await);
    let before = count_anew(&server);
    let (node, begun) = (Arc::new(cluster.node()), Instant::now());
    let tokens = log_in(&cluster, &node).await;
    let took = begun.elapsed();
    stop(node);
    show("logins", CLIENTS * SESSIONS, &server.work("store"), took, server.cpu().saturating_sub(before));

    let before = count_anew(&server);
    let (node, begun) = (Arc::new(cluster.node()), Instant::now());
    refresh(&node, tokens).await;
    let took = begun.elapsed();
    stop(node);
    let work = server.work("store");
    let each = show("refreshes", CLIENTS * SESSIONS * TURNS, &work, took, server.cpu().saturating_sub(before));
    println!("{} of {} updates touched no index", work.hot_updates, work.updates);
    assert!(work.updates >= 1000.0 && work.hot_updates / work.updates >= 0.95, "{work:?}");
    // Refreshes that come one after another, because the clients get no processor, share nothing.
    if each.iter().all(|count| *count <= 0.2) { Ok(()) } else { Err(format!("flushes and statements each: {each:?}")) }
}

/// Begins to count the server's work anew; its CPU time until now.
fn count_anew(server: &Server) -> Duration {
    server.count_anew("store");
    server.cpu()
}

/// Ends the node, and with it its connections: their counts are complete then.
fn stop(node: Arc<Service>) {
    let (status, _, log) = Arc::into_inner(node).unwrap().stop();
    assert!(status.success(), "{log}");
}
