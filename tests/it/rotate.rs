//! Rotation against the local Braze, through its REST API: the order of things, every fault at every step, people in
//! place of a list, drift, compromise.

use std::{collections::BTreeMap, time::Duration};

use countersign::{
    clock::Clock,
    domain::{
        audit::{
            AuditAction::{
                self, Activated, Created, Destroyed, MadePrimary, Published, Publishing, Retired, Withdrawn,
            },
            AuditOutcome::{self, Done, Intended},
        },
        ids::Kid,
        key::KeyState,
        rotation::NodeReport,
    },
    rotate::{
        Drift, RotateError, drift,
        plan::{Blocker, CommandRefused, Next},
    },
};
use serde_json::{Value, json};

use crate::support::{
    domain::THEIRS,
    rotation::{APPS, RotationSetup},
};

const SOAK: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_rotation_goes_all_the_way_and_is_in_the_audit_log() {
    let setup = RotationSetup::new().await;
    let old = setup.active().await.kid;
    let (rotator, config) = (setup.rotator(), setup.config());
    setup.report_node("a").await;
    rotator.begin(&config, "the test wants it").await.unwrap();

    let next = rotator.reconcile(&config).await.unwrap();
    assert!(matches!(&next, Next::Wait { blockers, .. } if matches!(blockers[0], Blocker::Soak { .. })), "{next:?}");
    assert_eq!(setup.active().await.kid, old);
    assert_eq!(setup.held("web").await.len(), 2);
    setup.clock.forward(SOAK);

    let idle = NodeReport { node: "a".to_owned(), seen: setup.clock.now(), loaded: BTreeMap::new() };
    setup.services.store().report(idle, vec![]).await.unwrap();
    let next = rotator.reconcile(&config).await.unwrap();
    assert!(matches!(&next, Next::Wait { blockers, .. } if matches!(blockers[0], Blocker::Nodes { .. })), "{next:?}");
    assert_eq!(setup.active().await.kid, old, "a node could not sign with the new one");
    setup.report_node("a").await;
    rotator.reconcile(&config).await.unwrap();
    let new = setup.active().await;
    assert_ne!(new.kid, old);
    assert!(setup.held("ios").await.contains(&(new.public_key.clone(), true)), "it is primary");
    assert!(setup.key_file(&old).exists(), "its tokens are alive");

    setup.settle().await;
    setup.check_rotated_from(&old).await;
    let audit_log = setup.audit_log().await;
    let acts_on = |kid: &Kid| -> Vec<(AuditAction, AuditOutcome)> {
        let events = audit_log.iter().filter(|event| event.target.kid.as_ref() == Some(kid));
        events.map(|event| (event.action, event.outcome)).collect()
    };
    let around = |action| [(action, Intended), (action, Done)];
    let [asked, done] = around(Publishing);
    let published = (Published, Done);
    let expected = [(Created, Done), asked, done, published, asked, done, published, published, (Activated, Done)];
    assert_eq!(acts_on(&new.kid), [&expected[..], &around(MadePrimary), &around(MadePrimary)].concat());
    let ends = [&[(Retired, Done)][..], &around(Withdrawn), &around(Withdrawn), &around(Destroyed)].concat();
    let of_old = acts_on(&old);
    assert_eq!(of_old[of_old.len() - ends.len()..], ends);
    let made = audit_log.iter().filter(|event| event.action == Created).map(|event| event.outcome);
    assert_eq!(made.collect::<Vec<_>>()[2..], [Intended, Done], "a key that is about to be made has no id");
    assert!(audit_log.iter().all(|event| !event.actor.name.is_empty() && !event.why.is_empty()));
}

#[tokio::test]
async fn a_rotation_makes_and_destroys_keys_in_the_store() {
    let setup = RotationSetup::in_store().await;
    let old = setup.active().await.kid;
    setup.report_node("a").await;
    setup.rotator().begin(&setup.config(), "the test wants it").await.unwrap();
    setup.settle().await;
    let new = setup.active().await;
    assert!(new.kid != old && new.custody == "store");
    assert_eq!(setup.services.store().sealed_keys().await.unwrap(), [new.kid], "the old one is destroyed");
    assert_eq!(std::fs::read_dir(setup.folder.path().join("keys")).unwrap().count(), 0);
}

