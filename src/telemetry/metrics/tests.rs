//! Dashboards and alerts depend on the exposition: its names, types, units, help, buckets and order must not change.

use super::*;
use crate::telemetry::Condition;

/// Every line that describes a metric, in the order of `/metrics`.
const DESCRIPTIONS: &str = "\
# HELP countersign_mints Tokens minted at login.
# TYPE countersign_mints counter
# HELP countersign_refreshes Refreshes by decision.
# TYPE countersign_refreshes counter
# HELP countersign_refused_tokens Requests for a token of an app that were refused or could not be answered.
# TYPE countersign_refused_tokens counter
# HELP countersign_refusals Requests refused, by problem code.
# TYPE countersign_refusals counter
# HELP countersign_reported_failures Failures that apps reported, by app, Braze's code and cause.
# TYPE countersign_reported_failures counter
# HELP countersign_webhook_events Events about failures for the webhook, by result.
# TYPE countersign_webhook_events counter
# HELP countersign_alarms Things an operator should know of.
# TYPE countersign_alarms counter
# HELP countersign_condition_failed 1 while a condition of /readyz does not hold, else 0.
# TYPE countersign_condition_failed gauge
# HELP countersign_sign_seconds One signature.
# TYPE countersign_sign_seconds histogram
# UNIT countersign_sign_seconds seconds
# HELP countersign_sign_queue_seconds Waiting for a signature's turn.
# TYPE countersign_sign_queue_seconds histogram
# UNIT countersign_sign_queue_seconds seconds
# HELP countersign_sign_queue_length Signatures that wait now.
# TYPE countersign_sign_queue_length gauge
# HELP countersign_sign_together Signatures that were computed together.
# TYPE countersign_sign_together histogram
# HELP countersign_signature_faults Signatures that came out wrong and were thrown away.
# TYPE countersign_signature_faults counter
# HELP countersign_signature_cost_seconds Processor time of a signature as measured when the key was loaded, by key and library.
# TYPE countersign_signature_cost_seconds gauge
# UNIT countersign_signature_cost_seconds seconds
# HELP countersign_shed Requests refused because too many signatures waited.
# TYPE countersign_shed counter
# HELP countersign_store_seconds The store, by kind of work.
# TYPE countersign_store_seconds histogram
# UNIT countersign_store_seconds seconds
# HELP countersign_store_outage_seconds Time for which the store has been out of reach; 0 while it is not.
# TYPE countersign_store_outage_seconds gauge
# UNIT countersign_store_outage_seconds seconds
# HELP countersign_degraded_answers Tokens issued while the store was out of reach, by operation.
# TYPE countersign_degraded_answers counter
# HELP countersign_revocation_staleness_seconds Time since the last complete look at what has ended.
# TYPE countersign_revocation_staleness_seconds gauge
# UNIT countersign_revocation_staleness_seconds seconds
# HELP countersign_ended_sessions_memory_bytes Memory for what has ended, as reckoned.
# TYPE countersign_ended_sessions_memory_bytes gauge
# UNIT countersign_ended_sessions_memory_bytes bytes
# HELP countersign_ended_sessions_covered 1 where all that has ended is in memory, 0 where older sessions are not.
# TYPE countersign_ended_sessions_covered gauge
# HELP countersign_store_commit_group Writes that shared one commit.
# TYPE countersign_store_commit_group histogram
# HELP countersign_sessions_live Live sessions, counted now and then.
# TYPE countersign_sessions_live gauge
# HELP countersign_sessions_evicted Live sessions ended because their user began too many newer ones.
# TYPE countersign_sessions_evicted counter
# HELP countersign_key_age_seconds Since the key came into its state.
# TYPE countersign_key_age_seconds gauge
# UNIT countersign_key_age_seconds seconds
# HELP countersign_braze_drift What is not as it should be at Braze, by kind, at the last look.
# TYPE countersign_braze_drift gauge
# HELP countersign_connections Open connections on the public listener.
# TYPE countersign_connections gauge
# HELP countersign_connections_refused Connections closed at a cap.
# TYPE countersign_connections_refused counter
# HELP countersign_http_requests Requests on the public listener, by matched route, method and status.
# TYPE countersign_http_requests counter
# HELP countersign_http_request_seconds Requests on the public listener, from their headers to their answer, by matched route.
# TYPE countersign_http_request_seconds histogram
# UNIT countersign_http_request_seconds seconds
# HELP countersign_log_lines_dropped Log lines that could not be written.
# TYPE countersign_log_lines_dropped counter
# HELP countersign_build This build.
# TYPE countersign_build info
# EOF";

