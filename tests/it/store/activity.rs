//! Counts of answers by the minute.

use std::sync::Arc;

use countersign::{
    clock::UnixMillis,
    store::{ActivityCount, Store},
};

use super::{Engine, T, app, at_day, at_min};

fn count(minute: UnixMillis, name: &str, [mints, refreshes, refused]: [u64; 3]) -> ActivityCount {
    ActivityCount { minute, app: app(name), mints, refreshes, refused }
}

async fn all(store: &Arc<dyn Store>) -> Vec<ActivityCount> {
    store.activity_since(UnixMillis(0)).await.unwrap()
}

/// Two nodes count the same minute.
pub(super) async fn activity_adds_up(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    assert!(all(&store).await.is_empty());
    store.add_activity(Vec::new()).await.unwrap();
    store.add_activity(vec![count(at_min(1), "web", [1, 2, 3]), count(T, "web", [1, 0, 0])]).await.unwrap();
    other.add_activity(vec![count(at_min(1), "web", [10, 20, 30]), count(at_min(1), "ios", [0, 0, 7])]).await.unwrap();
    other.add_activity(vec![count(T, "web", [1, 0, 0]), count(T, "web", [2, 0, 1])]).await.unwrap();
    let later = [count(at_min(1), "ios", [0, 0, 7]), count(at_min(1), "web", [11, 22, 33])];
    assert_eq!(all(&store).await, [&[count(T, "web", [4, 0, 1])], &later[..]].concat());
    assert_eq!(store.activity_since(at_min(1)).await.unwrap(), later);
    assert!(store.activity_since(at_min(2)).await.unwrap().is_empty());
}

/// Nodes that write the same minutes in different orders do not wait for each other.
pub(super) async fn of_concurrent_activity_nothing_is_lost(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let adds: Vec<_> = (0..20)
        .map(|n: usize| {
            let store = stores[n % 2].clone();
            let mut counts =
                vec![count(T, "web", [1, 0, 0]), count(T, "ios", [0, 1, 0]), count(at_min(1), "web", [0, 0, 1])];
            counts.rotate_left(n % 3);
            tokio::spawn(async move { store.add_activity(counts).await.unwrap() })
        })
        .collect();
    for add in adds {
        add.await.unwrap();
    }
    let expected = [count(T, "ios", [0, 20, 0]), count(T, "web", [20, 0, 0]), count(at_min(1), "web", [0, 0, 20])];
    assert_eq!(all(&stores[0]).await, expected);
}

pub(super) async fn activity_is_kept_for_8_days(engine: &dyn Engine) {
    let store = engine.open();
    store.add_activity(vec![count(T, "web", [1, 1, 1]), count(at_min(1), "web", [2, 2, 2])]).await.unwrap();
    store.purge(at_day(7), 1000).await.unwrap();
    assert_eq!(all(&store).await.len(), 2);
    store.purge(at_day(8), 1000).await.unwrap();
    assert_eq!(all(&store).await, [count(at_min(1), "web", [2, 2, 2])]);
}

pub(super) async fn activity_survives_a_restart_and_a_backup(engine: &dyn Engine) {
    let store = engine.open();
    store.add_activity(vec![count(T, "web", [1, 2, 3])]).await.unwrap();
    engine.back_up(&store).await;
    drop(store);
    for store in [engine.open(), engine.open_backup()] {
        assert_eq!(all(&store).await, [count(T, "web", [1, 2, 3])]);
    }
}
