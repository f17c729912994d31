//! Counts of reported failures: bounded whatever is reported, not lost while the store is away, and counted by session.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence, FailureExample, FailureKey, Platform, ReportedCode, SdkVersion},
        ids::{Kid, SessionId, UserId, UserIdRules},
        session_sketch::SessionSketch,
        verdict::ErrorCode,
    },
    failures::{Counts, EVENT_WINDOW, Report, events},
    store::{Failures, Store},
    telemetry::Metrics,
};
use strum::VariantArray;

use crate::{
    store::{T, app, open_or_create},
    support::switched_store::{Reach, Switch, SwitchedStore},
};

/// Rows that may wait for the store: those of an hour.
const MOST_ROWS: usize = 30_000;

fn session(n: u64) -> SessionId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.to_be_bytes());
    SessionId::new(T, random)
}

fn report(n: u64, platform: Platform, cause: Cause, kid: Option<u64>) -> Report {
    let kid = kid.map(|n| {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        Kid::from_thumbprint(&digest)
    });
    let code = ReportedCode::Braze(ErrorCode::Expired);
    Report {
        key: FailureKey { app: app("web"), platform, code, cause, kid },
        session: session(n),
        user: UserId::parse(&format!("u-{n}"), UserIdRules::default()).unwrap(),
        confidence: Confidence::Likely,
        example: FailureExample { keys: Vec::new(), issue_to_end: Some(3600), issue_to_report: Some(7200) },
        sdk_version: format!("{}.{}", n % 10_000, n % 1_000_000).parse::<SdkVersion>().ok(),
    }
}

fn new_store() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let config =
        countersign::store::Config { path: folder.path().join("s.db"), ..countersign::store::Config::default() };
    let store = open_or_create(&config).unwrap();
    (folder, store)
}

/// Memory of this process in use, in KiB.
fn memory() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Counts this many reports, each of a session, key, version and cause of its own, a thousand a second; nobody takes them.
fn bounded_after(reports: u64) {
    let metrics = Metrics::new();
    let counts = Counts::new(Arc::clone(&metrics));
    let mut after_warm_up = (0, 0);
    for n in 0..reports {
        let now = T.plus(Duration::from_millis(n));
        let cause = Cause::VARIANTS[usize::try_from(n).unwrap() % Cause::VARIANTS.len()];
        let platform = Platform::VARIANTS[usize::try_from(n).unwrap() % Platform::VARIANTS.len()];
        assert!(counts.count(now, report(n, platform, cause, Some(n))));
        if n == reports / 2 {
            after_warm_up = (memory(), metrics.encode().lines().count());
        }
    }
    let (memory_before, series) = after_warm_up;
    assert!(counts.waiting_rows() <= MOST_ROWS, "{}", counts.waiting_rows());
    assert_eq!(metrics.encode().lines().count(), series);
    // Other tests of this process need memory, too.
    assert!(memory() - memory_before < 64 * 1024, "{} KiB", memory() - memory_before);
}

/// `benches/failure_counts.rs` has ten million reports.
#[test]
fn rows_series_and_memory_are_bounded() {
    bounded_after(100_000);
}

/// Beyond five hundred rows of a minute, counts have neither platform nor key, and none is lost.
#[tokio::test]
async fn a_minute_has_five_hundred_rows_at_most() {
    let (_folder, store) = new_store();
    let counts = Counts::new(Metrics::new());
    for n in 0..2_000 {
        assert!(counts.count(T, report(n, Platform::Web, Cause::Unknown, Some(n))));
        if n % 600 == 0 {
            // Rows of the same minute that are in the store already count, too.
            counts.write_to(&*store, T).await.unwrap();
        }
    }
    counts.write_to(&*store, T).await.unwrap();
    let rows = store.failures_since(UnixMillis(0)).await.unwrap();
    assert!(rows.len() <= 500, "{}", rows.len());
    assert_eq!(rows.iter().map(|row| row.reports).sum::<u64>(), 2_000);
    let beyond = rows.iter().find(|row| row.key.kid.is_none()).unwrap();
    assert_eq!(beyond.key.platform, Platform::Other);
}

