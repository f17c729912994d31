//! The audit log: each act leaves its leaf in its own transaction, and leaves follow each other without a gap.

use std::{collections::BTreeMap, sync::Arc};

use countersign::{
    clock::{BootId, ClockAcceptance, ClockFloor, Reading},
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget, Leaf},
        key::KeyState,
        session::{Ended, Session},
    },
    store::{AuditHead, KeyTransaction, SavedCheckpoint, Store, StoreError},
};

use super::{Engine, T, api_keys, app, at_min, keep, keys, provider_logins as logins, rotations, session, user};

const EVERY_LEAF: u32 = 100_000;

fn operator() -> Actor {
    Actor::of_request("bob \"the\" operator", "request-1")
}

/// All leaves. Each text is that of what its columns show, with the next index.
pub(crate) async fn leaves(store: &Arc<dyn Store>) -> Vec<Leaf> {
    let found = store.audit_leaves(0, EVERY_LEAF).await.unwrap();
    let head = store.audit_head().await.unwrap();
    assert_eq!(found.len() as u64, head.size);
    let leaves = found.into_iter().zip(0..).map(|(found, index)| {
        let leaf = Leaf::parse(&found.text).unwrap_or_else(|why| panic!("{why}: {}", found.text));
        assert_eq!((leaf.index, found.index), (index, index));
        assert_eq!((Some(&leaf.event), leaf.text()), (found.shown.as_ref(), found.text));
        leaf
    });
    leaves.collect()
}

/// Does something, and returns the events of the leaves that it left.
async fn left_by(store: &Arc<dyn Store>, act: impl Future<Output = ()>) -> Vec<AuditEvent> {
    let before = leaves(store).await.len();
    act.await;
    leaves(store).await.into_iter().skip(before).map(|leaf| leaf.event).collect()
}

fn event(action: AuditAction, target: AuditTarget, why: &str, at: u64) -> AuditEvent {
    let (actor, outcome) = (operator(), AuditOutcome::Done);
    AuditEvent { at: at_min(at), actor, action, target, outcome, why: why.to_owned() }
}

fn acceptance() -> ClockAcceptance {
    let reading = Reading { wall: at_min(6), boot: std::time::Duration::from_mins(6) };
    let floor = ClockFloor::at_wall(reading, BootId(Some("one".to_owned())));
    ClockAcceptance { floor, before: Some(at_min(9)), actor: "bob".to_owned() }
}

/// Transaction that puts a key on record with one event.
fn new_key(n: u8, action: AuditAction) -> KeyTransaction {
    let key = keys::key(n, KeyState::Pending, T);
    let events = vec![rotations::event(&key, action, 1)];
    KeyTransaction { insert: Some(key), events, ..KeyTransaction::default() }
}

fn of_session(session: &Session) -> AuditTarget {
    let (app, user, session) = (Some(session.app.clone()), Some(session.user), Some(session.id));
    AuditTarget { app, user, session, ..AuditTarget::default() }
}

fn of_app(name: Option<&str>) -> AuditTarget {
    AuditTarget { app: name.map(app), ..AuditTarget::default() }
}

fn of_user(n: u8, name: Option<&str>) -> AuditTarget {
    AuditTarget { user: Some(user(n)), ..of_app(name) }
}

fn of_key(n: u8) -> AuditTarget {
    let key = api_keys::record(n, "shop", T);
    AuditTarget { client: Some(key.client), api_key: Some(key.id), ..AuditTarget::default() }
}