/// Every call at its every occurrence, every fault: the same result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_changes_the_outcome() {
    let kinds = [
        "timeout_after_effect",
        "timeout_before_effect",
        "error_before_effect",
        "error_after_effect",
        "rate_limited",
        "slow",
        "unauthorized",
        "not_found",
    ];
    let setup = RotationSetup::new().await;
    for on in ["keys", "create", "primary", "delete"] {
        for kind in kinds {
            let old = setup.active().await.kid;
            setup.rotator().begin(&setup.config(), "the test wants it").await.unwrap();
            // More often than a call is repeated by itself.
            setup.fault(on, kind, 4).await;
            setup.settle().await;
            setup.check_rotated_from(&old).await;
            assert!(setup.drain_faults().await < 4, "{on} {kind} did not strike");
        }
    }
}

/// A list that fails at any point of a rotation: the same result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_may_fail_at_any_time() {
    let kinds = ["timeout_before_effect", "error_before_effect", "unauthorized", "not_found", "rate_limited"];
    let setup = RotationSetup::new().await;
    let (rotator, config) = (setup.rotator(), setup.config());
    for (at, kind) in (0..7).zip(kinds.into_iter().cycle()) {
        let old = setup.active().await.kid;
        rotator.begin(&config, "the test wants it").await.unwrap();
        for round in 0.. {
            assert!(round < 100, "no end");
            setup.report_node("a").await;
            if round == at {
                // More than one look's worth.
                setup.fault("keys", kind, 7).await;
            }
            match rotator.reconcile(&config).await.unwrap() {
                Next::Idle { .. } => break,
                next => setup.pass(&next),
            }
        }
        setup.check_rotated_from(&old).await;
        setup.drain_faults().await;
    }
}

/// R59: what Braze does not list does not sign, however long it takes.
#[tokio::test]
async fn a_key_that_braze_does_not_list_never_signs() {
    let setup = RotationSetup::new().await;
    let old = setup.active().await.kid;
    let (rotator, config) = (setup.rotator(), setup.config());
    rotator.begin(&config, "the test wants it").await.unwrap();
    for kind in ["error_before_effect", "unauthorized", "rate_limited"] {
        setup.fault("create", kind, 10).await;
        for _ in 0..5 {
            setup.report_node("a").await;
            let next = rotator.reconcile(&config).await.unwrap();
            assert!(matches!(next, Next::Wait { .. }), "{next:?}");
            assert_eq!(setup.active().await.kid, old);
            setup.clock.forward(SOAK * 2);
        }
    }
    setup.settle().await;
    setup.check_rotated_from(&old).await;
}

#[tokio::test]
async fn where_braze_is_out_of_reach_it_says_so_and_goes_on_later() {
    let setup = RotationSetup::new().await;
    let old = setup.active().await.kid;
    let (rotator, config) = (setup.rotator(), setup.config());
    rotator.begin(&config, "the test wants it").await.unwrap();
    setup.fault("keys", "not_found", 4).await;
    let Next::Wait { blockers, .. } = rotator.reconcile(&config).await.unwrap() else { panic!() };
    assert!(
        blockers.iter().any(|blocker| matches!(blocker, Blocker::Silent { why, .. } if why.contains("404"))),
        "a 404 is no empty list: {blockers:?}"
    );
    assert_eq!(setup.held("web").await.len(), 1, "nothing was published into the dark");
    setup.settle().await;
    setup.check_rotated_from(&old).await;
}

#[tokio::test]
async fn only_one_works_on_a_ring_and_the_dead_are_replaced() {
    let setup = RotationSetup::new().await;
    let config = setup.config();
    let (store, now) = (setup.services.store(), setup.clock.now());
    assert!(store.lease("rotate main", "another node", now, Duration::from_mins(2)).await.unwrap());
    assert!(matches!(setup.rotator().reconcile(&config).await, Err(RotateError::Busy(_))));
    setup.clock.forward(Duration::from_mins(2));
    setup.rotator().reconcile(&config).await.unwrap();
}