/// Metrics that each have a series: a family without one is not described.
fn with_every_series() -> Arc<Metrics> {
    let metrics = Metrics::new();
    metrics.minted("web");
    metrics.refreshed("web", "rotate");
    metrics.token_refused("web");
    metrics.refused("forbidden");
    metrics.failure_reported("web", "22", "expired_offline");
    metrics.unauthenticated_failure_reported();
    metrics.webhook_event("dropped");
    for work in [StoreWork::Read, StoreWork::Write, StoreWork::Checkpoint] {
        metrics.store_worked(work, Duration::from_millis(1));
    }
    metrics.answered_degraded("web", "refresh");
    metrics.live_sessions("web", 3);
    metrics.sessions_evicted("web", 2);
    metrics.keys(std::iter::once(("main".to_owned(), "kid".to_owned(), "active", Duration::from_secs(7))));
    metrics.signature_costs([("gone".to_owned(), "aws-lc-rs".to_owned(), Duration::from_micros(1))].into_iter());
    metrics.signature_costs([("kid".to_owned(), "aws-lc-rs".to_owned(), Duration::from_micros(250))].into_iter());
    for ring in ["dropped", "main"] {
        metrics.drift(ring, [("unknown_key", 1)]);
    }
    metrics.forget_drift("dropped", &["unknown_key"]);
    metrics.conditions(&[Condition::shared("ring gone", None)]);
    metrics
        .conditions(&[Condition::required("clock", Some("it is wrong".to_owned())), Condition::shared("store", None)]);
    metrics.request("/v1/token/generate", "POST", 200, Duration::from_millis(1));
    metrics
}

/// Lines of series without `_bucket` lines, sorted: families are hash maps.
fn series(exposition: &str) -> Vec<&str> {
    let ours = |line: &&str| line.starts_with("countersign_") && !line.contains("_bucket{");
    let lines = exposition.lines().filter(ours);
    let mut series: Vec<&str> = lines.collect();
    series.sort_unstable();
    series
}

/// The upper bounds of a histogram's buckets, in their order.
fn bounds<'a>(exposition: &'a str, histogram: &str) -> Vec<&'a str> {
    let bucket = format!("countersign_{histogram}_bucket{{le=\"");
    exposition.lines().filter_map(|line| line.strip_prefix(&bucket)?.split('"').next()).collect()
}

#[test]
fn every_metric_is_described_as_dashboards_know_it() {
    let exposition = with_every_series().encode();
    let ours = |line: &&str| line.starts_with('#') && !line.contains(" process_");
    let described: Vec<&str> = exposition.lines().filter(ours).collect();
    assert_eq!(described.join("\n"), DESCRIPTIONS);
}

