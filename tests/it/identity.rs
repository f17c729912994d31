//! Who asks: a live API key with its own secret and nothing else; and for which apps it may speak.

use std::time::Duration;

use countersign::{
    clock::UnixMillis,
    domain::api_key::{ApiKey, ApiKeyRecord},
    identity::{ApiKeyAuthenticator, NotScoped, Unauthenticated},
};

use crate::support::domain::{MILLI, NOW, user};

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
    let caller = knowing([record(&key)]).authenticate(&key.reveal(), NOW).unwrap();
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
    let refused = |keys: &ApiKeyAuthenticator, key: &ApiKey| keys.authenticate(&key.reveal(), NOW).is_err();
    assert!(refused(&ApiKeyAuthenticator::default(), &key), "unknown");
    let keys = knowing([record(&key)]);
    assert!(refused(&keys, &ApiKey::new([1; 8], [3; 32])), "wrong secret");
    assert!(refused(&keys, &ApiKey::new([2; 8], [2; 32])), "somebody else's id");
    assert!(refused(&knowing([ApiKeyRecord { expires: Some(NOW), ..record(&key) }]), &key), "expired");
    assert!(refused(&knowing([ApiKeyRecord { revoked: Some(NOW), ..record(&key) }]), &key), "revoked");
    assert!(!refused(&knowing([ApiKeyRecord { expires: Some(NOW.plus(MILLI)), ..record(&key) }]), &key), "live");
    assert_eq!(keys.authenticate("", NOW).unwrap_err(), Unauthenticated);
}

#[test]
fn records_that_are_taken_replace_those_before() {
    let (old, new) = (key(), ApiKey::new([2; 8], [3; 32]));
    let keys = knowing([record(&old)]);
    keys.swap([record(&new)]);
    assert!(keys.authenticate(&old.reveal(), NOW).is_err());
    assert!(keys.authenticate(&new.reveal(), NOW).is_ok());
}

#[test]
fn the_last_use_is_kept_in_memory_to_the_minute() {
    let (key, other) = (key(), ApiKey::new([2; 8], [3; 32]));
    let keys = knowing([record(&key), record(&other)]);
    assert!(keys.uses().is_empty());
    let minute = UnixMillis(NOW.0 - NOW.0.rem_euclid(60_000));
    let wrong = ApiKey::new([1; 8], [9; 32]);
    assert!(keys.authenticate(&wrong.reveal(), NOW).is_err());
    assert!(keys.uses().is_empty(), "a refused key was not used");
    for (after, last) in [(0, minute), (59, minute), (60, minute.plus(MINUTE)), (0, minute.plus(MINUTE))] {
        keys.authenticate(&key.reveal(), minute.plus(Duration::from_secs(after))).unwrap();
        assert_eq!(keys.uses(), [(key.id.clone(), last)]);
    }
    keys.swap([record(&key)]);
    assert_eq!(keys.uses(), [(key.id.clone(), minute.plus(MINUTE))], "a reload forgets no use");
    keys.swap([record(&other)]);
    assert!(keys.uses().is_empty());
}