#[tokio::test]
async fn a_compromised_key_is_gone_at_once_and_one_that_stands_by_takes_over() {
    let setup = RotationSetup::with("standby = true").await;
    setup.settle().await;
    setup.report_node("a").await;
    let bad = setup.active().await;
    assert_eq!(setup.held("web").await.len(), 2, "one stands by");
    let (rotator, config) = (setup.rotator(), setup.config());
    rotator.compromise(&config, &bad.kid, "a laptop was lost").await.unwrap();
    let new = setup.active().await;
    assert_ne!(new.kid, bad.kid, "before anything is asked of Braze");
    rotator.reconcile(&config).await.unwrap();
    assert!(!setup.key_file(&bad.kid).exists());
    for app in APPS {
        let held = setup.held(app).await;
        assert!(held.contains(&(new.public_key.clone(), true)), "{held:?}");
        assert!(held.iter().all(|(key, _)| *key != bad.public_key), "{held:?}");
    }
    setup.settle().await;
    assert_eq!(setup.held("ios").await.len(), 2, "another stands by");
    let again = rotator.compromise(&config, &bad.kid, "once more").await;
    assert!(matches!(again, Err(RotateError::Refused(CommandRefused::CompromisedAlready(_)))));
    let audit_log = setup.audit_log().await;
    let compromised = audit_log.iter().find(|event| event.action == AuditAction::Compromised).unwrap();
    assert_eq!((&compromised.target.kid, compromised.why.as_str()), (&Some(bad.kid), "a laptop was lost"));
    assert!(audit_log.iter().any(|event| event.action == AuditAction::Refused));
}

#[tokio::test]
async fn a_stopped_clock_rotates_nothing_and_a_compromise_does_not_wait_for_it() {
    let setup = RotationSetup::new().await;
    let (rotator, config, active) = (setup.rotator(), setup.config(), setup.active().await);
    setup.report_node("a").await;
    rotator.begin(&config, "in time").await.unwrap();
    let before = setup.audit_log().await;
    rotator.clock.trusted_now().unwrap();
    setup.clock.set_by(400 * 86_400);
    assert!(matches!(rotator.reconcile(&config).await, Err(RotateError::Clock(_))));
    assert!(matches!(rotator.abort(&config, "too late").await, Err(RotateError::Clock(_))));
    assert_eq!(setup.audit_log().await, before);
    rotator.compromise(&config, &active.kid, "a laptop was lost").await.unwrap();
    let state = setup.keys().await.into_iter().find(|key| key.kid == active.kid).unwrap().state;
    assert_eq!(state.as_str(), "compromised");
    setup.clock.set_by(-400 * 86_400);
}

#[tokio::test]
async fn a_compromise_without_stand_by_needs_no_soak() {
    let setup = RotationSetup::new().await;
    let bad = setup.active().await;
    let (rotator, config, begun) = (setup.rotator(), setup.config(), setup.clock.now());
    rotator.compromise(&config, &bad.kid, "a laptop was lost").await.unwrap();
    for _ in 0..3 {
        setup.report_node("a").await;
        rotator.reconcile(&config).await.unwrap();
    }
    setup.check_rotated_from(&bad.kid).await;
    assert_eq!(setup.clock.now(), begun);
}

#[tokio::test]
async fn a_rollback_and_an_abort_go_back_to_what_was() {
    let setup = RotationSetup::new().await;
    let (rotator, config) = (setup.rotator(), setup.config());
    let first = setup.active().await;
    rotator.begin(&config, "the test wants it").await.unwrap();
    rotator.reconcile(&config).await.unwrap();
    rotator.abort(&config, "not today").await.unwrap();
    setup.settle().await;
    assert_eq!(setup.active().await.kid, first.kid);
    assert_eq!(setup.held("web").await, [(first.public_key.clone(), true)]);
    assert_eq!(crate::support::key_files(setup.folder.path()).len(), 1);

    rotator.begin(&config, "the test wants it").await.unwrap();
    while setup.active().await.kid == first.kid {
        setup.report_node("a").await;
        setup.pass(&rotator.reconcile(&config).await.unwrap());
        if setup.active().await.kid == first.kid {
            setup.report_node("a").await;
            rotator.reconcile(&config).await.unwrap();
        }
    }
    setup.report_node("a").await;
    rotator.roll_back(&config, "it was a mistake").await.unwrap();
    assert_eq!(setup.active().await.kid, first.kid);
    setup.settle().await;
    assert_eq!(setup.held("ios").await, [(first.public_key.clone(), true)]);
    let refused = rotator.roll_back(&config, "once more").await;
    assert!(matches!(refused, Err(RotateError::Refused(CommandRefused::NothingToRollBack(_)))));
}

