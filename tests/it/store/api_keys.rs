//! The records of API keys.

use countersign::{
    clock::UnixMillis,
    domain::api_key::{ApiKey, ApiKeyRecord},
};

use super::{Engine, T, app, at_min};
use crate::support::domain::actor;

pub(super) fn record(n: u8, client: &str, created: UnixMillis) -> ApiKeyRecord {
    let key = ApiKey::new([n; 8], [n; 32]);
    ApiKeyRecord {
        hash: key.hash(),
        id: key.id,
        client: client.parse().unwrap(),
        apps: vec![app("web"), app("ios")],
        created,
        expires: None,
        revoked: None,
        last_used: None,
    }
}

/// Records have no equality, because their hashes have none; this shows everything.
fn shown(records: &[ApiKeyRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?} {:?}", record.hash.0)).collect()
}

pub(super) async fn api_keys_are_listed_oldest_first(engine: &dyn Engine) {
    let store = engine.open();
    assert!(store.api_keys().await.unwrap().is_empty());
    let newer = ApiKeyRecord { expires: Some(at_min(9)), ..record(1, "a", at_min(1)) };
    let older = ApiKeyRecord { apps: vec![], ..record(2, "b", T) };
    assert!(store.insert_api_key(newer.clone(), 2, &actor()).await.unwrap());
    assert!(store.insert_api_key(older.clone(), 2, &actor()).await.unwrap());
    assert_eq!(shown(&store.api_keys().await.unwrap()), shown(&[older, newer]));
}

pub(super) async fn a_client_has_no_more_live_keys_than_allowed(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let inserts: Vec<_> = (0..20)
        .map(|n| {
            let store = stores[usize::from(n % 2)].clone();
            tokio::spawn(async move { store.insert_api_key(record(n, "a", T), 2, &actor()).await.unwrap() })
        })
        .collect();
    let mut kept = 0;
    for insert in inserts {
        kept += usize::from(insert.await.unwrap());
    }
    assert_eq!(kept, 2);
    assert_eq!(stores[0].api_keys().await.unwrap().len(), 2);
    assert!(stores[0].insert_api_key(record(30, "b", T), 2, &actor()).await.unwrap(), "another client");
    assert!(!stores[0].insert_api_key(record(31, "c", T), 0, &actor()).await.unwrap());
}

pub(super) async fn dead_keys_do_not_count(engine: &dyn Engine) {
    let store = engine.open();
    let expires = ApiKeyRecord { expires: Some(at_min(5)), ..record(1, "a", T) };
    assert!(store.insert_api_key(expires, 1, &actor()).await.unwrap());
    assert!(!store.insert_api_key(record(2, "a", at_min(4)), 1, &actor()).await.unwrap(), "the first is live then");
    assert!(store.insert_api_key(record(2, "a", at_min(5)), 1, &actor()).await.unwrap(), "the first is dead then");
    let second = record(2, "a", T).id;
    assert!(store.revoke_api_key(&second, at_min(6), &actor()).await.unwrap());
    assert!(store.insert_api_key(record(3, "a", at_min(6)), 1, &actor()).await.unwrap());
}

pub(super) async fn a_known_id_is_not_replaced(engine: &dyn Engine) {
    let store = engine.open();
    let first = record(1, "a", T);
    assert!(store.insert_api_key(first.clone(), 5, &actor()).await.unwrap());
    assert!(!store.insert_api_key(record(1, "b", at_min(1)), 5, &actor()).await.unwrap());
    assert_eq!(shown(&store.api_keys().await.unwrap()), shown(&[first]));
}

pub(super) async fn a_revoked_key_stays_revoked(engine: &dyn Engine) {
    let store = engine.open();
    let key = record(1, "a", T);
    assert!(!store.revoke_api_key(&key.id, T, &actor()).await.unwrap(), "there is none");
    assert!(store.insert_api_key(key.clone(), 1, &actor()).await.unwrap());
    assert!(store.revoke_api_key(&key.id, at_min(1), &actor()).await.unwrap());
    assert!(!store.revoke_api_key(&key.id, at_min(2), &actor()).await.unwrap());
    assert_eq!(store.api_keys().await.unwrap()[0].revoked, Some(at_min(1)), "the first end stays");
}

pub(super) async fn every_change_is_a_new_generation(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let first = other.generation().await.unwrap();
    let key = record(1, "a", T);
    assert!(store.insert_api_key(key.clone(), 1, &actor()).await.unwrap());
    let second = other.generation().await.unwrap();
    assert_ne!(first, second);
    assert!(!store.insert_api_key(record(2, "a", T), 1, &actor()).await.unwrap());
    assert_eq!(other.generation().await.unwrap(), second, "nothing changed");
    assert!(store.revoke_api_key(&key.id, at_min(1), &actor()).await.unwrap());
    let third = other.generation().await.unwrap();
    assert_ne!(second, third);
    assert!(!store.revoke_api_key(&key.id, at_min(1), &actor()).await.unwrap());
    assert_eq!(other.generation().await.unwrap(), third, "nothing changed");
}

pub(super) async fn the_last_use_never_goes_back(engine: &dyn Engine) {
    let store = engine.open();
    let (first, second) = (record(1, "a", T), record(2, "a", T));
    for key in [&first, &second] {
        assert!(store.insert_api_key(key.clone(), 2, &actor()).await.unwrap());
    }
    let generation = store.generation().await.unwrap();
    let uses = |one, other| vec![(first.id.clone(), at_min(one)), (second.id.clone(), at_min(other))];
    store.record_api_key_uses(vec![(first.id.clone(), at_min(3))]).await.unwrap();
    store.record_api_key_uses(uses(2, 5)).await.unwrap();
    let last = |records: &[ApiKeyRecord]| records.iter().map(|key| key.last_used).collect::<Vec<_>>();
    assert_eq!(last(&store.api_keys().await.unwrap()), [Some(at_min(3)), Some(at_min(5))]);
    assert_eq!(store.generation().await.unwrap(), generation, "no key is loaded again for it");
    assert_eq!(last(&engine.open().api_keys().await.unwrap()), [Some(at_min(3)), Some(at_min(5))]);
}
