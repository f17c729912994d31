//! Transactions on keys, progress of a ring, publications, the audit log.

use countersign::{
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::RingName,
        key::{KeyRecord, KeyState},
        rotation::{Goal, Progress, Publication, Published},
    },
    store::{KeyLife, KeyMove, KeyTransaction, PublicationChange},
};

use super::{
    Engine, T, app, at_min,
    keys::{change, key},
};

pub(super) fn event(key: &KeyRecord, action: AuditAction, n: u64) -> AuditEvent {
    AuditEvent {
        at: at_min(n),
        actor: Actor::named("operator"),
        action,
        target: AuditTarget { ring: Some(key.ring.clone()), kid: Some(key.kid.clone()), ..AuditTarget::default() },
        outcome: AuditOutcome::Done,
        why: "because".to_owned(),
    }
}

fn progress(version: u64, goal: Goal) -> (RingName, Progress) {
    ("main".parse().unwrap(), Progress { version, goal, new_key: None })
}

fn shown(n: u64) -> Publication {
    Publication { asked: Some(at_min(n)), shown: Some(at_min(n + 1)), braze_id: Some("braze-1".to_owned()) }
}

/// A move of a key, whose location must be the other's, to where it is.
fn moved(key: &KeyRecord, other: &KeyRecord) -> KeyMove {
    KeyMove { kid: key.kid.clone(), state: key.state, from: other.location(), to: key.location() }
}

pub(super) async fn a_transaction_is_whole_or_nothing(engine: &dyn Engine) {
    let store = engine.open();
    let (first, second) = (key(1, KeyState::Active, T), key(2, KeyState::Pending, T));
    for key in [&first, &second] {
        let transaction = KeyTransaction {
            insert: Some(key.clone()),
            events: vec![event(key, AuditAction::Created, 0)],
            ..KeyTransaction::default()
        };
        assert!(store.transact(transaction).await.unwrap());
    }
    let before =
        (store.keys().await.unwrap(), store.audit_log(None, 9).await.unwrap(), store.generation().await.unwrap());
    let whole = || KeyTransaction {
        insert: Some(key(3, KeyState::Pending, T)),
        changes: vec![change(&first, KeyState::Active, KeyState::Retiring, at_min(1))],
        moves: vec![moved(&second, &second)],
        publications: vec![PublicationChange {
            app: app("web"),
            kid: first.kid.clone(),
            from: None,
            to: Some(shown(1)),
        }],
        progress: Some(progress(0, Goal::Rotating)),
        destroyed: Some((second.kid.clone(), at_min(1))),
        events: vec![event(&first, AuditAction::Retired, 1)],
    };
    let known = KeyTransaction { insert: Some(second.clone()), ..whole() };
    let state =
        KeyTransaction { changes: vec![change(&second, KeyState::Active, KeyState::Retiring, at_min(1))], ..whole() };
    let elsewhere = KeyTransaction { moves: vec![moved(&first, &second)], ..whole() };
    let from = Some(shown(7));
    let publication =
        KeyTransaction { publications: vec![PublicationChange { from, ..whole().publications[0].clone() }], ..whole() };
    let version = KeyTransaction { progress: Some(progress(1, Goal::Rotating)), ..whole() };
    for transaction in [known, state, elsewhere, publication, version] {
        assert!(!store.transact(transaction).await.unwrap());
        let after =
            (store.keys().await.unwrap(), store.audit_log(None, 9).await.unwrap(), store.generation().await.unwrap());
        assert_eq!(after, before, "nothing was done");
        let ring = store.ring(&first.ring).await.unwrap();
        assert_eq!((ring.publications, ring.progress), (vec![], Progress::default()));
        assert_eq!(ring.keys[1].1, KeyLife::default());
    }
    assert!(store.transact(whole()).await.unwrap());
    assert_ne!(store.generation().await.unwrap(), before.2);
    assert_eq!(store.keys().await.unwrap().len(), 3);
}

pub(super) async fn progress_is_a_compare_and_set(engine: &dyn Engine) {
    let store = engine.open();
    let ring = "main".parse().unwrap();
    let set = async |version, goal| {
        store
            .transact(KeyTransaction { progress: Some(progress(version, goal)), ..KeyTransaction::default() })
            .await
            .unwrap()
    };
    assert_eq!(store.ring(&ring).await.unwrap().progress, Progress::default());
    assert!(!set(1, Goal::Rotating).await);
    assert!(set(0, Goal::Rotating).await);
    assert!(!set(0, Goal::CleaningUp).await);
    assert!(set(1, Goal::CleaningUp).await);
    let new_key = Progress { version: 2, goal: Goal::Idle, new_key: Some(key(1, KeyState::Pending, T).kid) };
    let transaction = KeyTransaction { progress: Some((ring.clone(), new_key.clone())), ..KeyTransaction::default() };
    assert!(store.transact(transaction).await.unwrap());
    assert_eq!(engine.open().ring(&ring).await.unwrap().progress, Progress { version: 3, ..new_key });
}

pub(super) async fn of_racing_transactions_one_wins(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let attempts: Vec<_> = (0..40)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                store
                    .transact(KeyTransaction {
                        progress: Some(progress(0, Goal::Rotating)),
                        ..KeyTransaction::default()
                    })
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut won = 0;
    for attempt in attempts {
        won += usize::from(attempt.await.unwrap());
    }
    assert_eq!(won, 1);
}