pub(super) async fn each_act_leaves_its_leaf(engine: &dyn Engine) {
    let (store, by) = (engine.open(), operator());
    let sessions = [1, 2, 3].map(|n| session(n, T));
    for one in &sessions {
        keep(&store, one).await;
    }
    assert_eq!(leaves(&store).await, [], "a login is no act");
    let left = left_by(&store, async {
        assert!(store.end_session(sessions[0].id, Ended::Logout, at_min(1), &by).await.unwrap());
        assert!(store.end_session(sessions[1].id, Ended::Reused, at_min(2), &by).await.unwrap());
        let adopted = Session { ended: Some(Ended::Revoked), ..session(9, at_min(3)) };
        store.adopt_session(adopted, None, &by).await.unwrap();
        store.adopt_session(session(8, at_min(3)), None, &by).await.unwrap();
        assert!(store.opt_out(user(2), Some(&app("web")), at_min(4), &by).await.unwrap());
        assert!(store.opt_in(user(2), Some(&app("web")), at_min(5), &by).await.unwrap());
        store.end_sessions_of_user(user(1), None, at_min(6), &by).await.unwrap();
        store.end_sessions_of_app(None, at_min(7), &by).await.unwrap();
    });
    let expected = [
        event(AuditAction::SessionEnded, of_session(&sessions[0]), "logout", 1),
        event(AuditAction::ReuseDetected, of_session(&sessions[1]), "reused", 2),
        event(
            AuditAction::SessionEnded,
            of_session(&session(9, T.plus(std::time::Duration::from_mins(3)))),
            "revoked",
            3,
        ),
        event(AuditAction::OptedOut, of_user(2, Some("web")), "", 4),
        event(AuditAction::OptedIn, of_user(2, Some("web")), "", 5),
        event(AuditAction::UserSessionsEnded, of_user(1, None), "", 6),
        event(AuditAction::AppSessionsEnded, of_app(None), "", 7),
    ];
    assert_eq!(left.await, expected);
    let first = leaves(&store).await.remove(0);
    assert_eq!(first.installation.unwrap().to_string(), "07".repeat(16));
    assert_eq!(first.epoch, 1);

    let logout = logins::logout(1, &[logins::of_subject(1, at_min(5)), logins::of_subject(2, at_min(5))]);
    let created = new_key(1, AuditAction::Created);
    let left = left_by(&store, async {
        store.sign_out(&app("web"), logout, at_min(1), &by).await.unwrap();
        let key = api_keys::record(1, "shop", T);
        assert!(store.insert_api_key(key.clone(), 2, &by).await.unwrap());
        assert!(store.revoke_api_key(&key.id, at_min(2), &by).await.unwrap());
        store.accept_clock(acceptance()).await.unwrap();
        assert!(store.transact(created.clone()).await.unwrap());
        let intent = AuditEvent { outcome: AuditOutcome::Intended, ..created.events[0].clone() };
        store.append_events(vec![intent.clone(), intent]).await.unwrap();
    });
    let left = left.await;
    let target = AuditTarget { client: None, ..of_key(1) };
    let revoked = event(AuditAction::ApiKeyRevoked, left[2].target.clone(), "", 2);
    assert!([target, of_key(1)].contains(&revoked.target), "{revoked:?}");
    let accepted = event(AuditAction::ClockAccepted, AuditTarget::default(), &left[3].why, 6);
    let intent = AuditEvent { outcome: AuditOutcome::Intended, ..created.events[0].clone() };
    let expected = [
        event(AuditAction::SignedOut, of_app(Some("web")), "", 1),
        event(AuditAction::ApiKeyCreated, of_key(1), "", 0),
        revoked,
        AuditEvent { actor: Actor::named("bob"), ..accepted },
        created.events[0].clone(),
        intent.clone(),
        intent,
    ];
    assert_eq!(left, expected);
}

pub(super) async fn what_changes_nothing_leaves_no_leaf(engine: &dyn Engine) {
    let (store, by) = (engine.open(), operator());
    let ended = session(1, T);
    keep(&store, &ended).await;
    assert!(store.end_session(ended.id, Ended::Logout, at_min(1), &by).await.unwrap());
    store.opt_out(user(2), None, T, &by).await.unwrap();
    let key = api_keys::record(1, "shop", T);
    assert!(store.insert_api_key(key.clone(), 1, &by).await.unwrap());
    let logout = || logins::logout(1, &[logins::of_subject(1, at_min(5))]);
    store.sign_out(&app("web"), logout(), T, &by).await.unwrap();
    assert!(store.transact(new_key(1, AuditAction::Created)).await.unwrap());
    let left = left_by(&store, async {
        assert!(!store.end_session(ended.id, Ended::Reused, at_min(1), &by).await.unwrap());
        assert!(!store.end_session(session(7, T).id, Ended::Reused, at_min(1), &by).await.unwrap());
        store.adopt_session(Session { ended: Some(Ended::Revoked), ..ended.clone() }, None, &by).await.unwrap();
        assert!(!store.opt_out(user(2), None, at_min(1), &by).await.unwrap());
        assert!(!store.opt_in(user(3), None, at_min(1), &by).await.unwrap());
        assert!(!store.insert_api_key(key.clone(), 9, &by).await.unwrap());
        assert!(!store.insert_api_key(api_keys::record(2, "shop", T), 1, &by).await.unwrap());
        assert!(!store.revoke_api_key(&api_keys::record(3, "shop", T).id, at_min(1), &by).await.unwrap());
        store.sign_out(&app("web"), logout(), at_min(1), &by).await.unwrap();
        assert!(!store.transact(new_key(1, AuditAction::Created)).await.unwrap());
        let again = KeyTransaction { insert: None, ..new_key(1, AuditAction::Created) };
        assert!(store.transact(again).await.unwrap(), "a step that is repeated");
        store.append_events(Vec::new()).await.unwrap();
    });
    assert_eq!(left.await, []);
}

