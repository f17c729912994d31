//! Purging, counting, checking, copying.

use std::sync::Arc;

use countersign::{
    clock::{BootId, ClockAcceptance, ClockFloor, Reading},
    domain::session::{Ended, Session},
    store::{ClockRecord, Purged, Schema, Store, StoreError},
};

use super::{Engine, T, app, at_day, at_min, keep, session, step, user};
use crate::support::domain::actor;

const WHOLE: u32 = 1000;

async fn purged(store: &Arc<dyn Store>, day: u64) -> u64 {
    match store.purge(at_day(day), WHOLE).await.unwrap() {
        Purged { deleted, complete: true } => deleted,
        other => panic!("day {day}: {other:?}"),
    }
}

pub(super) async fn the_user_hash_key_is_replaced_by_compare_and_set(engine: &dyn Engine) {
    let store = engine.open();
    let (one, two) = (b"one".to_vec(), b"two".to_vec());
    assert_eq!(store.user_hash_key().await.unwrap(), None);
    assert!(!store.replace_user_hash_key(Some(one.clone()), two.clone()).await.unwrap(), "there is none");
    assert!(store.replace_user_hash_key(None, one.clone()).await.unwrap());
    assert!(!store.replace_user_hash_key(None, two.clone()).await.unwrap(), "there is one");
    assert!(!store.replace_user_hash_key(Some(two.clone()), two.clone()).await.unwrap(), "it is another");
    assert_eq!(store.user_hash_key().await.unwrap(), Some(one.clone()));
    assert!(store.replace_user_hash_key(Some(one), two.clone()).await.unwrap());
    assert_eq!(store.user_hash_key().await.unwrap(), Some(two));
}

pub(super) async fn of_racing_first_keys_one_wins(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let firsts: Vec<_> = (0..20_u8)
        .map(|n| {
            let store = stores[usize::from(n % 2)].clone();
            tokio::spawn(async move { store.replace_user_hash_key(None, vec![n]).await.unwrap().then_some(n) })
        })
        .collect();
    let mut won = Vec::new();
    for first in firsts {
        won.extend(first.await.unwrap());
    }
    assert_eq!(won.len(), 1);
    assert_eq!(stores[0].user_hash_key().await.unwrap(), Some(won));
}

/// Tokens of the sessions in these tests can open for 10 days.
pub(super) async fn the_dead_are_kept_while_their_tokens_can_open(engine: &dyn Engine) {
    let store = engine.open();
    let ended = session(1, T);
    keep(&store, &ended).await;
    store.end_session(ended.id, Ended::Logout, T, &actor()).await.unwrap();
    for day in 1..17 {
        assert_eq!(purged(&store, day).await, 0, "day {day}");
    }
    assert_eq!(store.session(ended.id).await.unwrap().unwrap().ended, Some(Ended::Logout));
    let almost = at_day(17).minus(std::time::Duration::from_millis(1));
    assert_eq!(store.purge(almost, WHOLE).await.unwrap(), Purged { deleted: 0, complete: true });
    assert_eq!(purged(&store, 17).await, 1);
    assert_eq!(store.session(ended.id).await.unwrap(), None);
    assert_eq!(store.sessions_of_user(user(1)).await.unwrap(), []);
}

