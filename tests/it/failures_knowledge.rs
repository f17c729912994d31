//! Histories of keys as the store's records and audit log have them, after real rotations at the local Braze.

use std::{collections::BTreeMap, time::Duration};

use countersign::{
    clock::{Clock, UnixMillis},
    domain::{
        failure::{Cause, Confidence, Platform, ReportedCode},
        ids::{AppName, Kid},
        key::KeyState,
        verdict::ErrorCode,
    },
    failures::{
        AppFacts, Diagnosis, FailureEvidence, Knowledge, KnownInstallation, ReportFacts, ReportedSignature,
        SessionFacts, StayEnd, TokenFacts, UserRelation, diagnose,
    },
};
use serde_json::{Value, json};

use crate::support::{
    domain::THEIRS,
    rotation::{APPS, RotationSetup},
};

const MINUTE: Duration = Duration::from_mins(1);

fn app(name: &str) -> AppName {
    name.parse().unwrap()
}

fn knowledge(setup: &RotationSetup) -> Knowledge {
    let policies = setup.settings.policies();
    Knowledge::new(policies.iter().map(|(app, policy)| (app.clone(), AppFacts::new(policy, 5 * MINUTE))).collect())
}

async fn renew(setup: &RotationSetup, knowledge: &Knowledge) {
    let store = &**setup.services.store();
    knowledge.renew(store, setup.clock.now()).await.unwrap();
}

/// Diagnosis of code 27 for a session of app `ios` that has refreshed in time, with a token of this key.
fn diagnosis(knowledge: &Knowledge, kid: &Kid, issued: UnixMillis, now: UnixMillis) -> Diagnosis {
    let report = ReportFacts {
        code: ReportedCode::Braze(ErrorCode::NoMatchingPublicKeys),
        platform: Platform::Ios,
        sdk_version: None,
        user: UserRelation::Same,
        signature: ReportedSignature::Absent,
        with_refresh: true,
    };
    let token = TokenFacts { kid: kid.clone(), issued, expires: issued.plus(60 * MINUTE) };
    let session = SessionFacts { created: issued.minus(300 * MINUTE), refreshes: 10, numeric_user: false };
    let installation = knowledge.load();
    let evidence =
        FailureEvidence { app: &app("ios"), report, session, token: Some(token), installation: &installation, now };
    diagnose(&evidence)
}

#[tokio::test]
async fn a_rotation_is_in_the_histories_of_both_keys() {
    let setup = RotationSetup::new().await;
    let old = setup.active().await.kid;
    setup.settle().await;
    let knowledge = knowledge(&setup);
    renew(&setup, &knowledge).await;
    let before = knowledge.load();
    assert_eq!(before.keys[&old].state, KeyState::Active);
    assert!(APPS.iter().all(|name| before.keys[&old].is_at(&app(name))), "{before:?}");

    let begun = setup.clock.now();
    setup.rotator().begin(&setup.config(), "the test wants it").await.unwrap();
    setup.settle().await;
    let new = setup.active().await.kid;
    renew(&setup, &knowledge).await;
    let known = knowledge.load();
    let (key, signs_since) = (&known.keys[&new], known.keys[&new].entered(KeyState::Active).unwrap());
    assert!(signs_since > begun && key.state_at(signs_since) == Some(KeyState::Active));
    assert!(APPS.iter().all(|name| key.is_at(&app(name)) && key.last_stay(&app(name)).unwrap().since <= signs_since));
    assert_eq!(key.asked, BTreeMap::new(), "what was asked for is listed");
    let gone = &known.keys[&old];
    assert_eq!((gone.state, gone.entered(KeyState::Retiring)), (KeyState::Retired, Some(signs_since)));
    let StayEnd::At(end) = gone.last_stay(&app("ios")).unwrap().end else { panic!("{gone:?}") };
    assert!(end > signs_since.plus(60 * MINUTE), "its tokens had ended");

    // A token that the key signed last, by its end and by a device that was away.
    let now = setup.clock.now();
    let away = diagnosis(&knowledge, &old, signs_since.minus(MINUTE), now);
    assert_eq!((away.cause, away.confidence), (Cause::ExpiredOffline, Confidence::High), "{away:?}");
    let early = diagnosis(&knowledge, &old, end.minus(10 * MINUTE), now);
    assert_eq!((early.cause, early.confidence), (Cause::KeyWithdrawnTooEarly, Confidence::High), "{early:?}");
}