/// Refuses each insert into a table, as a full disk or a mistake in the rights could.
pub(super) fn refuse(engine: &dyn Engine, table: &str) {
    let sqlite = format!(
        "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'refused for a test'); END"
    );
    let postgres = format!(
        "CREATE OR REPLACE FUNCTION countersign.refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'refused for a test'; END $$;
         CREATE TRIGGER refuse_{table} BEFORE INSERT ON countersign.{table} FOR EACH STATEMENT
            EXECUTE FUNCTION countersign.refuse()"
    );
    engine.sql(&sqlite, &postgres).unwrap();
}

fn accept(engine: &dyn Engine, table: &str) {
    let (sqlite, postgres) =
        (format!("DROP TRIGGER refuse_{table}"), format!("DROP TRIGGER refuse_{table} ON countersign.{table}"));
    engine.sql(&sqlite, &postgres).unwrap();
}

pub(super) async fn an_act_without_its_leaf_is_not_done(engine: &dyn Engine) {
    let (store, by) = (engine.open(), operator());
    store.opt_out(user(2), None, T, &by).await.unwrap();
    refuse(engine, "audit_leaves");
    let refused = [
        store.opt_in(user(2), None, at_min(1), &by).await.map(drop),
        store.insert_api_key(api_keys::record(1, "shop", T), 2, &by).await.map(drop),
        store.transact(new_key(1, AuditAction::Activated)).await.map(drop),
        store.accept_clock(acceptance()).await,
        store
            .replace_audit_key(None, vec![1], Some(event(AuditAction::AuditKeyChanged, of_app(None), "", 1)))
            .await
            .map(drop),
        store.append_events(vec![event(AuditAction::Publishing, of_app(None), "", 1)]).await,
    ];
    for (n, refused) in refused.into_iter().enumerate() {
        let why = refused.expect_err(&n.to_string()).to_string();
        assert!(why.contains("refused for a test"), "{n}: {why}");
    }
    assert!(store.is_opted_out(user(2), &app("web")).await.unwrap());
    assert!(store.api_keys().await.unwrap().is_empty());
    assert!(store.keys().await.unwrap().is_empty());
    assert_eq!(store.clock_record().await.unwrap().acceptance, None);
    assert_eq!(store.audit_key().await.unwrap(), None);
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.size, head.waiting), (1, 0));
    accept(engine, "audit_leaves");
    assert!(store.opt_in(user(2), None, at_min(1), &by).await.unwrap());
    assert_eq!(leaves(&store).await.len(), 2);
}

