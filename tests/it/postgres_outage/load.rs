//! The database is gone, or hangs, under load.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{cluster, followed, metric, metrics, outage, revoke, store_condition};
use crate::support::{
    devices::{Devices, Sample, last_degraded, logins_and_refreshes, p99},
    service::Service,
};

const DEVICES: usize = 16;
/// Time of normal work before and after an outage.
const NORMAL: Duration = Duration::from_secs(10);

/// What devices must have seen: every login and refresh was answered, degraded during the outage only. Returns how long
/// after the database was back degraded answers came.
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
        let in_time = sample.answered() >= begun && sample.asked < over + Duration::from_secs(5);
        let after = sample.asked.saturating_duration_since(begun);
        assert!(sample.status == 200 || sample.status == 503 && in_time, "{after:?} after the beginning: {sample:?}");
    }
    assert!(logins_and_refreshes(samples).all(|sample| !sample.degraded || sample.answered() >= begun));
    let recovery = last_degraded(samples).unwrap().saturating_duration_since(over);
    assert!(recovery < Duration::from_secs(5), "degraded answers came for {recovery:?} after it");
    recovery
}

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

async fn check_metrics_during(nodes: &[Service], since: Duration) {
    for node in nodes {
        let metrics = metrics(node).await;
        let value = |name: &str| metrics.get(name).copied().unwrap_or_default();
        let lasted = value("countersign_store_outage_seconds");
        assert!(lasted > 0.0 && lasted <= since.as_secs_f64() + 2.0, "{lasted} s of {since:?}");
        assert!(value("countersign_revocation_staleness_seconds") + 3.0 >= lasted, "{metrics:?}");
        for operation in ["mint", "refresh"] {
            let name = format!("countersign_degraded_answers_total{{app=\"web\",operation=\"{operation}\"}}");
            assert!(value(&name) > 0.0, "{name}: {metrics:?}");
        }
        assert_eq!(value("countersign_alarms_total{kind=\"store\"}"), 1.0);
        let condition = store_condition(node).await;
        assert!(condition["ok"] == false && condition["required"] == false, "{condition}");
        assert!(condition["reason"].as_str().unwrap().contains("does not answer"), "{condition}");
    }
}

async fn check_metrics_after(nodes: &[Service]) {
    for node in nodes {
        followed(node).await;
        assert_eq!(metric(node, "countersign_store_outage_seconds").await, 0.0);
        for kind in ["reuse", "store_lost_writes", "panic"] {
            assert_eq!(metric(node, &format!("countersign_alarms_total{{kind=\"{kind}\"}}")).await, 0.0, "{kind}");
        }
        assert_eq!(store_condition(node).await["ok"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_database_that_is_gone_is_noticed_by_no_honest_client() {
    let (server, cluster) = cluster("5s").await;
    let nodes = [cluster.node(), cluster.node()];
    let ended = cluster.session(&nodes[0], "u-ended").await;
    revoke(&nodes[0], &ended).await.ok();
    for node in &nodes {
        followed(node).await;
    }
    let urls = nodes.iter().map(|node| node.url.clone()).collect::<Vec<_>>();
    let devices = Devices::start(DEVICES, &urls, &cluster.api_key);
    sleep(NORMAL).await;

    let begun = Instant::now();
    tokio::task::block_in_place(|| server.crash());
    let gone = Instant::now();
    sleep(outage() / 2).await;
    check_metrics_during(&nodes, gone.elapsed()).await;
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
    let lost = between(&samples, gone + Duration::from_secs(2), back).filter(|sample| !sample.degraded);
    assert_eq!(lost.count(), 0, "answers without a store are degraded");
    assert!(p99(degraded) <= p99(normal) * 2, "a degraded answer takes no longer than twice another");
}

/// A server that hangs costs one time-out for all, not one for each request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_database_that_hangs_costs_one_time_out() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (server, cluster) = cluster("2s").await;
    let nodes = [cluster.node(), cluster.node()];
    for node in &nodes {
        followed(node).await;
    }
    let urls = nodes.iter().map(|node| node.url.clone()).collect::<Vec<_>>();
    let devices = Devices::start(DEVICES, &urls, &cluster.api_key);
    sleep(NORMAL / 2).await;
    let begun = Instant::now();
    let hanging = server.hang();
    sleep(TIMEOUT * 4).await;
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
    let later = later.map(|sample| sample.took).max().expect("devices ask during the outage");
    println!(
        "hanging for {:?}: longest at first {first:?}, later {later:?}; degraded for {recovery:?} after it",
        over - begun
    );
    assert!(first < TIMEOUT + Duration::from_secs(1), "{first:?}");
    assert!(later < TIMEOUT / 2, "each waits anew: {later:?}");
}