/// R63, and what to do about it.
#[tokio::test]
async fn drift_is_found_told_and_put_right() {
    let setup = RotationSetup::new().await;
    let (rotator, config) = (setup.rotator(), setup.config());
    let kid = setup.active().await.kid;
    setup.settle().await;
    let drifts = async || -> Vec<&'static str> {
        let found = drift(&rotator.observe(&config).await.unwrap().snapshot);
        found.iter().map(Drift::kind).collect()
    };
    assert_eq!(drifts().await, [""; 0]);

    let stranger = json!({ "public_key": THEIRS.public_pem(), "make_primary": true });
    let id = setup.control("POST", "apps/web/keys", stranger).await.ok().text("id");
    assert_eq!(drifts().await, ["unknown", "wrong_primary"]);
    rotator.repair(&config, "the test wants it").await.unwrap();
    setup.settle().await;
    assert_eq!(drifts().await, ["unknown"], "a key that is none of ours is left alone");
    setup.control("DELETE", &format!("apps/web/keys/{id}"), Value::Null).await;
    assert_eq!(drifts().await, [""; 0]);

    let ours = setup.control("GET", "state", Value::Null).await.json()["apps"][1]["keys"][0]["id"].clone();
    setup
        .control("POST", "apps/ios/keys", json!({ "public_key": THEIRS.public_pem(), "make_primary": true }))
        .await
        .ok();
    setup.control("DELETE", &format!("apps/ios/keys/{}", ours.as_str().unwrap()), Value::Null).await;
    assert_eq!(drifts().await, ["unknown", "missing"]);
    rotator.reconcile(&config).await.unwrap();
    assert_eq!(drifts().await, ["unknown", "missing"], "whoever deleted it may have had a reason");
    rotator.repair(&config, "the test wants it").await.unwrap();
    setup.settle().await;
    assert_eq!(drifts().await, ["unknown"]);
    assert_eq!(setup.active().await.kid, kid);

    let poor = setup.control("POST", "rest-keys", json!({ "permissions": ["sdk_authentication.create"] })).await.ok();
    std::fs::write(setup.folder.path().join("braze.key"), poor.text("rest_api_key")).unwrap();
    let site = setup.folder.path().join("countersign.toml");
    let empty = countersign::config::Environment::empty();
    let settings = countersign::config::Settings::load(Some(&site), &empty, &[]).unwrap();
    let rotator = setup.services.rotator(&settings, "the test".to_owned(), std::sync::Arc::new(|_, _, _| {})).unwrap();
    let found = drift(&rotator.observe(&config).await.unwrap().snapshot);
    assert!(found.iter().all(|drift| drift.kind() == "silent"), "{found:?}");
    assert!(found[0].to_string().contains("sdk_authentication.create, .keys"), "{}", found[0]);
}

#[tokio::test]
async fn a_policy_rotates_by_itself_when_the_time_has_come() {
    let setup = RotationSetup::with("every = \"30d\"").await;
    let old = setup.active().await.kid;
    let (rotator, config) = (setup.rotator(), setup.config());
    setup.settle().await;
    assert_eq!(setup.active().await.kid, old);
    let Next::Idle { due: Some(due) } = rotator.reconcile(&config).await.unwrap() else { panic!() };
    setup.clock.forward(due.since(setup.clock.now()));
    setup.settle().await;
    setup.check_rotated_from(&old).await;
    let states: Vec<KeyState> = setup.keys().await.iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Retired, KeyState::Active]);
}
