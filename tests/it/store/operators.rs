//! The records of operators, of their sessions of the console, and of their creations.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::UnixMillis,
    domain::{
        audit::{AuditAction, AuditEvent, Leaf},
        operator::{ConsoleSecret, ConsoleSession, OperatorName, OperatorRecord, OperatorToken, Role},
    },
    store::{CreationRequest, CreationState, Store},
};

use super::{Engine, T, at_day, at_min, audit::refuse};
use crate::support::domain::actor;

fn named(name: &str) -> OperatorName {
    name.parse().unwrap()
}

fn record(n: u8, name: &str, created: UnixMillis) -> OperatorRecord {
    let token = OperatorToken::new([n; 8], [n; 32]);
    OperatorRecord {
        name: named(name),
        role: Role::Viewer,
        hash: token.hash(),
        token: token.id,
        created,
        expires: None,
        revoked: None,
    }
}

fn console(n: u8, operator: &OperatorRecord, created: UnixMillis) -> ConsoleSession {
    ConsoleSession { hash: ConsoleSecret::new([n; 32]).hash(), token: operator.token.clone(), created, used: created }
}

/// Records have no equality, because their hashes have none; this shows everything.
fn shown(records: &[OperatorRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?} {:?}", record.hash.0)).collect()
}

async fn insert(store: &Arc<dyn Store>, operator: &OperatorRecord) -> bool {
    store.insert_operator(operator.clone(), &actor()).await.unwrap()
}

async fn begin(store: &Arc<dyn Store>, session: &ConsoleSession) -> bool {
    store.begin_console_session(session.clone(), T.minus(Duration::from_hours(8)), &actor()).await.unwrap()
}

async fn is_there(store: &Arc<dyn Store>, session: &ConsoleSession) -> bool {
    store.console_session(session.hash).await.unwrap().is_some()
}

/// Events of the log, oldest first.
async fn events(store: &Arc<dyn Store>) -> Vec<AuditEvent> {
    let leaves = store.audit_leaves(0, 1000).await.unwrap();
    leaves.iter().map(|leaf| Leaf::parse(&leaf.text).unwrap().event).collect()
}

pub(super) async fn operators_are_listed_oldest_first(engine: &dyn Engine) {
    let store = engine.open();
    assert!(store.operators().await.unwrap().is_empty());
    let newer = OperatorRecord { expires: Some(at_min(9)), role: Role::Operator, ..record(1, "ann", at_min(1)) };
    let older = record(2, "bob", T);
    assert!(insert(&store, &newer).await);
    assert!(insert(&store, &older).await);
    assert_eq!(shown(&engine.open().operators().await.unwrap()), shown(&[older, newer]));
}

pub(super) async fn a_name_has_one_live_operator(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let inserts: Vec<_> = (0..20)
        .map(|n| {
            let store = stores[usize::from(n % 2)].clone();
            tokio::spawn(async move { insert(&store, &record(n, "ann", T)).await })
        })
        .collect();
    let mut kept = 0;
    for insert in inserts {
        kept += usize::from(insert.await.unwrap());
    }
    assert_eq!((kept, stores[0].operators().await.unwrap().len()), (1, 1));
    let first = stores[0].operators().await.unwrap().remove(0);
    assert!(insert(&stores[0], &record(30, "bob", T)).await, "another name");
    assert!(!insert(&stores[0], &OperatorRecord { name: named("eve"), ..first }).await, "the token is on record");
}

pub(super) async fn a_name_is_free_after_its_end(engine: &dyn Engine) {
    let store = engine.open();
    assert!(insert(&store, &OperatorRecord { expires: Some(at_min(5)), ..record(1, "ann", T) }).await);
    assert!(!insert(&store, &record(2, "ann", at_min(4))).await, "the first is live then");
    assert!(insert(&store, &record(2, "ann", at_min(5))).await, "the first has expired then");
    assert!(store.revoke_operator(&named("ann"), at_min(6), &actor()).await.unwrap());
    assert!(insert(&store, &record(3, "ann", at_min(6))).await);
}

pub(super) async fn a_revoked_operator_stays_revoked(engine: &dyn Engine) {
    let store = engine.open();
    assert!(!store.revoke_operator(&named("ann"), T, &actor()).await.unwrap(), "there is none");
    for operator in [record(1, "ann", T), record(2, "bob", T)] {
        assert!(insert(&store, &operator).await);
    }
    assert!(store.revoke_operator(&named("ann"), at_min(1), &actor()).await.unwrap());
    assert!(!store.revoke_operator(&named("ann"), at_min(2), &actor()).await.unwrap());
    let revoked: Vec<_> = store.operators().await.unwrap().iter().map(|operator| operator.revoked).collect();
    assert_eq!(revoked, [Some(at_min(1)), None], "the first end stays");
}

