//! Counts of failures that apps report.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence, FailureExample, FailureKey, Platform, ReportedCode, SdkVersion},
        ids::Kid,
        key::KeyState,
        session_sketch::SessionSketch,
        verdict::ErrorCode,
    },
    store::{
        CountSpan, FailureBatch, FailureCount, ServiceEvent, ServiceEventKind, Store, StoredExample, VERSIONS_KEPT,
    },
};

use super::{Engine, T, app, at_day, at_min};

/// The beginning of the minute, and of the hour, of `T`.
const MINUTE: UnixMillis = UnixMillis(T.0 - T.0.rem_euclid(60_000));
const HOUR: UnixMillis = UnixMillis(T.0 - T.0.rem_euclid(3_600_000));

fn key(platform: Platform, kid: Option<u8>) -> FailureKey {
    FailureKey {
        app: app("web"),
        platform,
        code: ReportedCode::Braze(ErrorCode::NoMatchingPublicKeys),
        cause: Cause::KeyNotPublished,
        kid: kid.map(|n| Kid::from_thumbprint(&[n; 32])),
    }
}

fn sketch(hashes: impl IntoIterator<Item = u64>) -> SessionSketch {
    let mut sketch = SessionSketch::default();
    hashes.into_iter().for_each(|hash| sketch.add(hash));
    sketch
}

fn count(since: UnixMillis, key: FailureKey, reports: u64, sessions: SessionSketch) -> FailureCount {
    FailureCount { span: CountSpan::Minute, since, key, reports, sessions }
}

async fn add(store: &Arc<dyn Store>, counts: &[FailureCount]) {
    store.add_failures(T, FailureBatch { counts: counts.to_vec(), ..FailureBatch::default() }).await.unwrap();
}

async fn all(store: &Arc<dyn Store>) -> Vec<FailureCount> {
    let mut found = store.failures_since(UnixMillis(0)).await.unwrap();
    found.sort_by(|a, b| (a.since, &a.key).cmp(&(b.since, &b.key)));
    found
}

/// Two nodes count the same minute; every bit of a sketch goes through the store.
pub(super) async fn counts_add_up_and_sketches_merge(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let (web, none) = (key(Platform::Web, Some(1)), key(Platform::Other, None));
    let (odd, even) = (sketch((0..512).map(|n| 2 * n + 1)), sketch((0..512).map(|n| 2 * n)));
    add(&store, &[count(MINUTE, web.clone(), 3, odd), count(MINUTE, none.clone(), 1, sketch([7]))]).await;
    add(&other, &[count(MINUTE, web.clone(), 4, even), count(at_min(2), web.clone(), 1, sketch([1]))]).await;
    let expected = [
        count(MINUTE, web.clone(), 7, sketch(0..1024)),
        count(MINUTE, none, 1, sketch([7])),
        count(at_min(2), web.clone(), 1, sketch([1])),
    ];
    assert_eq!(all(&store).await, expected);
    assert_eq!(store.failures_since(at_min(1)).await.unwrap(), expected[2..]);
    add(&store, &[]).await;
    assert_eq!(all(&other).await, expected);
}

pub(super) async fn the_latest_example_stays(engine: &dyn Engine) {
    let store = engine.open();
    let example = |at, platform, age| StoredExample {
        at,
        key: key(platform, Some(1)),
        confidence: Confidence::High,
        example: FailureExample {
            keys: vec![
                (Kid::from_thumbprint(&[1; 32]), KeyState::Active),
                (Kid::from_thumbprint(&[2; 32]), KeyState::Retiring),
            ],
            issue_to_end: Some(3600),
            issue_to_report: age,
        },
    };
    let (first, last) = (example(T, Platform::Web, None), example(at_min(5), Platform::Ios, Some(-7)));
    let (_, early) = (&first, example(at_min(1), Platform::Unity, Some(1)));
    for one in [&first, &last, &early] {
        store.add_failures(T, FailureBatch { examples: vec![one.clone()], ..FailureBatch::default() }).await.unwrap();
    }
    assert_eq!(store.failure_examples().await.unwrap(), [last]);
}

pub(super) async fn the_versions_of_most_sessions_stay(engine: &dyn Engine) {
    let store = engine.open();
    let version = |n: u64| -> SdkVersion { format!("{n}.0").parse().unwrap() };
    let many = (0..VERSIONS_KEPT as u64).map(|n| (version(n), sketch([n, n + 100]))).collect();
    store.add_failures(T, FailureBatch { versions: many, ..FailureBatch::default() }).await.unwrap();
    // Versions that one session invents replace none that more report with.
    let invented = (1000..1200).map(|n| (version(n), sketch([5]))).collect();
    store.add_failures(at_min(1), FailureBatch { versions: invented, ..FailureBatch::default() }).await.unwrap();
    let found = store.failure_versions().await.unwrap();
    assert_eq!(found.len(), VERSIONS_KEPT);
    assert!(found.iter().all(|one| one.sessions.estimate() == 2 && one.seen == T), "{found:?}");
    let more = vec![(version(77), sketch([1, 2, 3])), (version(0), sketch([900]))];
    store.add_failures(at_min(2), FailureBatch { versions: more, ..FailureBatch::default() }).await.unwrap();
    let found = store.failure_versions().await.unwrap();
    let of = |n: u64| found.iter().find(|one| one.version == version(n)).map(|one| one.sessions);
    assert_eq!((found.len(), of(77)), (VERSIONS_KEPT, Some(sketch([1, 2, 3]))));
    assert_eq!(of(0), Some(sketch([0, 100, 900])));
}