#[tokio::test]
async fn counts_wait_for_an_hour_and_none_is_lost() {
    let (_folder, store) = new_store();
    let switch = Switch::before(store);
    let switched = SwitchedStore(Arc::clone(&switch));
    let counts = Counts::new(Metrics::new());
    switch.set(Reach::OutOfReach);
    let mut counted = 0;
    for minute in 0..60 {
        let now = T.plus(Duration::from_mins(minute));
        for n in 0..300 {
            counted += u64::from(counts.count(now, report(n, Platform::Web, Cause::ExpiredOffline, Some(n))));
        }
        assert!(counts.write_to(&switched, now).await.is_err());
    }
    assert!(counts.waiting_rows() <= MOST_ROWS, "{}", counts.waiting_rows());
    assert_eq!(counted, 300 * 12, "once in five minutes");
    switch.set(Reach::Reachable);
    counts.write_to(&switched, T.plus(Duration::from_hours(1))).await.unwrap();
    assert_eq!(counts.waiting_rows(), 0);
    let rows = switched.failures_since(UnixMillis(0)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.reports).sum::<u64>(), counted);
    let sketch = rows.iter().fold(SessionSketch::default(), |mut all, row| {
        all.merge(&row.sessions);
        all
    });
    assert!(sketch.estimate().abs_diff(300) < 60, "{}", sketch.estimate());
    assert_eq!(switched.failure_examples().await.unwrap().len(), 1);
    assert_eq!(switched.failure_versions().await.unwrap().len(), 50);
}

/// A hundred sessions at one node and two hundred others at another are three hundred.
#[tokio::test]
async fn sketches_of_two_nodes_merge() {
    let (_folder, store) = new_store();
    for sessions in [0..100, 100..300] {
        let counts = Counts::new(Metrics::new());
        for n in sessions {
            assert!(counts.count(T, report(n, Platform::Ios, Cause::MixedBatch, None)));
        }
        counts.write_to(&*store, T).await.unwrap();
    }
    let rows = store.failures_since(UnixMillis(0)).await.unwrap();
    assert_eq!((rows.len(), rows[0].reports), (1, 300));
    assert!(rows[0].sessions.estimate().abs_diff(300) < 60, "{}", rows[0].sessions.estimate());
}

#[tokio::test]
async fn one_noisy_session_crosses_no_threshold() {
    let (_folder, store) = new_store();
    let counts = Counts::new(Metrics::new());
    let mut counted = 0;
    for second in 0..3_600 {
        let now = T.plus(Duration::from_secs(second));
        counted += u32::from(counts.count(now, report(7, Platform::Web, Cause::Unknown, None)));
    }
    assert_eq!(counted, 12);
    counts.write_to(&*store, T).await.unwrap();
    let now = T.plus(Duration::from_hours(1));
    let found = store.failures_since(now.minus(EVENT_WINDOW)).await.unwrap();
    assert_eq!(events(&found, now, 1).iter().map(|event| event.sessions).collect::<Vec<_>>(), [1]);
    assert_eq!(events(&found, now, 2), []);
}

/// A user may log in as often as the limits of logins let them, 50 sessions at a time.
#[tokio::test]
async fn one_user_with_many_sessions_crosses_no_threshold() {
    let (_folder, store) = new_store();
    let counts = Counts::new(Metrics::new());
    let one = report(0, Platform::Web, Cause::NotOurToken, None);
    for n in 0..500 {
        assert!(counts.count(T, Report { session: session(n), ..one.clone() }));
    }
    counts.write_to(&*store, T).await.unwrap();
    let found = store.failures_since(UnixMillis(0)).await.unwrap();
    assert_eq!(found[0].reports, 500);
    assert_eq!(events(&found, T, 5), []);
}