/// Stops all that can be stopped. Returns the actions in their order.
async fn stop_everything(store: &Arc<dyn Store>, round: u8) -> Vec<AuditAction> {
    let (by, at) = (operator(), at_min(1));
    let [one, two] = [session(round, T), session(round + 1, T)];
    assert!(store.end_session(one.id, Ended::Logout, at, &by).await.unwrap());
    assert!(store.end_session(two.id, Ended::Reused, at, &by).await.unwrap());
    assert!(store.opt_out(user(round), None, at, &by).await.unwrap());
    store.end_sessions_of_user(user(1), None, at, &by).await.unwrap();
    store.end_sessions_of_app(None, at, &by).await.unwrap();
    let logout = logins::logout(round, &[logins::of_subject(1, at_min(5))]);
    store.sign_out(&app("web"), logout, at, &by).await.unwrap();
    assert!(store.revoke_api_key(&api_keys::record(round, "shop", T).id, at, &by).await.unwrap());
    let adopted = Session { ended: Some(Ended::Revoked), ..session(round + 2, at_min(2)) };
    store.adopt_session(adopted, None, &by).await.unwrap();
    assert!(store.transact(new_key(round, AuditAction::Compromised)).await.unwrap());
    let reads = [one, two].map(|one| async move { store.session(one.id).await.unwrap().unwrap().ended });
    let [first, second] = reads;
    assert_eq!((first.await, second.await), (Some(Ended::Logout), Some(Ended::Reused)));
    assert!(store.is_opted_out(user(round), &app("web")).await.unwrap());
    assert!(store.api_keys().await.unwrap().iter().all(|key| key.revoked.is_some()));
    assert!(store.session(session(round + 2, at_min(2)).id).await.unwrap().unwrap().ended.is_some());
    assert!(store.keys().await.unwrap().iter().any(|key| key.kid == keys::key(round, KeyState::Pending, T).kid));
    vec![
        AuditAction::SessionEnded,
        AuditAction::ReuseDetected,
        AuditAction::OptedOut,
        AuditAction::UserSessionsEnded,
        AuditAction::AppSessionsEnded,
        AuditAction::SignedOut,
        AuditAction::ApiKeyRevoked,
        AuditAction::SessionEnded,
        AuditAction::Compromised,
    ]
}

/// What [`stop_everything`] stops.
async fn begin(store: &Arc<dyn Store>, round: u8) {
    for n in [round, round + 1] {
        keep(store, &session(n, T)).await;
    }
    assert!(store.insert_api_key(api_keys::record(round, "shop", T), 9, &operator()).await.unwrap());
}

async fn actions(store: &Arc<dyn Store>) -> Vec<AuditAction> {
    leaves(store).await.into_iter().map(|leaf| leaf.event.action).collect()
}

pub(super) async fn a_stop_without_its_leaf_is_done_and_waits(engine: &dyn Engine) {
    let store = engine.open();
    begin(&store, 10).await;
    refuse(engine, "audit_leaves");
    let mut expected = stop_everything(&store, 10).await;
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.size, head.waiting), (1, 9));
    accept(engine, "audit_leaves");
    // Another process appends them.
    drop(store);
    let store = engine.open();
    assert!(store.opt_in(user(10), None, at_min(2), &operator()).await.unwrap());
    expected.insert(0, AuditAction::ApiKeyCreated);
    expected.push(AuditAction::OptedIn);
    assert_eq!(actions(&store).await, expected);
    assert_eq!(store.audit_head().await.unwrap().waiting, 0);
}

pub(super) async fn a_stop_that_cannot_even_wait_is_held(engine: &dyn Engine) {
    let store = engine.open();
    begin(&store, 10).await;
    refuse(engine, "audit_leaves");
    refuse(engine, "audit_waiting");
    let mut expected = stop_everything(&store, 10).await;
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.size, head.waiting), (1, 9));
    store.opt_in(user(10), None, at_min(2), &operator()).await.unwrap_err();
    assert!(store.is_opted_out(user(10), &app("web")).await.unwrap(), "other acts wait for what is held");
    accept(engine, "audit_waiting");
    accept(engine, "audit_leaves");
    store.append_events(Vec::new()).await.unwrap();
    expected.insert(0, AuditAction::ApiKeyCreated);
    assert_eq!(actions(&store).await, expected);
    assert_eq!(store.audit_head().await.unwrap().waiting, 0);
}

/// A node of the version before runs beside this one during a rolling update. This is its statement.
pub(super) async fn rows_of_the_version_before_become_leaves(engine: &dyn Engine) {
    let (store, by) = (engine.open(), operator());
    let ring = Some("main".parse().unwrap());
    store.opt_out(user(1), None, T, &by).await.unwrap();
    for n in 1..=2 {
        let values = format!("({n}, 'main', NULL, 'web', 'activated', 'node \"{n}\"', 'tab\tand ü')");
        let insert = |table| format!("INSERT INTO {table} (at, ring, kid, app, action, actor, why) VALUES {values}");
        engine.sql(&insert("audit_log"), &insert("countersign.audit_log")).unwrap();
    }
    let left = left_by(&store, async { store.append_events(Vec::new()).await.unwrap() }).await;
    let expected = [1, 2].map(|n| AuditEvent {
        at: countersign::clock::UnixMillis(n),
        actor: Actor::named(format!("node \"{n}\"")),
        action: AuditAction::Activated,
        target: AuditTarget { ring: ring.clone(), ..of_app(Some("web")) },
        outcome: AuditOutcome::Done,
        why: "tab\tand ü".to_owned(),
    });
    assert_eq!(left, expected);
    let newest: Vec<AuditEvent> = expected.iter().rev().cloned().collect();
    assert_eq!(store.audit_log(ring.as_ref(), 9).await.unwrap(), newest);
    store.append_events(Vec::new()).await.unwrap();
    assert_eq!(leaves(&store).await.len(), 3, "each is swept once");
}