pub(super) async fn a_console_session_is_kept_until_it_ends(engine: &dyn Engine) {
    let (store, operator) = (engine.open(), record(1, "ann", T));
    let session = console(7, &operator, at_min(1));
    assert!(!begin(&store, &session).await, "there is no such operator");
    assert!(!is_there(&store, &session).await);
    assert!(insert(&store, &operator).await);
    assert!(begin(&store, &session).await);
    store.use_console_session(session.hash, at_min(9)).await.unwrap();
    store.use_console_session(session.hash, at_min(5)).await.unwrap();
    let found = engine.open().console_session(session.hash).await.unwrap().unwrap();
    assert!(found.hash.matches(&session.hash));
    assert_eq!((found.token, found.created, found.used), (operator.token.clone(), at_min(1), at_min(9)));
    assert!(!is_there(&store, &console(8, &operator, T)).await, "another hash");
    store.end_console_session(session.hash).await.unwrap();
    assert!(!is_there(&store, &session).await);
    store.use_console_session(session.hash, at_min(10)).await.unwrap();
    assert!(!is_there(&store, &session).await);
}

pub(super) async fn console_sessions_end_with_their_operator(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let (ann, bob) = (record(1, "ann", T), record(2, "bob", T));
    let sessions = [console(1, &ann, T), console(2, &ann, at_min(1)), console(3, &bob, T)];
    for operator in [&ann, &bob] {
        assert!(insert(&store, operator).await);
    }
    for session in &sessions {
        assert!(begin(&store, session).await);
    }
    assert!(store.revoke_operator(&ann.name, at_min(2), &actor()).await.unwrap());
    for (session, stays) in sessions.iter().zip([false, false, true]) {
        assert_eq!(is_there(&other, session).await, stays);
    }
    assert!(!begin(&store, &console(4, &ann, at_min(3))).await, "a revoked operator logs in no more");
    let again = record(5, "ann", at_min(4));
    assert!(insert(&store, &again).await);
    assert!(!is_there(&store, &sessions[0]).await, "the name is another's now");
}

pub(super) async fn a_login_deletes_expired_console_sessions(engine: &dyn Engine) {
    let (store, operator) = (engine.open(), record(1, "ann", T));
    assert!(insert(&store, &operator).await);
    let (old, newer, new) =
        (console(1, &operator, T), console(2, &operator, at_min(1)), console(3, &operator, at_min(9)));
    for session in [&old, &newer] {
        assert!(begin(&store, session).await);
    }
    assert!(store.begin_console_session(new.clone(), T, &actor()).await.unwrap());
    assert!(!is_there(&store, &old).await);
    assert!(is_there(&store, &newer).await && is_there(&store, &new).await);
}

/// The log says who was put on record, revoked, and logged in; what changed nothing leaves no leaf.
pub(super) async fn acts_on_operators_leave_leaves(engine: &dyn Engine) {
    let (store, operator) = (engine.open(), record(0xab, "ann", T));
    let token = "abababababababab";
    assert!(insert(&store, &operator).await);
    assert!(!insert(&store, &record(2, "ann", T)).await);
    assert!(begin(&store, &console(1, &operator, at_min(1))).await);
    assert!(store.revoke_operator(&operator.name, at_min(2), &actor()).await.unwrap());
    assert!(!store.revoke_operator(&operator.name, at_min(3), &actor()).await.unwrap());
    assert!(!begin(&store, &console(2, &operator, at_min(4))).await);
    let found: Vec<_> = events(&store).await.into_iter().map(|event| (event.action, event.at, event.why)).collect();
    let expected = [
        (AuditAction::OperatorCreated, T, format!("operator ann, role viewer, token {token}")),
        (AuditAction::OperatorLoggedIn, at_min(1), format!("operator ann, token {token}")),
        (AuditAction::OperatorRevoked, at_min(2), "operator ann".to_owned()),
    ];
    assert_eq!(found, expected);
    assert!(events(&store).await.iter().all(|event| event.actor == actor()));
}

/// The revocation takes effect, and its record waits; nothing else is done.
pub(super) async fn only_a_revocation_is_done_without_its_leaf(engine: &dyn Engine) {
    let (store, operator) = (engine.open(), record(1, "ann", T));
    let session = console(1, &operator, T);
    assert!(insert(&store, &operator).await && begin(&store, &session).await);
    refuse(engine, "audit_leaves");
    assert!(store.insert_operator(record(2, "bob", T), &actor()).await.is_err());
    assert!(store.begin_console_session(console(2, &operator, T), T, &actor()).await.is_err());
    assert!(store.revoke_operator(&operator.name, at_min(1), &actor()).await.unwrap());
    assert!(!is_there(&store, &session).await);
    assert_eq!(store.operators().await.unwrap().len(), 1);
    assert_eq!(store.audit_head().await.unwrap().waiting, 1);
}

fn request(key: &str, hash: u8, at: UnixMillis) -> CreationRequest {
    CreationRequest { actor: "operator ann".to_owned(), key: key.to_owned(), request: [hash; 32], at }
}

