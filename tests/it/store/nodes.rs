//! Nodes' reports, and leases.

use std::time::Duration;

use countersign::{
    clock::UnixMillis,
    domain::{key::KeyState, rotation::NodeReport},
    store::KeyTransaction,
};

use super::{Engine, T, at_day, at_min, keys::key};

fn report(node: &str, seen: UnixMillis, keys: &[u8]) -> NodeReport {
    let loaded =
        keys.iter().map(|n| (key(*n, KeyState::Active, T).kid, (*n < 9).then(|| "store".to_owned()))).collect();
    NodeReport { node: node.to_owned(), seen, loaded }
}

pub(super) async fn nodes_are_seen_while_they_report(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    store.report(report("a", T, &[]), vec![]).await.unwrap();
    store.report(report("b", T, &[1]), vec![]).await.unwrap();
    store.report(report("a", at_min(1), &[1, 2, 9]), vec![]).await.unwrap();
    assert_eq!(other.nodes(T).await.unwrap(), [report("a", at_min(1), &[1, 2, 9])], "9 does not say from where");
    assert_eq!(other.nodes(UnixMillis(T.0 - 1)).await.unwrap().len(), 2);
    other.forget_node("a").await.unwrap();
    assert_eq!(store.nodes(T).await.unwrap(), []);
    store.report(report("c", at_day(2), &[]), vec![]).await.unwrap();
    assert_eq!(store.nodes(UnixMillis(0)).await.unwrap(), [report("c", at_day(2), &[])], "the vanished are forgotten");
}

pub(super) async fn the_end_of_tokens_never_goes_back(engine: &dyn Engine) {
    let store = engine.open();
    let known = key(1, KeyState::Active, T);
    assert!(store.transact(KeyTransaction { insert: Some(known.clone()), ..KeyTransaction::default() }).await.unwrap());
    for until in [at_min(60), at_min(120), at_min(90)] {
        store.report(report("a", T, &[1]), vec![(known.kid.clone(), until)]).await.unwrap();
    }
    let ring = store.ring(&known.ring).await.unwrap();
    assert_eq!(ring.keys[0].1.tokens_until, Some(at_min(120)));
}

pub(super) async fn a_lease_has_one_holder(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let span = Duration::from_mins(1);
    assert!(store.lease("ring main", "a", T, span).await.unwrap());
    assert!(!other.lease("ring main", "b", T, span).await.unwrap());
    assert!(other.lease("ring other", "b", T, span).await.unwrap());
    assert!(store.lease("ring main", "a", T.plus(Duration::from_secs(59)), span).await.unwrap(), "kept");
    assert!(!other.lease("ring main", "b", at_min(1), span).await.unwrap());
    assert!(other.lease("ring main", "b", at_min(2), span).await.unwrap(), "the holder is gone");
    assert!(!store.lease("ring main", "a", at_min(2), span).await.unwrap());
}

pub(super) async fn of_racing_holders_one_wins(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let tries: Vec<_> = (0..40)
        .map(|n| {
            let store = stores[n % 2].clone();
            let holder = format!("holder-{n}");
            tokio::spawn(async move { store.lease("ring main", &holder, T, Duration::from_mins(1)).await.unwrap() })
        })
        .collect();
    let mut won = 0;
    for attempt in tries {
        won += usize::from(attempt.await.unwrap());
    }
    assert_eq!(won, 1);
}

pub(super) async fn a_lease_is_given_back_by_its_holder_only(engine: &dyn Engine) {
    let store = engine.open();
    let span = Duration::from_mins(1);
    assert!(store.lease("ring main", "a", T, span).await.unwrap());
    store.release("ring main", "b").await.unwrap();
    assert!(!store.lease("ring main", "b", T, span).await.unwrap());
    store.release("ring main", "a").await.unwrap();
    assert!(store.lease("ring main", "b", T, span).await.unwrap());
}