pub(super) async fn nobody_changes_a_leaf(engine: &dyn Engine) {
    let store = engine.open();
    store.opt_out(user(1), None, T, &operator()).await.unwrap();
    let before = leaves(&store).await;
    for change in ["UPDATE audit_leaves SET why = 'changed'", "DELETE FROM audit_leaves"] {
        let refused = engine.sql(change, &change.replace("audit", "countersign.audit")).unwrap_err();
        assert!(refused.contains("the audit log is append-only"), "{refused}");
    }
    assert_eq!(leaves(&store).await, before);
}

pub(super) async fn after_a_fork_only_stops_are_done(engine: &dyn Engine) {
    let (store, by) = (engine.open(), operator());
    store.opt_out(user(5), None, T, &by).await.unwrap();
    keep(&store, &session(1, T)).await;
    store.report_fork("checkpoint 7 is larger than the log").await.unwrap();
    store.report_fork("a later one").await.unwrap();
    let intent = AuditEvent { outcome: AuditOutcome::Intended, ..event(AuditAction::Publishing, of_app(None), "", 1) };
    let refused = [
        store.opt_in(user(5), None, at_min(1), &by).await.map(drop),
        store.insert_api_key(api_keys::record(1, "shop", T), 2, &by).await.map(drop),
        store.transact(new_key(1, AuditAction::Created)).await.map(drop),
        store.accept_clock(acceptance()).await,
        store.append_events(vec![intent]).await,
    ];
    for refused in refused {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StoreError::Forked { .. }), "{refused}");
        let said = refused.to_string();
        assert!(said.contains("checkpoint 7 is larger than the log") && said.contains("audit verify"), "{said}");
    }
    assert!(store.end_session(session(1, T).id, Ended::Logout, at_min(2), &by).await.unwrap());
    store
        .append_events(vec![event(AuditAction::Published, of_app(None), "the outcome of an intent", 1)])
        .await
        .unwrap();
    assert_eq!(leaves(&store).await.len(), 3);

    let head = store.audit_head().await.unwrap();
    assert!(store.begin_epoch(head, event(AuditAction::EpochBegun, of_app(None), "looked at", 3)).await.unwrap());
    assert_eq!(store.audit_head().await.unwrap().fork, None);
    assert!(store.opt_in(user(5), None, at_min(4), &by).await.unwrap());
}

pub(super) async fn an_epoch_begins_at_the_head_that_was_seen(engine: &dyn Engine) {
    let store = engine.open();
    store.opt_out(user(1), None, T, &operator()).await.unwrap();
    let old = store.audit_head().await.unwrap();
    assert_eq!(old, AuditHead { size: 1, epoch: 1, epoch_begun_at: 0, waiting: 0, fork: None });
    store.opt_out(user(2), None, T, &operator()).await.unwrap();
    let begun = || event(AuditAction::EpochBegun, of_app(None), "{\"size\":2}", 1);
    assert!(!store.begin_epoch(old, begun()).await.unwrap());
    let seen = store.audit_head().await.unwrap();
    assert!(store.begin_epoch(seen.clone(), begun()).await.unwrap());
    assert!(!store.begin_epoch(seen, begun()).await.unwrap());
    store.opt_out(user(3), None, T, &operator()).await.unwrap();
    let head = AuditHead { size: 4, epoch: 2, epoch_begun_at: 2, waiting: 0, fork: None };
    assert_eq!(store.audit_head().await.unwrap(), head);
    let leaves = leaves(&store).await;
    assert_eq!(leaves.iter().map(|leaf| leaf.epoch).collect::<Vec<_>>(), [1, 1, 2, 2]);
    assert_eq!(leaves[2].event, begun());
}