/// Begins a creation as the operators' API does, which forgets after a day.
async fn ask(store: &Arc<dyn Store>, request: &CreationRequest) -> CreationState {
    store.begin_creation(request.clone(), request.at.minus(Duration::from_hours(24))).await.unwrap()
}

pub(super) async fn a_creation_is_done_once(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let first = request("k", 1, T);
    assert_eq!(ask(&store, &first).await, CreationState::New);
    assert_eq!(ask(&other, &request("k", 1, at_min(1))).await, CreationState::Begun);
    assert_eq!(ask(&other, &request("k", 2, at_min(1))).await, CreationState::OtherRequest);
    assert_eq!(ask(&other, &request("l", 2, at_min(1))).await, CreationState::New, "another key");
    let another = CreationRequest { actor: "operator bob".to_owned(), ..first.clone() };
    assert_eq!(ask(&other, &another).await, CreationState::New, "another actor");
    store.end_creation(&first.actor, &first.key, Some("id-1")).await.unwrap();
    let done = CreationState::Done { id: "id-1".to_owned() };
    assert_eq!(ask(&engine.open(), &request("k", 1, at_min(2))).await, done);
    assert_eq!(ask(&other, &request("k", 2, at_min(2))).await, CreationState::OtherRequest);
    store.end_creation(&first.actor, &first.key, None).await.unwrap();
    assert_eq!(ask(&store, &request("k", 1, at_min(3))).await, done, "what is done is not taken back");
    assert_eq!(ask(&store, &another).await, CreationState::Begun, "the other's is its own");
}

pub(super) async fn a_creation_that_failed_may_be_asked_for_again(engine: &dyn Engine) {
    let (store, first) = (engine.open(), request("k", 1, T));
    assert_eq!(ask(&store, &first).await, CreationState::New);
    store.end_creation(&first.actor, &first.key, None).await.unwrap();
    assert_eq!(ask(&store, &request("k", 2, at_min(1))).await, CreationState::New, "also by another request");
}

pub(super) async fn a_creation_is_forgotten_after_a_day(engine: &dyn Engine) {
    let (store, first) = (engine.open(), request("k", 1, T));
    assert_eq!(ask(&store, &first).await, CreationState::New);
    store.end_creation(&first.actor, &first.key, Some("id-1")).await.unwrap();
    let done = CreationState::Done { id: "id-1".to_owned() };
    let later = at_day(1).minus(Duration::from_millis(1));
    assert_eq!(ask(&store, &request("k", 1, later)).await, done);
    assert_eq!(ask(&store, &request("k", 2, at_day(1))).await, CreationState::New);
    assert_eq!(ask(&store, &request("k", 2, at_day(1))).await, CreationState::Begun, "what was made before is gone");
}

pub(super) async fn of_racing_creations_one_is_new(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let asks: Vec<_> = (0..20)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { ask(&store, &request("k", 1, T)).await })
        })
        .collect();
    let mut new = 0;
    for asked in asks {
        match asked.await.unwrap() {
            CreationState::New => new += 1,
            other => assert_eq!(other, CreationState::Begun),
        }
    }
    assert_eq!(new, 1);
}

pub(super) async fn a_purge_forgets_what_is_over(engine: &dyn Engine) {
    let (store, operator) = (engine.open(), record(1, "ann", T));
    assert!(insert(&store, &operator).await);
    let (old, new) = (console(1, &operator, T), console(2, &operator, at_min(1)));
    assert!(begin(&store, &old).await && begin(&store, &new).await);
    let never = UnixMillis(0);
    for (key, at) in [("old", T), ("new", at_min(1))] {
        assert_eq!(store.begin_creation(request(key, 1, at), never).await.unwrap(), CreationState::New);
    }
    store.purge(at_day(1), 1000).await.unwrap();
    assert!(!is_there(&store, &old).await);
    assert!(is_there(&store, &new).await);
    assert_eq!(store.begin_creation(request("old", 1, T), never).await.unwrap(), CreationState::New);
    assert_eq!(store.begin_creation(request("new", 1, T), never).await.unwrap(), CreationState::Begun);
    assert_eq!(store.operators().await.unwrap().len(), 1, "operators stay");
}

pub(super) async fn operators_survive_a_restart_and_a_backup(engine: &dyn Engine) {
    let (store, operator) = (engine.open(), record(1, "ann", T));
    assert!(insert(&store, &operator).await);
    let first = request("k", 1, T);
    assert_eq!(ask(&store, &first).await, CreationState::New);
    engine.back_up(&store).await;
    drop(store);
    for store in [engine.open(), engine.open_backup()] {
        assert_eq!(shown(&store.operators().await.unwrap()), shown(std::slice::from_ref(&operator)));
        assert_eq!(ask(&store, &first).await, CreationState::Begun);
    }
}
