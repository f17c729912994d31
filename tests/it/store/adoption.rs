//! Sessions that began while the store was out of reach, and are put on record later.

use countersign::{
    domain::{
        login_record::LoginHash,
        session::{Ended, Session},
    },
    store::Purged,
};

use super::{
    Engine, MAX_SESSIONS, T, app, at_day, at_min,
    ends::{MILLISECOND, adopt, end_of, login, logout},
    keep, session, step, user,
};
use crate::support::domain::actor;

pub(super) async fn a_session_is_adopted_as_it_was_given(engine: &dyn Engine) {
    let store = engine.open();
    let born = Session { counter: 3, rotated: at_min(2), ..session(1, T) };
    adopt(&store, &born).await;
    assert_eq!(store.session(born.id).await.unwrap(), Some(born.clone()));
    assert!(store.advance_session(step(&born, 3, at_min(5))).await.unwrap());
    let now = store.session(born.id).await.unwrap();
    adopt(&store, &born).await;
    adopt(&store, &Session { ended: Some(Ended::Logout), ..born.clone() }).await;
    assert_eq!(store.session(born.id).await.unwrap(), now, "the row on record stays");
}

pub(super) async fn of_racing_adoptions_one_is_kept(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let born = session(1, T);
    let adoptions: Vec<_> = (0..40)
        .map(|n| {
            let (store, born) = (stores[n % 2].clone(), born.clone());
            tokio::spawn(async move {
                store.adopt_session(born.clone(), Some(login(1, T)), &actor()).await.unwrap();
                store.advance_session(step(&born, 0, at_min(1))).await.unwrap()
            })
        })
        .collect();
    let mut advanced = 0;
    for adoption in adoptions {
        advanced += u32::from(adoption.await.unwrap());
    }
    assert_eq!(advanced, 1);
    assert_eq!(stores[0].session(born.id).await.unwrap().unwrap().counter, 1);
}

pub(super) async fn an_end_of_its_user_covers_an_adopted_session(engine: &dyn Engine) {
    let store = engine.open();
    let born = |n: u8, created| Session { user: user(n), ..session(n, created) };
    let at = at_min(10);
    let cases = [
        (born(1, at_min(9)), Some(app("web")), Some(Ended::Revoked)),
        (born(2, at), Some(app("web")), Some(Ended::Revoked)),
        (born(3, at.plus(MILLISECOND)), Some(app("web")), None),
        (born(4, at), None, Some(Ended::Revoked)),
        (born(5, at.plus(MILLISECOND)), None, None),
        (born(6, at_min(9)), Some(app("ios")), None),
    ];
    for (session, scope, expected) in cases {
        // No session of the user is on record.
        assert_eq!(store.end_sessions_of_user(session.user, scope.as_ref(), at, &actor()).await.unwrap(), 0);
        adopt(&store, &session).await;
        assert_eq!(end_of(&store, &session).await, expected, "{:?}", session.user);
        let advanced = store.advance_session(step(&session, 0, at_min(20))).await.unwrap();
        assert_eq!(advanced, expected.is_none());
    }
    let other = born(7, at_min(9));
    adopt(&store, &other).await;
    assert_eq!(end_of(&store, &other).await, None, "another user's");
}

pub(super) async fn an_end_of_a_user_never_goes_back(engine: &dyn Engine) {
    let store = engine.open();
    for minute in [10, 5] {
        store.end_sessions_of_user(user(1), None, at_min(minute), &actor()).await.unwrap();
    }
    let born = session(1, at_min(8));
    adopt(&store, &born).await;
    assert_eq!(end_of(&store, &born).await, Some(Ended::Revoked));
}

pub(super) async fn an_end_of_its_login_covers_an_adopted_session(engine: &dyn Engine) {
    let store = engine.open();
    let subject = LoginHash([1; 16]);
    store.sign_out(&app("web"), logout(1, subject, at_min(5)), at_min(6), &actor()).await.unwrap();
    store.sign_out(&app("web"), logout(2, LoginHash([102; 16]), at_min(5)), at_min(6), &actor()).await.unwrap();
    let born = |n: u8| Session { user: user(n), ..session(n, at_min(4)) };
    let cases = [
        (born(1), Some(login(1, at_min(5))), Some(Ended::Logout)),
        (born(2), Some(login(1, at_min(5).plus(MILLISECOND))), None),
        (born(3), Some(login(2, T)), Some(Ended::Logout)),
        (Session { app: app("ios"), ..born(4) }, Some(login(1, T)), None),
        (born(5), Some(login(3, T)), None),
        (born(6), None, None),
    ];
    for (session, login, expected) in cases {
        store.adopt_session(session.clone(), login, &actor()).await.unwrap();
        assert_eq!(end_of(&store, &session).await, expected, "{:?}", session.user);
    }
    // A logout after the adoption finds it by its login.
    store.sign_out(&app("web"), logout(3, LoginHash([3; 16]), at_min(9)), at_min(9), &actor()).await.unwrap();
    assert_eq!(end_of(&store, &born(5)).await, Some(Ended::Logout));
}