pub(super) async fn publications_are_compare_and_set(engine: &dyn Engine) {
    let store = engine.open();
    let key = key(1, KeyState::Pending, T);
    assert!(store.transact(KeyTransaction { insert: Some(key.clone()), ..KeyTransaction::default() }).await.unwrap());
    let set = async |from: Option<Publication>, to: Option<Publication>| {
        let change = PublicationChange { app: app("web"), kid: key.kid.clone(), from, to };
        store.transact(KeyTransaction { publications: vec![change], ..KeyTransaction::default() }).await.unwrap()
    };
    let asked = Publication { asked: Some(T), shown: None, braze_id: None };
    assert!(set(None, Some(asked.clone())).await);
    assert!(!set(None, Some(asked.clone())).await, "somebody asked already");
    assert!(set(Some(asked.clone()), Some(shown(1))).await);
    assert!(!set(Some(asked), Some(shown(2))).await);
    let ring = store.ring(&key.ring).await.unwrap();
    assert_eq!(ring.publications, [Published { app: app("web"), kid: key.kid.clone(), publication: shown(1) }]);
    assert!(set(Some(shown(1)), None).await);
    assert_eq!(store.ring(&key.ring).await.unwrap().publications, []);
}

pub(super) async fn a_ring_is_seen_whole(engine: &dyn Engine) {
    let store = engine.open();
    let ours = key(1, KeyState::Active, T);
    let theirs = KeyRecord { ring: "other".parse().unwrap(), ..key(2, KeyState::Active, T) };
    for key in [&ours, &theirs] {
        let change = PublicationChange { app: app("web"), kid: key.kid.clone(), from: None, to: Some(shown(1)) };
        let transaction =
            KeyTransaction { insert: Some(key.clone()), publications: vec![change], ..KeyTransaction::default() };
        assert!(store.transact(transaction).await.unwrap());
    }
    let ring = store.ring(&ours.ring).await.unwrap();
    assert_eq!(ring.keys, [(ours.clone(), KeyLife::default())]);
    assert_eq!(ring.publications.len(), 1);
    assert_eq!(ring.publications[0].kid, ours.kid);
}

pub(super) async fn the_audit_log_is_listed_newest_first(engine: &dyn Engine) {
    let store = engine.open();
    let ours = key(1, KeyState::Active, T);
    let theirs = KeyRecord { ring: "other".parse().unwrap(), ..key(2, KeyState::Active, T) };
    let events = [
        event(&ours, AuditAction::Created, 0),
        event(&theirs, AuditAction::Created, 1),
        event(&ours, AuditAction::Activated, 2),
    ];
    for event in &events {
        assert!(
            store.transact(KeyTransaction { events: vec![event.clone()], ..KeyTransaction::default() }).await.unwrap()
        );
    }
    let store = engine.open();
    assert_eq!(store.audit_log(None, 9).await.unwrap(), [events[2].clone(), events[1].clone(), events[0].clone()]);
    assert_eq!(store.audit_log(Some(&ours.ring), 9).await.unwrap(), [events[2].clone(), events[0].clone()]);
    assert_eq!(store.audit_log(None, 1).await.unwrap(), [events[2].clone()]);
}

pub(super) async fn a_repeated_event_is_logged_once(engine: &dyn Engine) {
    let store = engine.open();
    let key = key(1, KeyState::Retired, T);
    let log = async |action, app: Option<&str>, n| {
        let mut event = event(&key, action, n);
        event.target.app = app.map(|name| name.parse().unwrap());
        assert!(store.transact(KeyTransaction { events: vec![event], ..KeyTransaction::default() }).await.unwrap());
    };
    for (action, at, n) in [
        (AuditAction::Withdrawn, Some("web"), 0),
        (AuditAction::Withdrawn, Some("web"), 1),
        (AuditAction::Withdrawn, Some("ios"), 2),
        (AuditAction::Published, Some("web"), 3),
        (AuditAction::Withdrawn, Some("web"), 4),
        (AuditAction::Refused, None, 5),
        (AuditAction::Refused, None, 6),
    ] {
        log(action, at, n).await;
    }
    let times: Vec<_> = store.audit_log(None, 9).await.unwrap().iter().map(|event| event.at).collect();
    assert_eq!(times, [at_min(6), at_min(5), at_min(4), at_min(3), at_min(2), at_min(0)]);
}

pub(super) async fn a_destroyed_key_stays_destroyed(engine: &dyn Engine) {
    let store = engine.open();
    let key = key(1, KeyState::Retired, T);
    assert!(store.transact(KeyTransaction { insert: Some(key.clone()), ..KeyTransaction::default() }).await.unwrap());
    for n in [1, 2] {
        let transaction = KeyTransaction { destroyed: Some((key.kid.clone(), at_min(n))), ..KeyTransaction::default() };
        assert!(store.transact(transaction).await.unwrap());
    }
    let ring = store.ring(&key.ring).await.unwrap();
    assert_eq!(ring.keys[0].1.destroyed, Some(at_min(1)));
}
