//! Sessions: kept, moved on, ended, and no more of them than allowed.

use std::time::Duration;

use countersign::{
    domain::session::{Ended, Session},
    store::{Advance, Creation},
};

use super::{Engine, MAX_SESSIONS, T, app, at_min, keep, session, step, user};
use crate::support::domain::actor;

pub(super) async fn a_session_is_kept_as_it_was_given(engine: &dyn Engine) {
    let store = engine.open();
    let given = Session { counter: 7, rotated: at_min(3), ..session(1, T) };
    keep(&store, &given).await;
    assert_eq!(store.session(given.id).await.unwrap(), Some(given));
}

pub(super) async fn a_session_moves_on_by_compare_and_set(engine: &dyn Engine) {
    let store = engine.open();
    let first = session(1, T);
    keep(&store, &first).await;
    assert!(!store.advance_session(step(&first, 1, at_min(1))).await.unwrap(), "the counter is not 1");
    assert_eq!(store.session(first.id).await.unwrap().unwrap(), first);

    let taken = Advance { to: 5, ..step(&first, 0, at_min(1)) };
    assert!(store.advance_session(taken).await.unwrap());
    assert!(!store.advance_session(taken).await.unwrap(), "once only");
    let expected = Session { counter: 5, rotated: at_min(1), idle_expires: taken.idle_expires, ..first.clone() };
    assert_eq!(store.session(first.id).await.unwrap().unwrap(), expected);
}

pub(super) async fn of_200_parallel_steps_one_is_taken(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let raced = session(1, T);
    keep(&stores[0], &raced).await;
    let steps: Vec<_> = (0..200)
        .map(|n| {
            let store = stores[n % 2].clone();
            let step = step(&raced, 0, T.plus(Duration::from_millis(n as u64)));
            tokio::spawn(async move { (store.advance_session(step).await.unwrap(), step) })
        })
        .collect();
    let mut taken = Vec::new();
    for step in steps {
        let (won, step) = step.await.unwrap();
        taken.extend(won.then_some(step));
    }
    assert_eq!(taken.len(), 1);
    let now = stores[1].session(raced.id).await.unwrap().unwrap();
    assert_eq!((now.counter, now.rotated), (1, taken[0].rotated), "the winner's step is what is kept");
}

pub(super) async fn an_ended_session_stays_ended(engine: &dyn Engine) {
    let store = engine.open();
    for (n, why) in [(1, Ended::Logout), (2, Ended::Revoked), (3, Ended::Reused)] {
        let ends = Session { user: user(n), ..session(n, T) };
        keep(&store, &ends).await;
        assert!(store.end_session(ends.id, why, at_min(1), &actor()).await.unwrap());
        assert!(!store.end_session(ends.id, Ended::Revoked, at_min(2), &actor()).await.unwrap());
        assert!(!store.advance_session(step(&ends, 0, at_min(2))).await.unwrap());
        assert_eq!(store.session(ends.id).await.unwrap().unwrap(), Session { ended: Some(why), ..ends });
    }
}

pub(super) async fn what_is_not_there_is_not_found(engine: &dyn Engine) {
    let store = engine.open();
    let unknown = session(9, T);
    assert_eq!(store.session(unknown.id).await.unwrap(), None);
    assert!(!store.advance_session(step(&unknown, 0, T)).await.unwrap());
    assert!(!store.end_session(unknown.id, Ended::Logout, T, &actor()).await.unwrap());
    assert_eq!(store.session(unknown.id).await.unwrap(), None);
}

pub(super) async fn beyond_the_limit_the_longest_unrefreshed_goes(engine: &dyn Engine) {
    let store = engine.open();
    let all: Vec<_> = (1..=4).map(|n| session(n, at_min(n.into()))).collect();
    for kept in &all[..3] {
        keep(&store, kept).await;
    }
    // A session that must end no other is not written.
    assert_eq!(store.create_session_within_limit(all[3].clone(), None).await.unwrap(), Creation::Full);
    assert_eq!(store.session(all[3].id).await.unwrap(), None);
    // The oldest was refreshed since, so the second is the one that goes.
    assert!(store.advance_session(step(&all[0], 0, at_min(4))).await.unwrap());
    assert_eq!(store.create_session(all[3].clone()).await.unwrap(), Creation::Created { evicted: 1 });
    for (kept, expected) in all.iter().zip([None, Some(Ended::Evicted), None, None]) {
        assert_eq!(store.session(kept.id).await.unwrap().unwrap().ended, expected, "{}", kept.id);
    }
    assert!(!store.advance_session(step(&all[1], 0, at_min(5))).await.unwrap(), "an evicted session is over");
    assert!(!store.end_session(all[1].id, Ended::Logout, at_min(5), &actor()).await.unwrap());
    assert!(store.end_session(all[0].id, Ended::Logout, at_min(6), &actor()).await.unwrap());
    let beside = session(5, at_min(6));
    let created = store.create_session_within_limit(beside.clone(), None).await.unwrap();
    assert_eq!(created, Creation::Created { evicted: 0 }, "the ended one gave its place up");
    assert_eq!(store.session(beside.id).await.unwrap(), Some(beside));
}

