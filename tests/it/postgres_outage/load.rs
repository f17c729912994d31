//! The database is gone, or hangs, under load.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{cluster, followed, metric, metrics, outage, revoke, started, store_condition};
use crate::support::{
    devices::{Devices, Sample, last_degraded, logins_and_refreshes, p99},
    measured,
    service::Service,
};

const DEVICES: usize = 16;
/// Time of normal work before and after an outage.
const NORMAL: Duration = Duration::from_secs(10);

/// What devices must have seen: every login and refresh was answered, degraded during the outage only, and revocations were
/// refused during it only. Returns how long after the database was back degraded answers and refusals came.
fn check(samples: &[Sample], begun: Instant, over: Instant) -> Duration {
    for sample in logins_and_refreshes(samples) {
        assert_eq!(
            sample.status,
            200,
            "{:?} after the beginning: {sample:?}",
            sample.asked.saturating_duration_since(begun)
        );
    }
    for sample in samples.iter().filter(|sample| sample.verb == "revoke") {
        let after = sample.asked.saturating_duration_since(begun);
        let is_refused = sample.status == 503 && sample.answered() >= begun;
        assert!(sample.status == 200 || is_refused, "{after:?} after the beginning: {sample:?}");
    }
    assert!(logins_and_refreshes(samples).all(|sample| !sample.degraded || sample.answered() >= begun));
    let refused = samples.iter().filter(|sample| sample.status == 503).map(|sample| sample.asked);
    let last = refused.chain(last_degraded(samples)).max().expect("the outage was noticed");
    last.saturating_duration_since(over)
}

/// An error where this takes longer than it should.
fn at_most(what: &str, took: Duration, limit: Duration) -> Result<(), String> {
    if took <= limit { Ok(()) } else { Err(format!("{what}: {took:?}, more than {limit:?}")) }
}

/// Longest time after which nothing that a client sees comes from an outage that is over.
const RECOVERY: Duration = Duration::from_secs(5);

/// Samples of logins and refreshes that were asked between these times.
fn between(samples: &[Sample], from: Instant, to: Instant) -> impl Iterator<Item = &Sample> + Clone {
    logins_and_refreshes(samples).filter(move |sample| sample.asked >= from && sample.asked < to)
}

/// Longest answer to a login or refresh that was under way or asked between these times. What was under way counts: when
/// a database hangs, all devices may be waiting for it.
fn longest(samples: &[Sample], from: Instant, to: Instant) -> Duration {
    let under_way = logins_and_refreshes(samples).filter(|sample| sample.answered() >= from && sample.asked < to);
    under_way.map(|sample| sample.took).max().unwrap_or_default()
}

async fn check_metrics_during(nodes: &[Service], since: Instant) {
    for node in nodes {
        crate::cli::eventually(async || store_condition(node).await["ok"] == false).await;
        let (metrics, since) = (metrics(node).await, since.elapsed());
        let value = |name: &str| metrics.get(name).copied().unwrap_or_default();
        let lasted = value("countersign_store_outage_seconds");
        assert!(lasted > 0.0 && lasted <= since.as_secs_f64() + 5.0, "{lasted} s of {since:?}");
        assert!(value("countersign_revocation_staleness_seconds") + 10.0 >= lasted, "{metrics:?}");
        for operation in ["mint", "refresh"] {
            let name = format!("countersign_degraded_answers_total{{app=\"web\",operation=\"{operation}\"}}");
            // The devices go on meanwhile.
            crate::cli::eventually(async || metric(node, &name).await > 0.0).await;
        }
        assert_eq!(value("countersign_alarms_total{kind=\"store\"}"), 1.0);
        let condition = store_condition(node).await;
        assert!(condition["ok"] == false && condition["required"] == false, "{condition}");
        assert!(condition["reason"].as_str().unwrap().contains("does not answer"), "{condition}");
    }
}

