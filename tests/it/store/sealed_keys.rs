//! Sealed private keys.

use countersign::domain::{ids::Kid, key::KeyState};

use super::{Engine, T, keys::key};

fn kid(n: u8) -> Kid {
    key(n, KeyState::Active, T).kid
}

pub(super) async fn a_sealed_key_is_kept_as_it_was_given(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.sealed_key(&kid(1)).await.unwrap(), None);
    let long: Vec<u8> = (0..=255).cycle().take(4000).collect();
    for (n, sealed) in [(2, long.clone()), (1, vec![0])] {
        assert!(store.insert_sealed_key(&kid(n), sealed).await.unwrap());
    }
    assert!(!store.insert_sealed_key(&kid(1), vec![9]).await.unwrap(), "nothing is overwritten");
    drop(store);
    let store = engine.open();
    assert_eq!(store.sealed_key(&kid(1)).await.unwrap(), Some(vec![0]));
    assert_eq!(store.sealed_key(&kid(2)).await.unwrap(), Some(long));
    let mut kids = [kid(1), kid(2)];
    kids.sort();
    assert_eq!(store.sealed_keys().await.unwrap(), kids);
}

pub(super) async fn a_sealed_key_is_replaced_by_compare_and_set(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    assert!(!store.replace_sealed_key(&kid(1), vec![1], vec![2]).await.unwrap());
    assert!(store.insert_sealed_key(&kid(1), vec![1]).await.unwrap());
    assert!(!other.replace_sealed_key(&kid(1), vec![9], vec![2]).await.unwrap());
    assert!(other.replace_sealed_key(&kid(1), vec![1], vec![2]).await.unwrap());
    assert!(!store.replace_sealed_key(&kid(1), vec![1], vec![3]).await.unwrap());
    assert_eq!(store.sealed_key(&kid(1)).await.unwrap(), Some(vec![2]));
}

pub(super) async fn a_deleted_sealed_key_is_gone(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    assert!(store.insert_sealed_key(&kid(1), vec![1]).await.unwrap());
    assert!(store.insert_sealed_key(&kid(2), vec![2]).await.unwrap());
    assert!(other.delete_sealed_key(&kid(1)).await.unwrap());
    assert!(!store.delete_sealed_key(&kid(1)).await.unwrap());
    assert_eq!(store.sealed_key(&kid(1)).await.unwrap(), None);
    assert!(!store.replace_sealed_key(&kid(1), vec![1], vec![2]).await.unwrap(), "it does not come back");
    assert_eq!(store.sealed_keys().await.unwrap(), [kid(2)]);
}
