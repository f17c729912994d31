//! Who asks: a live API key with its own secret and nothing else; and for which apps it may speak.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::{Clock, ClockGuard, UnixMillis},
    domain::api_key::{ApiKey, ApiKeyRecord},
    identity::{ApiKeyAuthenticator, NotScoped, Unauthenticated},
};

use crate::support::{
    domain::{MILLI, NOW, user},
    test_service::TestClock,
};

fn clock() -> ClockGuard {
    ClockGuard::new(Arc::new(TestClock::at(NOW)), Duration::from_mins(10))
}

const MINUTE: Duration = Duration::from_mins(1);

fn key() -> ApiKey {
    ApiKey::new([1; 8], [2; 32])
}

fn record(key: &ApiKey) -> ApiKeyRecord {
    ApiKeyRecord {
        id: key.id.clone(),
        client: "backend".parse().unwrap(),
        apps: vec!["web".parse().unwrap(), "ios".parse().unwrap()],
        hash: key.hash(),
        created: NOW,
        expires: None,
        revoked: None,
        last_used: None,
    }
}

/// Those who know these records.
fn knowing(records: impl IntoIterator<Item = ApiKeyRecord>) -> ApiKeyAuthenticator {
    let keys = ApiKeyAuthenticator::default();
    keys.swap(records);
    keys
}

#[test]
fn a_caller_speaks_for_the_apps_of_its_key_only() {
    let key = key();
    let caller = knowing([record(&key)]).authenticate(&key.reveal(), &clock()).unwrap();
    assert_eq!((&caller.key, caller.client.as_str()), (&key.id, "backend"));
    for app in ["web", "ios"] {
        let app = app.parse().unwrap();
        let who = caller.vouches_for(&app, user("u-1")).unwrap();
        assert_eq!((who.app(), who.user()), (&app, &user("u-1")));
        assert_eq!(caller.may_use(&app), Ok(()));
    }
    for app in ["we", "webb", "android"] {
        let app = app.parse().unwrap();
        assert_eq!(caller.vouches_for(&app, user("u-1")).unwrap_err(), NotScoped);
        assert_eq!(caller.may_use(&app), Err(NotScoped));
    }
}

#[test]
fn a_dead_unknown_or_wrong_key_is_refused() {
    let key = key();
    let refused = |keys: &ApiKeyAuthenticator, key: &ApiKey| keys.authenticate(&key.reveal(), &clock()).is_err();
    assert!(refused(&ApiKeyAuthenticator::default(), &key), "unknown");
    let keys = knowing([record(&key)]);
    assert!(refused(&keys, &ApiKey::new([1; 8], [3; 32])), "wrong secret");
    assert!(refused(&keys, &ApiKey::new([2; 8], [2; 32])), "somebody else's id");
    assert!(refused(&knowing([ApiKeyRecord { expires: Some(NOW), ..record(&key) }]), &key), "expired");
    assert!(refused(&knowing([ApiKeyRecord { revoked: Some(NOW), ..record(&key) }]), &key), "revoked");
    assert!(!refused(&knowing([ApiKeyRecord { expires: Some(NOW.plus(MILLI)), ..record(&key) }]), &key), "live");
    assert_eq!(keys.authenticate("", &clock()).unwrap_err(), Unauthenticated::Refused);
}

#[test]
fn a_stopped_clock_decides_nothing_about_a_right_key_and_a_wrong_one_is_refused() {
    let (key, wall) = (key(), Arc::new(TestClock::at(NOW)));
    let clock = ClockGuard::new(wall.clone(), Duration::from_mins(10));
    let keys = knowing([ApiKeyRecord { expires: Some(NOW.plus(MILLI)), ..record(&key) }]);
    assert!(keys.authenticate(&key.reveal(), &clock).is_ok());
    wall.set_by(400 * 86_400);
    assert!(matches!(keys.authenticate(&key.reveal(), &clock), Err(Unauthenticated::Undecided(_))));
    let refused = |keys: &ApiKeyAuthenticator, key: &ApiKey| {
        assert_eq!(keys.authenticate(&key.reveal(), &clock).unwrap_err(), Unauthenticated::Refused);
    };
    refused(&keys, &ApiKey::new([1; 8], [3; 32]));
    refused(&knowing([ApiKeyRecord { revoked: Some(NOW), ..record(&key) }]), &key);
}

#[test]
fn records_that_are_taken_replace_those_before() {
    let (old, new) = (key(), ApiKey::new([2; 8], [3; 32]));
    let keys = knowing([record(&old)]);
    keys.swap([record(&new)]);
    assert!(keys.authenticate(&old.reveal(), &clock()).is_err());
    assert!(keys.authenticate(&new.reveal(), &clock()).is_ok());
}

#[test]
fn the_last_use_is_kept_in_memory_to_the_minute() {
    let (key, other) = (key(), ApiKey::new([2; 8], [3; 32]));
    let keys = knowing([record(&key), record(&other)]);
    assert!(keys.uses().is_empty());
    let minute = UnixMillis(NOW.0 - NOW.0.rem_euclid(60_000));
    let wrong = ApiKey::new([1; 8], [9; 32]);
    assert!(keys.authenticate(&wrong.reveal(), &clock()).is_err());
    assert!(keys.uses().is_empty(), "a refused key was not used");
    let machine = Arc::new(TestClock::at(minute));
    let guard = ClockGuard::new(Arc::clone(&machine) as Arc<dyn Clock>, Duration::from_mins(10));
    for (pass, last) in [(0, minute), (59, minute), (1, minute.plus(MINUTE)), (1, minute.plus(MINUTE))] {
        machine.forward(Duration::from_secs(pass));
        keys.authenticate(&key.reveal(), &guard).unwrap();
        assert_eq!(keys.uses(), [(key.id.clone(), last)]);
    }
    machine.set_by(24 * 3600);
    assert!(matches!(keys.authenticate(&key.reveal(), &guard), Err(Unauthenticated::Undecided(_))));
    assert_eq!(keys.uses(), [(key.id.clone(), minute.plus(MINUTE))], "a stopped clock notes no use");
    keys.swap([record(&key)]);
    assert_eq!(keys.uses(), [(key.id.clone(), minute.plus(MINUTE))], "a reload forgets no use");
    keys.swap([record(&other)]);
    assert!(keys.uses().is_empty());
}