#[test]
fn every_series_has_its_labels_and_every_alarm_is_there_from_the_start() {
    let version = format!("countersign_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    let mut expected = vec![
        r#"countersign_alarms_total{kind="audit"} 0"#,
        r#"countersign_alarms_total{kind="clock"} 0"#,
        r#"countersign_alarms_total{kind="drift"} 0"#,
        r#"countersign_alarms_total{kind="key"} 0"#,
        r#"countersign_alarms_total{kind="panic"} 0"#,
        r#"countersign_alarms_total{kind="reload"} 0"#,
        r#"countersign_alarms_total{kind="reuse"} 0"#,
        r#"countersign_alarms_total{kind="signature_faults"} 0"#,
        r#"countersign_alarms_total{kind="store"} 0"#,
        r#"countersign_alarms_total{kind="store_lost_writes"} 0"#,
        r#"countersign_alarms_total{kind="task"} 0"#,
        r#"countersign_braze_drift{ring="main",kind="unknown_key"} 1"#,
        &version,
        r#"countersign_condition_failed{condition="clock"} 1"#,
        r#"countersign_condition_failed{condition="store"} 0"#,
        "countersign_connections 0",
        "countersign_connections_refused_total 0",
        r#"countersign_degraded_answers_total{app="web",operation="refresh"} 1"#,
        "countersign_ended_sessions_covered 0",
        "countersign_ended_sessions_memory_bytes 0",
        r#"countersign_http_request_seconds_count{route="/v1/token/generate"} 1"#,
        r#"countersign_http_request_seconds_sum{route="/v1/token/generate"} 0.001"#,
        r#"countersign_http_requests_total{route="/v1/token/generate",method="POST",status="200"} 1"#,
        r#"countersign_key_age_seconds{ring="main",kid="kid",state="active"} 7"#,
        "countersign_log_lines_dropped_total 0",
        r#"countersign_mints_total{app="web"} 1"#,
        r#"countersign_refreshes_total{app="web",decision="rotate"} 1"#,
        r#"countersign_refused_tokens_total{app="web"} 1"#,
        r#"countersign_refusals_total{code="forbidden"} 1"#,
        r#"countersign_reported_failures_total{app="",code="unauthenticated",cause="unauthenticated"} 1"#,
        r#"countersign_reported_failures_total{app="web",code="22",cause="expired_offline"} 1"#,
        "countersign_revocation_staleness_seconds 0",
        r#"countersign_sessions_evicted_total{app="web"} 2"#,
        r#"countersign_sessions_live{app="web"} 3"#,
        "countersign_shed_total 0",
        "countersign_sign_queue_length 0",
        "countersign_sign_queue_seconds_count 0",
        "countersign_sign_queue_seconds_sum 0.0",
        "countersign_sign_seconds_count 0",
        "countersign_sign_seconds_sum 0.0",
        "countersign_sign_together_count 0",
        "countersign_sign_together_sum 0.0",
        r#"countersign_signature_cost_seconds{kid="kid",library="aws-lc-rs"} 0.00025"#,
        "countersign_signature_faults_total 0",
        "countersign_store_outage_seconds 0",
        "countersign_store_commit_group_count 0",
        "countersign_store_commit_group_sum 0.0",
        r#"countersign_webhook_events_total{result="dropped"} 1"#,
    ];
    let store = ["checkpoint", "read", "write"].map(|work| {
        let name = "countersign_store_seconds";
        [format!("{name}_count{{work=\"{work}\"}} 1"), format!("{name}_sum{{work=\"{work}\"}} 0.001")]
    });
    expected.extend(store.as_flattened().iter().map(String::as_str));
    expected.sort_unstable();
    assert_eq!(series(&with_every_series().encode()), expected);
}

#[test]
fn every_histogram_has_its_buckets() {
    let exposition = with_every_series().encode();
    let times = bounds(&exposition, "sign_seconds");
    assert_eq!((times.len(), times[0], times[17], times[18]), (19, "0.00001", "1.31072", "+Inf"));
    assert_eq!(bounds(&exposition, "sign_queue_seconds"), times);
    // One series for each kind of work.
    assert_eq!(bounds(&exposition, "store_seconds"), [times.clone(), times.clone(), times].concat());
    let requests = exposition.lines().filter(|line| line.starts_with("countersign_http_request_seconds_bucket{"));
    let requests: Vec<&str> = requests.collect();
    assert!(requests.len() == 19 && requests[0].starts_with(r#"countersign_http_request_seconds_bucket{le="0.0001","#));
    assert!(requests[17].contains(r#"le="13.1072","#), "{requests:?}");
    assert_eq!(bounds(&exposition, "sign_together"), ["1.0", "2.0", "4.0", "8.0", "+Inf"]);
    assert_eq!(
        bounds(&exposition, "store_commit_group"),
        ["1.0", "2.0", "4.0", "8.0", "16.0", "32.0", "64.0", "128.0", "256.0", "512.0", "+Inf"]
    );
}

/// Prometheus' text format has a type for each series by its whole name, and neither units nor an end.
#[test]
fn the_text_format_has_the_same_series() {
    let metrics = with_every_series();
    let (open, text) = (metrics.encode(), metrics.encode_prometheus_text());
    assert_eq!(series(&text), series(&open));
    assert!(text.contains("# TYPE countersign_mints_total counter\n"), "{text}");
    assert!(text.contains("# TYPE countersign_build_info gauge\n"), "{text}");
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_has_the_metrics_that_every_process_has() {
    let metrics = Metrics::new();
    let value = |name: &str| -> f64 {
        let text = metrics.encode_prometheus_text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.expect(name).parse().unwrap()
    };
    let started = value("process_start_time_seconds");
    let booted = Duration::from_secs(procfs::boot_time_secs().unwrap()).as_secs_f64();
    assert!(started > booted && (started - value("process_start_time_seconds")).abs() < f64::EPSILON, "{started}");
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_max_fds") > 0.0);
    let before = value("process_open_fds");
    let files = [(); 50].map(|()| std::fs::File::open("/dev/null").unwrap());
    // Other tests of this process open and close files too.
    assert!(value("process_open_fds") > before + 10.0);
    drop(files);
    for name in
        ["# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n", "# TYPE process_open_fds gauge\n"]
    {
        assert!(metrics.encode().contains(name), "{}", metrics.encode());
    }
}
