//! The records of signing keys.

use std::sync::Arc;

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::Kid,
        key::{KeyLocation, KeyRecord, KeyState},
    },
    store::{KeyChange, KeyMove, KeyTransaction, Store, StoreError},
};

use super::{Engine, T, at_min};

pub(super) fn key(n: u8, state: KeyState, created: UnixMillis) -> KeyRecord {
    KeyRecord {
        kid: Kid::from_thumbprint(&[n; 32]),
        ring: "main".parse().unwrap(),
        state,
        bits: 2048,
        public_key: format!("-----BEGIN PUBLIC KEY-----\n{n}\n-----END PUBLIC KEY-----\n"),
        custody: "file".to_owned(),
        locator: format!("key-{n}.pem"),
        created,
        changed: created,
    }
}

/// The change of a key to `state`, with everything changed that must not be written.
pub(super) fn change(key: &KeyRecord, from: KeyState, state: KeyState, now: UnixMillis) -> KeyChange {
    let to = KeyRecord { state, changed: now, bits: 1, locator: "elsewhere".to_owned(), created: now, ..key.clone() };
    KeyChange { from, to }
}

async fn insert(store: &Arc<dyn Store>, key: KeyRecord) -> Result<bool, StoreError> {
    store.transact(KeyTransaction { insert: Some(key), ..KeyTransaction::default() }).await
}

async fn change_keys(store: &Arc<dyn Store>, changes: Vec<KeyChange>) -> Result<bool, StoreError> {
    store.transact(KeyTransaction { changes, ..KeyTransaction::default() }).await
}

pub(super) async fn keys_are_listed_oldest_first(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.keys().await.unwrap(), []);
    let newer = key(1, KeyState::Pending, at_min(1));
    let older = key(2, KeyState::Compromised, T);
    assert!(insert(&store, newer.clone()).await.unwrap());
    assert!(insert(&store, older.clone()).await.unwrap());
    assert_eq!(store.keys().await.unwrap(), [older, newer]);
}

pub(super) async fn a_known_kid_is_not_replaced(engine: &dyn Engine) {
    let store = engine.open();
    let first = key(1, KeyState::Active, T);
    assert!(insert(&store, first.clone()).await.unwrap());
    assert!(!insert(&store, key(1, KeyState::Pending, at_min(1))).await.unwrap());
    assert_eq!(store.keys().await.unwrap(), [first]);
}

pub(super) async fn changes_are_all_or_none(engine: &dyn Engine) {
    let store = engine.open();
    let active = key(1, KeyState::Active, T);
    let next = key(2, KeyState::Published, at_min(1));
    for known in [&active, &next] {
        assert!(insert(&store, known.clone()).await.unwrap());
    }
    let retires = change(&active, KeyState::Active, KeyState::Retiring, at_min(2));
    let wrong = change(&next, KeyState::Pending, KeyState::Active, at_min(2));
    let unknown = change(&key(3, KeyState::Pending, T), KeyState::Pending, KeyState::Active, at_min(2));
    assert!(!change_keys(&store, vec![retires.clone(), wrong]).await.unwrap());
    assert!(!change_keys(&store, vec![retires.clone(), unknown]).await.unwrap());
    assert_eq!(store.keys().await.unwrap(), [active.clone(), next.clone()], "none was changed");

    let takes_over = change(&next, KeyState::Published, KeyState::Active, at_min(2));
    assert!(change_keys(&store, vec![retires, takes_over]).await.unwrap());
    let expected = [
        KeyRecord { state: KeyState::Retiring, changed: at_min(2), ..active },
        KeyRecord { state: KeyState::Active, changed: at_min(2), ..next },
    ];
    assert_eq!(store.keys().await.unwrap(), expected, "state and changed, nothing else");
}

pub(super) async fn a_key_may_change_twice_in_one_go(engine: &dyn Engine) {
    let store = engine.open();
    let new = key(1, KeyState::Pending, T);
    assert!(insert(&store, new.clone()).await.unwrap());
    let published = change(&new, KeyState::Pending, KeyState::Published, at_min(1));
    let active = change(&new, KeyState::Published, KeyState::Active, at_min(2));
    assert!(change_keys(&store, vec![published, active]).await.unwrap());
    assert_eq!(store.keys().await.unwrap()[0].state, KeyState::Active);
}

pub(super) async fn of_racing_changes_one_wins(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let raced = key(1, KeyState::Active, T);
    assert!(insert(&stores[0], raced.clone()).await.unwrap());
    let changes: Vec<_> = (0..40)
        .map(|n| {
            let store = stores[n % 2].clone();
            let change = change(&raced, KeyState::Active, KeyState::Retiring, at_min(1));
            tokio::spawn(async move { change_keys(&store, vec![change]).await.unwrap() })
        })
        .collect();
    let mut won = 0;
    for change in changes {
        won += usize::from(change.await.unwrap());
    }
    assert_eq!(won, 1);
}

pub(super) async fn every_change_is_a_new_generation(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let mut last = other.generation().await.unwrap();
    let new = key(1, KeyState::Pending, T);
    assert!(insert(&store, new.clone()).await.unwrap());
    let next = other.generation().await.unwrap();
    assert_ne!(next, last, "a new key");
    last = next;
    let published = change(&new, KeyState::Pending, KeyState::Published, at_min(1));
    assert!(change_keys(&store, vec![published.clone()]).await.unwrap());
    let next = other.generation().await.unwrap();
    assert_ne!(next, last, "a changed key");
    last = next;
    assert!(!change_keys(&store, vec![published]).await.unwrap());
    assert!(!insert(&store, new).await.unwrap());
    assert!(change_keys(&store, vec![]).await.unwrap());
    assert_eq!(other.generation().await.unwrap(), last, "nothing changed");
}

pub(super) async fn a_key_moves_by_compare_and_set(engine: &dyn Engine) {
    let store = engine.open();
    let active = key(1, KeyState::Active, T);
    assert!(insert(&store, active.clone()).await.unwrap());
    let to = KeyLocation { custody: "store".to_owned(), locator: "elsewhere".to_owned() };
    let moves = KeyMove { kid: active.kid.clone(), state: KeyState::Active, from: active.location(), to: to.clone() };
    let try_move = async |change: KeyMove| {
        store.transact(KeyTransaction { moves: vec![change], ..KeyTransaction::default() }).await.unwrap()
    };
    assert!(!try_move(KeyMove { state: KeyState::Retiring, ..moves.clone() }).await);
    assert!(!try_move(KeyMove { from: to.clone(), ..moves.clone() }).await);
    assert!(
        !try_move(KeyMove { from: KeyLocation { locator: "x".to_owned(), ..active.location() }, ..moves.clone() })
            .await
    );
    assert_eq!(store.keys().await.unwrap(), std::slice::from_ref(&active));
    let before = store.generation().await.unwrap();
    assert!(try_move(moves.clone()).await);
    assert!(store.generation().await.unwrap() > before, "nodes load it again");
    assert!(!try_move(moves).await, "it has moved");
    assert_eq!(store.keys().await.unwrap(), [KeyRecord { custody: to.custody, locator: to.locator, ..active }]);
}