async fn check_metrics_after(nodes: &[Service]) {
    followed(nodes).await;
    for node in nodes {
        assert_eq!(metric(node, "countersign_store_outage_seconds").await, 0.0);
        for kind in ["reuse", "store_lost_writes", "panic"] {
            assert_eq!(metric(node, &format!("countersign_alarms_total{{kind=\"{kind}\"}}")).await, 0.0, "{kind}");
        }
        crate::cli::eventually(async || store_condition(node).await["ok"] == true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_database_that_is_gone_is_noticed_by_no_honest_client() {
    measured(serve_without_a_database).await;
}

async fn serve_without_a_database() -> Result<(), String> {
    let (server, cluster) = cluster("5s").await;
    let nodes = [cluster.node(), cluster.node()];
    let ended = cluster.session(&nodes[0], "u-ended").await;
    revoke(&nodes[0], &ended).await.ok();
    started(&server, &cluster, &nodes).await;
    let urls = nodes.iter().map(|node| node.url.clone()).collect::<Vec<_>>();
    let devices = Devices::start(DEVICES, &urls, &cluster.api_key);
    sleep(NORMAL).await;

    let begun = Instant::now();
    tokio::task::block_in_place(|| server.crash());
    let gone = Instant::now();
    sleep(outage() / 2).await;
    check_metrics_during(&nodes, begun).await;
    for node in &nodes {
        node.refresh(&ended).await.unwrap().problem(401, "invalid_token");
        revoke(node, &ended).await.problem(503, "unavailable");
    }
    sleep(outage().saturating_sub(gone.elapsed())).await;
    let back = Instant::now();
    tokio::task::block_in_place(|| server.resume());
    let over = Instant::now();
    sleep(NORMAL).await;
    let (samples, tokens) = devices.stop().await;
    let recovery = check(&samples, begun, over);

    check_metrics_after(&nodes).await;
    for (n, token) in tokens.iter().enumerate() {
        nodes[n % 2].refresh(token).await.unwrap().ok();
    }
    let degraded = logins_and_refreshes(&samples).filter(|sample| sample.degraded);
    let normal = logins_and_refreshes(&samples).filter(|sample| !sample.degraded);
    println!(
        "outage of {:?}: {} degraded answers (p99 {:?}), {} others (p99 {:?}), longest in its first second {:?}, degraded \
         answers for {recovery:?} after it",
        back - gone,
        degraded.clone().count(),
        p99(degraded.clone()),
        normal.clone().count(),
        p99(normal.clone()),
        longest(&samples, begun, begun + Duration::from_secs(1)),
    );
    let lost = between(&samples, gone, back).filter(|sample| !sample.degraded);
    assert_eq!(lost.count(), 0, "answers without a store are degraded");
    at_most("degraded answers after the outage", recovery, RECOVERY)?;
    at_most("p99 of degraded answers, against twice that of others", p99(degraded), p99(normal) * 2)
}

/// A server that hangs costs one time-out for all, not one for each request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_database_that_hangs_costs_one_time_out() {
    measured(serve_while_the_database_hangs).await;
}

async fn serve_while_the_database_hangs() -> Result<(), String> {
    // So long that a machine with other work does not take its time for an outage before there is one.
    const TIMEOUT: Duration = Duration::from_secs(4);
    let (server, cluster) = cluster("4s").await;
    let nodes = [cluster.node(), cluster.node()];
    started(&server, &cluster, &nodes).await;
    let urls = nodes.iter().map(|node| node.url.clone()).collect::<Vec<_>>();
    let devices = Devices::start(DEVICES, &urls, &cluster.api_key);
    sleep(NORMAL / 2).await;
    let begun = Instant::now();
    let hanging = server.hang();
    sleep(TIMEOUT * 3).await;
    drop(hanging);
    let over = Instant::now();
    sleep(NORMAL).await;
    let (samples, tokens) = devices.stop().await;
    let recovery = check(&samples, begun, over);
    check_metrics_after(&nodes).await;
    for (n, token) in tokens.iter().enumerate() {
        nodes[n % 2].refresh(token).await.unwrap().ok();
    }
    let first = longest(&samples, begun, begun + TIMEOUT);
    let later = between(&samples, begun + TIMEOUT + Duration::from_millis(500), over);
    let later = later.map(|sample| sample.took).max().ok_or("nobody asked during the outage")?;
    println!(
        "hanging for {:?}: longest at first {first:?}, later {later:?}; degraded for {recovery:?} after it",
        over - begun
    );
    at_most("degraded answers after the outage", recovery, RECOVERY)?;
    at_most("the longest answer at first", first, TIMEOUT + Duration::from_secs(1))?;
    at_most("the longest answer later, where none waits anew", later, TIMEOUT / 2)
}