pub(super) async fn minutes_roll_up_into_hours(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let (web, ios) = (key(Platform::Web, Some(1)), key(Platform::Ios, None));
    let minute = |n: u64| HOUR.plus(Duration::from_mins(n));
    for n in 0..70 {
        add(&store, &[count(minute(n), web.clone(), 1, sketch([n]))]).await;
    }
    add(&store, &[count(minute(3), ios.clone(), 2, sketch([1]))]).await;
    store.roll_up_failures(minute(60)).await.unwrap();
    assert_eq!(all(&store).await.len(), 71, "the hour is kept by the minute for a day");
    let (one, two) = tokio::join!(store.roll_up_failures(minute(26 * 60)), other.roll_up_failures(minute(26 * 60)));
    one.and(two).unwrap();
    let found = all(&store).await;
    let of_hour =
        |key, reports, sessions| FailureCount { span: CountSpan::Hour, ..count(HOUR, key, reports, sessions) };
    assert_eq!(found[..2], [of_hour(web.clone(), 60, sketch(0..60)), of_hour(ios, 2, sketch([1]))]);
    assert_eq!(found.len(), 12);
    // Counts that waited for the store join the hour that is there.
    add(&store, &[count(minute(4), web.clone(), 5, sketch([500]))]).await;
    other.roll_up_failures(minute(26 * 60)).await.unwrap();
    let of_hour = store.failures_since(minute(59)).await.unwrap();
    let hour = of_hour.iter().find(|count| count.since == HOUR && count.key == web).unwrap();
    assert_eq!((hour.reports, hour.sessions), (65, sketch((0..60).chain([500]))));
    assert!(store.failures_since(minute(60)).await.unwrap().iter().all(|count| count.since >= minute(60)));
}

pub(super) async fn old_counts_are_purged(engine: &dyn Engine) {
    let store = engine.open();
    add(&store, &[count(MINUTE, key(Platform::Web, None), 1, sketch([1]))]).await;
    store.roll_up_failures(at_day(89)).await.unwrap();
    assert_eq!(all(&store).await.len(), 1);
    store.roll_up_failures(at_day(91)).await.unwrap();
    assert_eq!(all(&store).await, []);
}

pub(super) async fn one_node_claims_an_event(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let claim = async |now| {
        let claims = (0..10).map(|n| {
            let store = Arc::clone(&stores[n % 2]);
            tokio::spawn(async move { store.claim_failure_alert(Cause::Unknown, now).await.unwrap() })
        });
        let mut won = 0;
        for claim in claims.collect::<Vec<_>>() {
            won += u32::from(claim.await.unwrap());
        }
        won
    };
    assert_eq!(claim(T).await, 1);
    assert_eq!(claim(at_min(14)).await, 0);
    assert!(stores[0].claim_failure_alert(Cause::MixedBatch, at_min(14)).await.unwrap());
    assert_eq!(claim(at_min(15)).await, 1);
}

pub(super) async fn starts_and_reloads_are_listed(engine: &dyn Engine) {
    let store = engine.open();
    let event =
        |n: u64, kind| ServiceEvent { at: at_min(n), node: "node-1".to_owned(), kind, version: "0.1.0".to_owned() };
    let (start, reload) = (event(0, ServiceEventKind::Started), event(5, ServiceEventKind::Reloaded));
    for one in [&reload, &start, &start] {
        store.record_service_event(one.clone()).await.unwrap();
    }
    assert_eq!(store.service_events(T).await.unwrap(), [start, reload.clone()]);
    assert_eq!(store.service_events(at_min(1)).await.unwrap(), [reload]);
    // A process that restarts again and again fills no store.
    for n in 10..1_030 {
        store.record_service_event(event(n, ServiceEventKind::Started)).await.unwrap();
    }
    let found = store.service_events(T).await.unwrap();
    assert_eq!((found.len(), found[0].at), (1000, at_min(30)));
}

pub(super) async fn failures_survive_a_restart_and_a_backup(engine: &dyn Engine) {
    let counts = [count(MINUTE, key(Platform::Android, Some(3)), 2, sketch([9, 10]))];
    let store = engine.open();
    add(&store, &counts).await;
    engine.back_up(&store).await;
    drop(store);
    assert_eq!(all(&engine.open()).await, counts);
    assert_eq!(all(&engine.open_backup()).await, counts);
}