pub(super) async fn the_audit_key_is_replaced_by_compare_and_set(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.audit_key().await.unwrap(), None);
    let changed = || Some(event(AuditAction::AuditKeyChanged, of_app(None), "", 1));
    assert!(store.replace_audit_key(None, vec![0, 1, 255], None).await.unwrap());
    assert!(!store.replace_audit_key(None, vec![2], changed()).await.unwrap());
    assert!(!store.replace_audit_key(Some(vec![9]), vec![2], changed()).await.unwrap());
    assert_eq!((store.audit_key().await.unwrap(), leaves(&store).await), (Some(vec![0, 1, 255]), vec![]));
    assert!(store.replace_audit_key(Some(vec![0, 1, 255]), vec![2], changed()).await.unwrap());
    assert_eq!((store.audit_key().await.unwrap(), leaves(&store).await.len()), (Some(vec![2]), 1));
}

fn checkpoint(epoch: u32, size: u64) -> SavedCheckpoint {
    let note = format!("origin/{epoch}\n{size}\n\n— name\n");
    SavedCheckpoint { epoch, size, at: at_min(size), note, subtrees: vec![u8::try_from(size).unwrap(); 32] }
}

pub(super) async fn checkpoints_are_kept_once(engine: &dyn Engine) {
    let store = engine.open();
    for one in [checkpoint(1, 5), checkpoint(1, 9), checkpoint(2, 10)] {
        store.save_checkpoint(one).await.unwrap();
    }
    store.save_checkpoint(SavedCheckpoint { note: "another".to_owned(), ..checkpoint(1, 5) }).await.unwrap();
    let all = [checkpoint(2, 10), checkpoint(1, 9), checkpoint(1, 5)];
    assert_eq!(store.checkpoints(9).await.unwrap(), all);
    assert_eq!(store.checkpoints(2).await.unwrap(), all[..2]);
}

/// Two nodes, as many acts of each kind at once.
pub(super) async fn of_a_thousand_concurrent_acts_each_has_one_leaf(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let user_of = |n: u16| {
        let [high, low] = n.to_be_bytes();
        countersign::domain::ids::UserHash(std::array::from_fn(|at| if at % 2 == 0 { high } else { low }))
    };
    let session_of = move |n: u16| {
        let mut one = Session { user: user_of(n), ..session(1, T) };
        one.id.0[14..].copy_from_slice(&n.to_be_bytes());
        one
    };
    for n in 0..500 {
        keep(&stores[0], &session_of(n)).await;
    }
    let acts = (0..1000_u16).map(|n| {
        let store = Arc::clone(&stores[usize::from(n / 2 % 2)]);
        tokio::spawn(async move {
            let by = Actor::named(format!("act {n}"));
            if n % 2 == 0 {
                assert!(store.end_session(session_of(n / 2).id, Ended::Logout, at_min(1), &by).await.unwrap());
            } else {
                let told = AuditEvent { actor: by, ..event(AuditAction::Publishing, of_app(None), "", 1) };
                store.append_events(vec![told]).await.unwrap();
            }
        })
    });
    for act in acts.collect::<Vec<_>>() {
        act.await.unwrap();
    }
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for leaf in leaves(&stores[1]).await {
        *count.entry(leaf.event.actor.name).or_default() += 1;
    }
    assert_eq!(count.len(), 1000);
    assert!(count.values().all(|count| *count == 1), "{count:?}");
}

pub(super) async fn the_log_survives_a_restart_and_a_backup(engine: &dyn Engine) {
    let store = engine.open();
    for n in 0..5 {
        store.opt_out(user(n), None, T, &operator()).await.unwrap();
    }
    store.save_checkpoint(checkpoint(1, 5)).await.unwrap();
    store.replace_audit_key(None, vec![7; 48], None).await.unwrap();
    let all = async |store: &Arc<dyn Store>| {
        let head = store.audit_head().await.unwrap();
        let (texts, key) = (store.audit_leaves(0, 9).await.unwrap(), store.audit_key().await.unwrap());
        (head, texts, key, store.checkpoints(9).await.unwrap())
    };
    let before = all(&store).await;
    assert_eq!((before.0.size, before.1.len(), before.3.len()), (5, 5, 1));
    engine.back_up(&store).await;
    drop(store);
    assert_eq!(all(&engine.open()).await, before);
    let restored = engine.open_backup();
    assert_eq!(all(&restored).await, before);
    restored.opt_out(user(9), None, T, &operator()).await.unwrap();
    assert_eq!(leaves(&restored).await.len(), 6);
}