pub(super) async fn no_way_to_die_makes_it_earlier(engine: &dyn Engine) {
    let store = engine.open();
    let far = at_day(1000);
    let idle = Session { idle_expires: at_day(1), ..session(1, T) };
    let absolute = Session { idle_expires: far, expires: at_day(2), user: user(2), ..session(2, T) };
    let of_app = Session { idle_expires: far, expires: at_day(3), app: app("ios"), user: user(3), ..session(3, T) };
    let of_all = Session { idle_expires: far, expires: at_day(4), user: user(4), ..session(4, T) };
    let revoked = Session { idle_expires: far, expires: at_day(5), user: user(5), ..session(5, T) };
    let lives = Session { idle_expires: far, expires: far, user: user(6), ..session(6, at_day(2)) };
    for kept in [&idle, &absolute, &of_app, &of_all, &revoked] {
        keep(&store, kept).await;
    }
    store.end_sessions_of_user(user(5), None, T, &actor()).await.unwrap();
    store.end_sessions_of_app(Some(&app("ios")), T, &actor()).await.unwrap();
    assert_eq!(purged(&store, 1).await, 0);
    store.end_sessions_of_app(None, at_day(1), &actor()).await.unwrap();
    keep(&store, &lives).await;
    store.opt_out(user(6), None, at_day(2), &actor()).await.unwrap();
    for (day, dead) in [(3, 0), (5, 0), (7, 0), (8, 0), (9, 1), (10, 1), (11, 1), (12, 1), (14, 0), (16, 0), (17, 1)] {
        assert_eq!(purged(&store, day).await, dead, "day {day}");
    }
    assert!(store.session(lives.id).await.unwrap().is_some());
}

pub(super) async fn a_purge_goes_round_in_pieces(engine: &dyn Engine) {
    let store = engine.open();
    for n in 0..10 {
        let expires = at_day(if n % 2 == 1 { 1 } else { 1000 });
        let kept = Session { user: user(n), idle_expires: expires, expires, ..session(n, T) };
        keep(&store, &kept).await;
    }
    for day in 1..=6 {
        assert_eq!(purged(&store, day).await, 0);
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(store.purge(at_day(8), 4).await.unwrap());
    }
    let rows = |deleted, complete| Purged { deleted, complete };
    // Sessions 0 to 3, 4 to 7, then 8 and 9; then the five live ones from the start.
    assert_eq!(seen, [rows(2, false), rows(2, false), rows(1, true), rows(0, false), rows(0, true)]);
}

pub(super) async fn the_floor_never_goes_back_but_by_acceptance(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.clock_record().await.unwrap(), ClockRecord::default());
    let boot = BootId(Some("one".to_owned()));
    let at = |minutes: u64| {
        let boot_time = std::time::Duration::from_mins(minutes);
        ClockFloor::at_wall(Reading { wall: at_min(minutes), boot: boot_time }, boot.clone())
    };
    for minutes in [5, 6, 4] {
        store.raise_clock_floor(at(minutes)).await.unwrap();
    }
    assert_eq!(store.clock_record().await.unwrap(), ClockRecord { floor: Some(at(6)), acceptance: None });
    keep(&store, &session(1, at_day(30))).await;
    assert_eq!(store.clock_record().await.unwrap().floor, Some(at(6)), "no write raises it");
    let acceptance = ClockAcceptance { floor: at(2), before: Some(at_min(6)), actor: "somebody".to_owned() };
    store.accept_clock(acceptance.clone()).await.unwrap();
    drop(store);
    let record = engine.open().clock_record().await.unwrap();
    assert_eq!(record, ClockRecord { floor: Some(at(2)), acceptance: Some(acceptance) });
}

pub(super) async fn live_sessions_are_counted_by_app(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.live_sessions(T).await.unwrap(), []);
    for n in 1..=3 {
        keep(&store, &session(n, T)).await;
    }
    let ios = Session { app: app("ios"), user: user(2), ..session(4, at_day(1)) };
    keep(&store, &ios).await;
    let (on_ios, on_web) = (app("ios"), app("web"));
    assert_eq!(store.live_sessions(at_day(1)).await.unwrap(), [(on_ios.clone(), 1), (on_web.clone(), 3)]);
    store.end_session(session(1, T).id, Ended::Logout, at_day(1), &actor()).await.unwrap();
    assert_eq!(store.live_sessions(at_day(1)).await.unwrap(), [(on_ios.clone(), 1), (on_web, 2)]);
    assert_eq!(store.live_sessions(at_day(2)).await.unwrap(), [(on_ios.clone(), 1)], "idle ones are dead");
    store.opt_out(user(2), None, at_day(1), &actor()).await.unwrap();
    assert_eq!(store.live_sessions(at_day(2)).await.unwrap(), []);
    store.opt_in(user(2), None, T, &actor()).await.unwrap();
    assert_eq!(store.live_sessions(at_day(2)).await.unwrap(), [(on_ios, 1)]);
    store.end_sessions_of_app(None, at_day(1), &actor()).await.unwrap();
    assert_eq!(store.live_sessions(at_day(2)).await.unwrap(), []);
}

