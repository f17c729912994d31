//! Rotation against a Braze whose list of keys lags behind its answers, or whose answers are lost: a key is asked for
//! once, and waited for.

use std::time::Duration;

use countersign::{
    clock::Clock,
    rotate::{
        Drift, drift,
        plan::{Blocker, Next},
    },
};
use serde_json::json;

use crate::support::rotation::{APPS, RotationSetup, app_id};

const SOAK: Duration = Duration::from_mins(5);
const SECOND: Duration = Duration::from_secs(1);

async fn lag(setup: &RotationSetup, seconds: u64) {
    // The keys that are there are listed.
    setup.clock.forward(Duration::from_secs(seconds));
    setup.control("PATCH", "switches", json!({ "list_lag_s": seconds })).await.ok();
}

/// Number of requests to add a key that were made so far.
fn creates(setup: &RotationSetup) -> usize {
    setup.done.lock().unwrap().iter().filter(|step| *step == "publish").count()
}

/// Works every second, as a service does, for a time or until the ring is idle. Returns whether it is.
async fn work(setup: &RotationSetup, time: Duration) -> bool {
    let (rotator, ring, end) = (setup.rotator(), setup.config(), setup.clock.now().plus(time));
    while setup.clock.now() < end {
        setup.report_node("a").await;
        if let Next::Idle { .. } = rotator.reconcile(&ring).await.unwrap() {
            return true;
        }
        for app in APPS {
            assert!(setup.held(app).await.len() <= 2, "{app} holds a key twice");
        }
        setup.clock.forward(SECOND);
    }
    false
}

/// The case: 14 s gave two creates, 35 s four.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_compromise_a_key_is_asked_for_once_however_late_the_list_shows_it() {
    for seconds in [14, 35, 200] {
        let setup = RotationSetup::new().await;
        lag(&setup, seconds).await;
        let bad = setup.active().await.kid;
        setup.rotator().compromise(&setup.config(), &bad, "the test wants it").await.unwrap();
        assert!(work(&setup, Duration::from_mins(20)).await, "no end after {seconds} s of lag");
        assert_eq!(creates(&setup), APPS.len(), "{seconds} s of lag");
        setup.check_rotated_from(&bad).await;
    }
}

#[tokio::test]
async fn an_ordinary_rotation_asks_once_too_and_its_changes_are_not_repeated_in_a_row() {
    let setup = RotationSetup::with("soak = \"60s\"").await;
    lag(&setup, 35).await;
    let old = setup.active().await.kid;
    setup.rotator().begin(&setup.config(), "the test wants it").await.unwrap();
    for _ in 0..2 {
        work(&setup, Duration::from_mins(3)).await;
        setup.settle().await;
    }
    setup.check_rotated_from(&old).await;
    assert_eq!(creates(&setup), APPS.len());
}

/// A list that lags for longer than the soak: Braze named the key's id, so that it has the key.
#[tokio::test]
async fn a_key_with_an_id_is_asked_for_again_by_an_operator_only() {
    let setup = RotationSetup::new().await;
    lag(&setup, 3600).await;
    let bad = setup.active().await.kid;
    let (rotator, ring) = (setup.rotator(), setup.config());
    rotator.compromise(&ring, &bad, "the test wants it").await.unwrap();
    setup.report_node("a").await;
    rotator.reconcile(&ring).await.unwrap();
    let records = setup.services.store().ring(&ring.name).await.unwrap();
    let known: Vec<_> = records.publications.iter().filter(|known| known.publication.asked.is_some()).collect();
    for known in &known {
        assert_eq!((known.publication.shown, known.publication.braze_id.is_some()), (None, true), "{known:?}");
    }
    assert_eq!(known.len(), APPS.len(), "the ids are on record before a list shows them");

    setup.clock.forward(SOAK);
    for _ in 0..3 {
        let Next::Wait { blockers, .. } = rotator.reconcile(&ring).await.unwrap() else { panic!() };
        let unlisted = blockers.iter().find(|blocker| matches!(blocker, Blocker::Unlisted { .. })).unwrap().to_string();
        assert!(unlisted.contains(&format!("{}-key-2", app_id("ios"))), "{unlisted}");
        assert!(unlisted.contains("braze keys apply"), "{unlisted}");
        setup.clock.forward(SOAK);
    }
    assert_eq!(creates(&setup), APPS.len());
    let found = drift(&rotator.observe(&ring).await.unwrap().snapshot);
    assert!(found.iter().any(|drift| drift.kind() == "unlisted"), "it is an alarm: {found:?}");

    rotator.repair(&ring, "the test wants it").await.unwrap();
    rotator.reconcile(&ring).await.unwrap();
    assert_eq!(creates(&setup), 2 * APPS.len(), "an operator looked at Braze and wants it");
    setup.control("PATCH", "switches", json!({ "list_lag_s": 0 })).await.ok();
    setup.settle().await;
    setup.check_rotated_from(&bad).await;
}

#[tokio::test]
async fn an_unclear_answer_is_waited_for_through_the_soak_also_while_no_key_signs() {
    for kind in ["timeout_before_effect", "timeout_after_effect", "error_before_effect", "error_after_effect"] {
        let setup = RotationSetup::new().await;
        lag(&setup, 35).await;
        let bad = setup.active().await.kid;
        setup.rotator().compromise(&setup.config(), &bad, "the test wants it").await.unwrap();
        setup.fault("create", kind, 2).await;
        assert!(!work(&setup, Duration::from_secs(299)).await || kind.ends_with("after_effect"), "{kind}");
        assert_eq!(creates(&setup), APPS.len(), "{kind}");
        work(&setup, Duration::from_mins(20)).await;
        setup.check_rotated_from(&bad).await;
        let repeated = if kind.ends_with("before_effect") { APPS.len() } else { 0 };
        assert_eq!(creates(&setup), APPS.len() + repeated, "{kind}");
    }
}

/// Duplicates that exist already, from an earlier version or by hand.
#[tokio::test]
async fn duplicates_are_named_and_only_ours_that_are_not_primary_are_withdrawn() {
    let setup = RotationSetup::new().await;
    setup.settle().await;
    let (rotator, ring, key) = (setup.rotator(), setup.config(), setup.active().await);
    for _ in 0..2 {
        let copy = json!({ "public_key": key.public_key });
        setup.control("POST", "apps/web/keys", copy).await.ok();
    }
    let found = drift(&rotator.observe(&ring).await.unwrap().snapshot);
    let [Drift::Duplicate { app, kid, ids }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((app.as_str(), kid, ids.len()), ("web", &key.kid, 3));
    let told = found[0].to_string();
    assert!(told.contains("3 times") && told.contains(&ids[0]) && told.contains("braze keys apply"), "{told}");

    rotator.repair(&ring, "the test wants it").await.unwrap();
    setup.settle().await;
    assert_eq!(setup.held("web").await, [(key.public_key.clone(), true)]);
    assert_eq!(drift(&rotator.observe(&ring).await.unwrap().snapshot), []);
}