pub(super) async fn opt_outs_and_ends_of_apps_cover_an_adopted_session_as_any(engine: &dyn Engine) {
    let store = engine.open();
    let born = session(1, T);
    store.opt_out(user(1), Some(&app("web")), at_min(1), &actor()).await.unwrap();
    adopt(&store, &born).await;
    assert_eq!(end_of(&store, &born).await, Some(Ended::OptedOut));
    assert!(!store.advance_session(step(&born, 0, at_min(2))).await.unwrap());
    store.opt_in(user(1), Some(&app("web")), T, &actor()).await.unwrap();
    assert_eq!(end_of(&store, &born).await, None, "an opt-in undoes it");

    store.end_sessions_of_app(Some(&app("web")), at_min(5), &actor()).await.unwrap();
    let (covered, after) = (session(2, at_min(5)), session(3, at_min(6)));
    for (session, expected) in [(covered, Some(Ended::Revoked)), (after, None)] {
        adopt(&store, &session).await;
        assert_eq!(end_of(&store, &session).await, expected);
    }
}

pub(super) async fn the_end_that_was_given_goes_first(engine: &dyn Engine) {
    let store = engine.open();
    store.end_sessions_of_user(user(1), None, at_min(5), &actor()).await.unwrap();
    let born = Session { ended: Some(Ended::Logout), ..session(1, T) };
    adopt(&store, &born).await;
    assert_eq!(end_of(&store, &born).await, Some(Ended::Logout));
    assert!(!store.advance_session(step(&born, 0, at_min(6))).await.unwrap());
    store.sign_out(&app("web"), logout(1, LoginHash([1; 16]), at_min(5)), at_min(6), &actor()).await.unwrap();
    let both = session(2, T);
    store.adopt_session(both.clone(), Some(login(1, T)), &actor()).await.unwrap();
    assert_eq!(end_of(&store, &both).await, Some(Ended::Revoked), "an end of the user goes before one of the login");
}

pub(super) async fn a_live_adopted_session_counts_against_the_limit(engine: &dyn Engine) {
    let store = engine.open();
    let all: Vec<_> = (1..=3).map(|n| session(n, at_min(n.into()))).collect();
    for kept in &all {
        keep(&store, kept).await;
    }
    assert_eq!(all.len(), MAX_SESSIONS as usize);
    let ends = async || {
        let mut ends = Vec::new();
        for kept in &all {
            ends.push(end_of(&store, kept).await);
        }
        ends
    };
    let dead = Session { ended: Some(Ended::Logout), ..session(4, T) };
    adopt(&store, &dead).await;
    assert_eq!(ends().await, [None, None, None], "one that has ended ends no other");
    let evicted = Some(Ended::Evicted);
    // It was refreshed longest ago, but is the one that is used now.
    let live = session(5, T);
    adopt(&store, &live).await;
    assert_eq!(ends().await, [evicted, None, None]);
    assert_eq!(end_of(&store, &live).await, None);
    adopt(&store, &live).await;
    assert_eq!(ends().await, [evicted, None, None], "a second presentation ends no other");
    store.opt_out(user(1), None, at_min(5), &actor()).await.unwrap();
    adopt(&store, &session(6, T)).await;
    store.opt_in(user(1), None, T, &actor()).await.unwrap();
    assert_eq!(ends().await, [evicted, None, None], "nor does one of a user who is opted out");
    let created = session(7, at_min(7));
    store.create_session(created.clone()).await.unwrap();
    let live = store.live_sessions(at_min(7)).await.unwrap();
    assert_eq!(live, [(app("web"), MAX_SESSIONS.into())], "the next login restores the limit");
}

pub(super) async fn an_adopted_session_is_not_adopted_twice(engine: &dyn Engine) {
    let store = engine.open();
    let (born, dead) = (session(1, T), Session { ended: Some(Ended::Logout), user: user(2), ..session(2, T) });
    adopt(&store, &born).await;
    adopt(&store, &dead).await;
    store.end_sessions_of_user(user(1), None, at_min(1), &actor()).await.unwrap();
    // Both expire at day 10.
    let almost = at_day(17).minus(MILLISECOND);
    assert_eq!(store.purge(almost, 1000).await.unwrap(), Purged { deleted: 0, complete: true });
    for kept in [&born, &dead] {
        adopt(&store, &Session { ended: None, ..kept.clone() }).await;
        assert!(end_of(&store, kept).await.is_some(), "it stays ended");
    }
    assert_eq!(store.purge(at_day(17), 1000).await.unwrap(), Purged { deleted: 2, complete: true });
}
