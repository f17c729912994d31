//! The work of the database for a refresh: flushes of its log, statements, and updates that touch no index.

use std::{sync::Arc, time::Instant};

use tokio::task::JoinSet;

use crate::support::{cluster::Cluster, postgres::Server, service::Service};

const CLIENTS: usize = 64;
/// Sessions of each client: enough pages, that the rows of a batch lie in many of them.
const SESSIONS: usize = 32;
/// Refreshes of each session.
const TURNS: usize = 3;

/// Counts of the whole server.
struct Work {
    flushes: f64,
    statements: f64,
}

/// Begins to count anew. Nobody is connected, so that no process has counts to add later.
fn count_anew(server: &Server) {
    server.sql("postgres", "SELECT pg_stat_statements_reset(), pg_stat_reset_shared('wal')");
    server.sql("store", "SELECT pg_stat_reset()");
}

fn work(server: &Server) -> Work {
    let number = |sql: &str| server.sql("postgres", sql).trim().parse().unwrap();
    let statements = "SELECT sum(calls) FROM pg_stat_statements
                      JOIN pg_database ON pg_database.oid = dbid WHERE datname = 'store'";
    Work { flushes: number("SELECT wal_sync FROM pg_stat_wal"), statements: number(statements) }
}

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

#[allow(clippy::cast_precision_loss, reason = "counts of thousands")]
fn show(what: &str, calls: usize, work: &Work, begun: Instant) -> [f64; 2] {
    let (flushes, statements) = (work.flushes / calls as f64, work.statements / calls as f64);
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{calls} {what} of {CLIENTS} clients in {took:.1} s: {flushes:.3} flushes and {statements:.3} statements each"
    );
    [flushes, statements]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn many_refreshes_share_a_flush_and_a_statement() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE store; CREATE EXTENSION pg_stat_statements");
    let cluster = Arc::new(Cluster::on(&server.url("store"), "").await);
    count_anew(&server);
    let (node, begun) = (Arc::new(cluster.node()), Instant::now());
    let tokens = log_in(&cluster, &node).await;
    stop(node);
    show("logins", CLIENTS * SESSIONS, &work(&server), begun);

    count_anew(&server);
    let (node, begun) = (Arc::new(cluster.node()), Instant::now());
    refresh(&node, tokens).await;
    stop(node);
    let each = show("refreshes", CLIENTS * SESSIONS * TURNS, &work(&server), begun);
    assert!(each.iter().all(|count| *count <= 0.2), "{each:?}");

    let updates = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
                   WHERE schemaname = 'countersign' AND relname = 'sessions'";
    let updates = server.sql("store", updates);
    let (all, hot) = updates.trim().split_once('|').unwrap();
    let (all, hot): (f64, f64) = (all.parse().unwrap(), hot.parse().unwrap());
    println!("{hot} of {all} updates touched no index");
    assert!(all >= 1000.0 && hot / all >= 0.95, "{hot} of {all}");
}

/// Ends the node, and with it its connections: their counts are complete then.
fn stop(node: Arc<Service>) {
    let (status, _, log) = Arc::into_inner(node).unwrap().stop();
    assert!(status.success(), "{log}");
}