pub(super) async fn a_check_passes_and_the_schema_is_known(engine: &dyn Engine) {
    let store = engine.open();
    store.check(T).await.unwrap();
    store.check(T).await.unwrap();
    let Schema { found, known } = store.schema().await.unwrap();
    assert!(found == known && known >= 1);
}

pub(super) async fn a_backup_can_be_opened(engine: &dyn Engine) {
    let store = engine.open();
    let (kept, later) = (session(1, T), session(2, T));
    keep(&store, &kept).await;
    assert!(store.advance_session(step(&kept, 0, at_min(1))).await.unwrap());
    store.opt_out(user(2), None, T, &actor()).await.unwrap();
    engine.back_up(&store).await;
    let before = store.session(kept.id).await.unwrap();
    keep(&store, &later).await;

    let copy = engine.open_backup();
    assert_eq!(copy.session(kept.id).await.unwrap(), before);
    assert_eq!(copy.session(later.id).await.unwrap(), None);
    assert!(copy.is_opted_out(user(2), &app("web")).await.unwrap());
    assert_eq!(copy.generation().await.unwrap(), store.generation().await.unwrap());
    assert_eq!(copy.schema().await.unwrap(), store.schema().await.unwrap());
    assert!(copy.advance_session(step(&kept, 1, at_min(2))).await.unwrap(), "it can be written to");
    assert_eq!(store.session(kept.id).await.unwrap(), before, "they are two stores");
}

pub(super) async fn a_backup_replaces_nothing(engine: &dyn Engine) {
    let store = engine.open();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, b"precious").unwrap();
    // It is no fault of the store.
    let refusal = store.backup(file.path().to_owned()).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Backup { .. }), "{refusal}");
    assert!(refusal.to_string().contains(engine.no_backup_because()), "{refusal}");
    assert_eq!(std::fs::read(file.path()).unwrap(), b"precious");
}

pub(super) async fn a_restored_backup_can_end_every_older_session(engine: &dyn Engine) {
    let store = engine.open();
    let revoked_later = session(1, T);
    keep(&store, &revoked_later).await;
    engine.back_up(&store).await;
    store.end_session(revoked_later.id, Ended::Revoked, at_min(1), &actor()).await.unwrap();
    drop(store);

    let restored = engine.open_backup();
    assert_eq!(restored.session(revoked_later.id).await.unwrap().unwrap().ended, None, "the revocation is lost");
    restored.end_sessions_of_app(None, at_min(2), &actor()).await.unwrap();
    assert_eq!(restored.session(revoked_later.id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
    assert!(!restored.advance_session(step(&revoked_later, 0, at_min(3))).await.unwrap());
}

pub(super) async fn a_backup_is_consistent(engine: &dyn Engine) {
    let store = engine.open();
    // Two sessions are advanced alternately, so that their counters never differ by more than one, in the copy too.
    let pair = [session(1, T), session(2, T)];
    for kept in &pair {
        keep(&store, kept).await;
    }
    let (writing, stepping) = (store.clone(), pair.clone());
    let steps = tokio::spawn(async move {
        for from in 0..300 {
            for kept in &stepping {
                assert!(writing.advance_session(step(kept, from, T)).await.unwrap());
            }
        }
    });
    engine.back_up(&store).await;
    steps.await.unwrap();
    let copy = engine.open_backup();
    let one = copy.session(pair[0].id).await.unwrap().unwrap().counter;
    let two = copy.session(pair[1].id).await.unwrap().unwrap().counter;
    assert!(one == two || one == two + 1, "{one} and {two}");
}