pub(super) async fn ended_sessions_do_not_count(engine: &dyn Engine) {
    let store = engine.open();
    let all: Vec<_> = (1..=4).map(|n| session(n, at_min(n.into()))).collect();
    for kept in &all[..3] {
        keep(&store, kept).await;
    }
    assert!(store.end_session(all[2].id, Ended::Logout, at_min(4), &actor()).await.unwrap());
    keep(&store, &all[3]).await;
    for (kept, expected) in all.iter().zip([None, None, Some(Ended::Logout), None]) {
        assert_eq!(store.session(kept.id).await.unwrap().unwrap().ended, expected, "{}", kept.id);
    }
}

pub(super) async fn expired_sessions_go_before_live_ones(engine: &dyn Engine) {
    let store = engine.open();
    let expired = Session { idle_expires: at_min(9), ..session(1, at_min(5)) };
    let live = [session(2, at_min(1)), session(3, at_min(2)), session(4, at_min(10))];
    for kept in [&expired, &live[0], &live[1], &live[2]] {
        keep(&store, kept).await;
    }
    for kept in &live {
        assert_eq!(store.session(kept.id).await.unwrap().unwrap().ended, None, "{}", kept.id);
    }
}

pub(super) async fn the_limit_is_of_one_user_on_one_app(engine: &dyn Engine) {
    let store = engine.open();
    for n in 1..=3 {
        keep(&store, &session(n, T)).await;
        keep(&store, &Session { app: app("ios"), ..session(n + 10, T) }).await;
        keep(&store, &Session { user: user(2), ..session(n + 20, T) }).await;
    }
    assert_eq!(store.sessions_of_user(user(1)).await.unwrap().len(), 6);
}

pub(super) async fn ten_thousand_logins_leave_no_more_live_ones_than_the_limit(engine: &dyn Engine) {
    let store = engine.open();
    for wave in 0..20_u16 {
        let logins: Vec<_> = (0..500_u16)
            .map(|n| {
                let mut login = session(0, T);
                login.id.0[6..8].copy_from_slice(&wave.to_be_bytes());
                login.id.0[8..10].copy_from_slice(&n.to_be_bytes());
                let store = store.clone();
                tokio::spawn(async move { store.create_session(login).await.unwrap() })
            })
            .collect();
        for login in logins {
            assert!(matches!(login.await.unwrap(), Creation::Created { .. }));
        }
    }
    let sessions = store.sessions_of_user(user(1)).await.unwrap();
    assert_eq!(sessions.len(), 10_000, "their tokens can still be presented");
    assert_eq!(sessions.iter().filter(|session| session.ended.is_none()).count(), MAX_SESSIONS as usize);
    assert_eq!(store.live_sessions(T).await.unwrap(), [(app("web"), MAX_SESSIONS.into())]);
}

pub(super) async fn counters_go_to_the_end_of_i64(engine: &dyn Engine) {
    let store = engine.open();
    let end = u64::try_from(i64::MAX).unwrap();
    let late = Session { counter: end - 1, ..session(1, T) };
    keep(&store, &late).await;
    assert!(store.advance_session(step(&late, end - 1, T)).await.unwrap());
    assert!(store.advance_session(step(&late, end, T)).await.is_err(), "an error, not a wrong answer");
    assert_eq!(store.session(late.id).await.unwrap().unwrap().counter, end);
}

pub(super) async fn everything_survives_a_restart(engine: &dyn Engine) {
    let store = engine.open();
    let kept = session(1, T);
    keep(&store, &kept).await;
    assert!(store.advance_session(step(&kept, 0, at_min(1))).await.unwrap());
    assert!(store.opt_out(user(2), None, T, &actor()).await.unwrap());
    assert!(store.replace_user_hash_key(None, b"sealed".to_vec()).await.unwrap());
    let (before, generation) = (store.session(kept.id).await.unwrap(), store.generation().await.unwrap());
    drop(store);

    let store = engine.open();
    assert_eq!(before.as_ref().unwrap().counter, 1);
    assert_eq!(store.session(kept.id).await.unwrap(), before);
    assert_eq!(store.generation().await.unwrap(), generation);
    assert!(store.is_opted_out(user(2), &app("web")).await.unwrap());
    assert_eq!(store.user_hash_key().await.unwrap(), Some(b"sealed".to_vec()));
}

pub(super) async fn two_processes_see_each_other_at_once(engine: &dyn Engine) {
    let (one, other) = (engine.open(), engine.open());
    let shared = session(1, T);
    keep(&one, &shared).await;
    assert_eq!(other.session(shared.id).await.unwrap(), Some(shared.clone()));
    assert!(other.opt_out(user(1), None, T, &actor()).await.unwrap());
    assert!(!one.advance_session(step(&shared, 0, at_min(1))).await.unwrap());
    assert!(other.opt_in(user(1), None, T, &actor()).await.unwrap());
    for from in 0..20 {
        let stepper = if from % 2 == 0 { &one } else { &other };
        assert!(stepper.advance_session(step(&shared, from, at_min(from))).await.unwrap());
    }
    drop(one);
    assert_eq!(other.session(shared.id).await.unwrap().unwrap().counter, 20);
    assert!(other.end_session(shared.id, Ended::Logout, at_min(30), &actor()).await.unwrap());
}