#[tokio::test]
async fn a_key_that_somebody_deletes_has_vanished_from_that_app_only() {
    let setup = RotationSetup::new().await;
    setup.settle().await;
    let kid = setup.active().await.kid;
    let stranger = json!({ "public_key": THEIRS.public_pem(), "make_primary": true });
    let ours = setup.control("GET", "state", Value::Null).await.json()["apps"][1]["keys"][0]["id"].clone();
    setup.control("POST", "apps/ios/keys", stranger).await.ok();
    setup.control("DELETE", &format!("apps/ios/keys/{}", ours.as_str().unwrap()), Value::Null).await;

    let knowledge = knowledge(&setup);
    renew(&setup, &knowledge).await;
    setup.clock.forward(10 * MINUTE);
    let now = setup.clock.now();
    let unseen = diagnosis(&knowledge, &kid, now.minus(5 * MINUTE), now);
    assert!(knowledge.load().keys[&kid].is_at(&app("ios")), "nobody has looked yet");
    assert!(unseen.confidence < Confidence::High, "{unseen:?}");

    setup.rotator().reconcile(&setup.config()).await.unwrap();
    renew(&setup, &knowledge).await;
    let known = knowledge.load();
    assert_eq!(known.keys[&kid].last_stay(&app("ios")).unwrap().end, StayEnd::Vanished);
    assert!(known.keys[&kid].is_at(&app("web")));
    let seen = diagnosis(&knowledge, &kid, now.minus(5 * MINUTE), now);
    assert_eq!((seen.cause, seen.confidence), (Cause::KeyWithdrawnTooEarly, Confidence::High), "{seen:?}");
    assert_eq!(seen.fix.command.as_deref(), Some("countersign braze keys apply --ring main"));
}

/// The report is explained after Braze was repaired, too.
#[tokio::test]
async fn a_key_that_braze_got_after_the_report_is_named_with_the_time() {
    let setup = RotationSetup::new().await;
    setup.settle().await;
    let kid = setup.active().await.kid;
    let knowledge = knowledge(&setup);
    renew(&setup, &knowledge).await;
    let since = knowledge.load().keys[&kid].last_stay(&app("ios")).unwrap().since;
    let before = diagnosis(&knowledge, &kid, since.minus(2 * MINUTE), since.minus(MINUTE));
    assert_eq!((before.cause, before.confidence), (Cause::KeyNotPublished, Confidence::High), "{before:?}");
    let start = &kid.as_str()[..8];
    assert!(before.sentence.contains(start) && before.sentence.contains("app ios has it since"), "{before:?}");
    assert!(before.fix.text.starts_with("nothing more"), "{before:?}");
    assert_eq!(before.fix.command.as_deref(), Some("countersign braze keys diff --ring main"));
}

/// Braze is not asked for such an app, and the key may be there.
#[tokio::test]
async fn a_key_that_nobody_confirmed_is_no_certain_cause() {
    let setup = RotationSetup::new().await;
    let kid = setup.active().await.kid;
    let listed = knowledge(&setup);
    renew(&setup, &listed).await;
    let mut known = KnownInstallation::clone(&listed.load());
    known.keys.get_mut(&kid).unwrap().stays.clear();
    known.keys.get_mut(&kid).unwrap().asked.clear();
    known.apps.get_mut(&app("ios")).unwrap().by_hand = true;
    let now = setup.clock.now();
    let found = diagnosis(&Knowledge::of(known), &kid, now.minus(MINUTE), now);
    assert_eq!((found.cause, found.confidence), (Cause::KeyNotPublished, Confidence::Likely), "{found:?}");
    assert!(found.sentence.contains("nobody has confirmed that app ios has it"), "{found:?}");
}

#[tokio::test]
async fn a_reload_changes_apps_and_keeps_keys() {
    let setup = RotationSetup::new().await;
    let knowledge = knowledge(&setup);
    renew(&setup, &knowledge).await;
    let before = knowledge.load();
    let mut apps = before.apps.clone();
    apps.remove(&app("ios"));
    knowledge.set_apps(&apps);
    let after = knowledge.load();
    assert_eq!((&after.apps, &after.keys), (&apps, &before.keys));
    assert!(!after.keys.is_empty());
}
