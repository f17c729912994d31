//! Sessions that began with a login at an identity provider, and logouts there.

use std::sync::Arc;

use countersign::{
    clock::UnixMillis,
    domain::{
        login_record::{EndedLogin, LoginHash, LoginRecord, LogoutRecord},
        session::{Ended, Session},
    },
    store::{Creation, SignedOut, Store},
};

use super::{Engine, T, app, at_day, at_min, keep, session, step, user};
use crate::support::domain::actor;

const EVER: UnixMillis = UnixMillis(i64::MAX);

/// Login of subject `subject` with a credential that was issued at `issued`.
pub(super) fn login(subject: u8, session: u8, issued: UnixMillis) -> LoginRecord {
    LoginRecord { subject: LoginHash([subject; 16]), session: LoginHash([100 + session; 16]), issued }
}

pub(super) fn of_subject(subject: u8, issued_until: UnixMillis) -> EndedLogin {
    EndedLogin { login: LoginHash([subject; 16]), issued_until }
}

fn of_session(session: u8, issued_until: UnixMillis) -> EndedLogin {
    EndedLogin { login: LoginHash([100 + session; 16]), issued_until }
}

/// Logout with the id `id` that is remembered for an hour.
pub(super) fn logout(id: u8, ended: &[EndedLogin]) -> LogoutRecord {
    LogoutRecord { id: LoginHash([id; 16]), ended: ended.to_vec(), remembered_until: at_min(60) }
}

async fn begin(store: &Arc<dyn Store>, session: &Session, login: LoginRecord) {
    let created = store.create_session_of_login(session.clone(), login).await.unwrap();
    assert_eq!(created, Creation::Created { evicted: 0 });
}

async fn end_of(store: &Arc<dyn Store>, session: &Session) -> Option<Ended> {
    store.session(session.id).await.unwrap().unwrap().ended
}

pub(super) async fn a_logout_of_a_subject_ends_its_older_logins(engine: &dyn Engine) {
    let store = engine.open();
    let [old, late, other, bare] = [1, 2, 3, 4].map(|n| Session { user: user(n), ..session(n, T) });
    begin(&store, &old, login(1, 1, T)).await;
    begin(&store, &late, login(1, 2, at_min(6))).await;
    begin(&store, &other, login(2, 3, T)).await;
    keep(&store, &bare).await;
    let done = store.sign_out(&app("web"), logout(1, &[of_subject(1, at_min(5))]), at_min(7), &actor()).await.unwrap();
    assert_eq!(done, SignedOut::Now { ended: 1 });
    assert_eq!(end_of(&store, &old).await, Some(Ended::Logout));
    assert!(!store.advance_session(step(&old, 0, at_min(8))).await.unwrap());
    for live in [&late, &other, &bare] {
        assert_eq!(end_of(&store, live).await, None);
        assert!(store.advance_session(step(live, 0, at_min(8))).await.unwrap());
    }
}

pub(super) async fn a_logout_of_a_provider_session_ends_that_one(engine: &dyn Engine) {
    let store = engine.open();
    let [one, two] = [session(1, T), session(2, T)];
    begin(&store, &one, login(1, 1, T)).await;
    begin(&store, &two, login(1, 2, T)).await;
    let done = store.sign_out(&app("web"), logout(1, &[of_session(1, EVER)]), T, &actor()).await.unwrap();
    assert_eq!(done, SignedOut::Now { ended: 1 });
    assert_eq!((end_of(&store, &one).await, end_of(&store, &two).await), (Some(Ended::Logout), None));
}

pub(super) async fn a_login_that_ended_begins_no_session(engine: &dyn Engine) {
    let store = engine.open();
    let ended = [of_subject(1, at_min(5)), of_session(9, EVER)];
    store.sign_out(&app("web"), logout(1, &ended), at_min(5), &actor()).await.unwrap();
    let refused = [login(1, 1, T), login(1, 1, at_min(5)), login(2, 9, at_day(3))];
    for login in refused {
        let created = store.create_session_of_login(session(1, at_min(6)), login).await.unwrap();
        assert_eq!(created, Creation::SignedOut);
        assert!(store.is_signed_out(&app("web"), login).await.unwrap());
        assert!(!store.is_signed_out(&app("ios"), login).await.unwrap(), "of another app");
    }
    assert_eq!(store.session(session(1, at_min(6)).id).await.unwrap(), None, "nothing is kept");
    let newer = login(1, 1, at_min(5).plus(std::time::Duration::from_millis(1)));
    assert!(!store.is_signed_out(&app("web"), newer).await.unwrap());
    begin(&store, &session(2, at_min(6)), newer).await;
    begin(&store, &Session { app: app("ios"), ..session(3, at_min(6)) }, refused[0]).await;
}

pub(super) async fn a_logout_token_is_carried_out_once(engine: &dyn Engine) {
    let (store, beside) = (engine.open(), engine.open());
    let record = logout(1, &[of_subject(1, T)]);
    assert_eq!(store.sign_out(&app("web"), record.clone(), T, &actor()).await.unwrap(), SignedOut::Now { ended: 0 });
    begin(&store, &session(1, T), login(1, 1, at_min(1))).await;
    let again = logout(1, &[of_subject(1, at_min(9))]);
    assert_eq!(beside.sign_out(&app("web"), again, T, &actor()).await.unwrap(), SignedOut::Before);
    assert_eq!(end_of(&store, &session(1, T)).await, None);
    let elsewhere = beside.sign_out(&app("ios"), record, T, &actor()).await.unwrap();
    assert_eq!(elsewhere, SignedOut::Now { ended: 0 }, "another app has its own");
    drop((store, beside));
    let done = engine.open().sign_out(&app("web"), logout(1, &[]), T, &actor()).await.unwrap();
    assert_eq!(done, SignedOut::Before, "after a restart, too");
}

pub(super) async fn an_earlier_logout_that_arrives_later_takes_nothing_back(engine: &dyn Engine) {
    let store = engine.open();
    store.sign_out(&app("web"), logout(1, &[of_subject(1, at_min(5))]), at_min(6), &actor()).await.unwrap();
    let earlier = LogoutRecord { remembered_until: at_min(1), ..logout(2, &[of_subject(1, T)]) };
    store.sign_out(&app("web"), earlier, at_min(6), &actor()).await.unwrap();
    store.purge(at_min(30), 1000).await.unwrap();
    assert!(store.is_signed_out(&app("web"), login(1, 1, at_min(5))).await.unwrap());
}

pub(super) async fn only_live_sessions_are_counted_and_ends_stay(engine: &dyn Engine) {
    let store = engine.open();
    let [expired, revoked, live] = [1, 2, 3].map(|n| Session { user: user(n), ..session(n, T) });
    for (n, row) in [&expired, &revoked].into_iter().enumerate() {
        begin(&store, row, login(1, u8::try_from(n).unwrap(), T)).await;
    }
    store.end_session(revoked.id, Ended::Revoked, T, &actor()).await.unwrap();
    let live = Session { created: at_day(3), idle_expires: at_day(5), expires: at_day(9), ..live };
    begin(&store, &live, login(1, 7, T)).await;
    let done = store.sign_out(&app("web"), logout(1, &[of_subject(1, T)]), at_day(4), &actor()).await.unwrap();
    assert_eq!(done, SignedOut::Now { ended: 1 });
    assert_eq!(end_of(&store, &revoked).await, Some(Ended::Revoked), "the first end stays");
    assert_eq!(end_of(&store, &expired).await, Some(Ended::Logout), "a token may hold a later idle expiry");
}

pub(super) async fn an_opted_out_user_begins_no_session_of_a_login(engine: &dyn Engine) {
    let store = engine.open();
    store.opt_out(user(1), None, T, &actor()).await.unwrap();
    let created = store.create_session_of_login(session(1, T), login(1, 1, T)).await.unwrap();
    assert_eq!(created, Creation::OptedOut);
    assert_eq!(store.session(session(1, T).id).await.unwrap(), None);
}

/// As a login that is signed while its session is written: the answer says why nothing was written.
pub(super) async fn a_login_may_be_told_to_end_no_other_session(engine: &dyn Engine) {
    let store = engine.open();
    let all: Vec<_> = (1..=5).map(|n| session(n, at_min(n.into()))).collect();
    let created = async |n: usize, login| store.create_session_within_limit(all[n].clone(), Some(login)).await.unwrap();
    store.sign_out(&app("web"), logout(1, &[of_subject(9, T)]), T, &actor()).await.unwrap();
    assert_eq!(created(0, login(9, 1, T)).await, Creation::SignedOut);
    for n in 0..3 {
        assert_eq!(created(n, login(1, 1, T)).await, Creation::Created { evicted: 0 });
    }
    assert_eq!(created(3, login(1, 1, T)).await, Creation::Full);
    assert_eq!(store.session(all[3].id).await.unwrap(), None);
    let done = store.sign_out(&app("web"), logout(2, &[of_subject(1, T)]), at_min(7), &actor()).await.unwrap();
    assert_eq!(done, SignedOut::Now { ended: 3 }, "each session has its login");
    assert_eq!(created(4, login(1, 1, at_min(8))).await, Creation::Created { evicted: 0 });
    store.opt_out(user(1), None, at_min(9), &actor()).await.unwrap();
    assert_eq!(created(3, login(1, 1, at_min(9))).await, Creation::OptedOut);
}

pub(super) async fn ended_logins_are_forgotten_when_no_credential_can_be_left(engine: &dyn Engine) {
    let store = engine.open();
    store.sign_out(&app("web"), logout(1, &[of_subject(1, T)]), T, &actor()).await.unwrap();
    let is_remembered = async || store.is_signed_out(&app("web"), login(1, 1, T)).await.unwrap();
    store.purge(at_min(60).minus(std::time::Duration::from_millis(1)), 1000).await.unwrap();
    assert!(is_remembered().await);
    store.purge(at_min(60), 1000).await.unwrap();
    assert!(!is_remembered().await);
    let again = store.sign_out(&app("web"), logout(1, &[]), at_min(60), &actor()).await.unwrap();
    assert_eq!(again, SignedOut::Now { ended: 0 }, "its token is forgotten, too");
}

/// Of a logout and logins at the same time, each login is either ended or refused.
pub(super) async fn no_login_slips_past_a_logout(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let logins: Vec<_> = (0..60_u8)
        .map(|n| {
            let (store, session) = (stores[usize::from(n % 2)].clone(), Session { user: user(n), ..session(n, T) });
            tokio::spawn(async move {
                if n == 30 {
                    store.sign_out(&app("web"), logout(1, &[of_subject(1, T)]), T, &actor()).await.unwrap();
                }
                store.create_session_of_login(session.clone(), login(1, n, T)).await.unwrap();
                session.id
            })
        })
        .collect();
    let mut begun = Vec::new();
    for login in logins {
        begun.push(login.await.unwrap());
    }
    for id in begun {
        let kept = stores[0].session(id).await.unwrap();
        assert!(kept.is_none_or(|session| session.ended == Some(Ended::Logout)));
    }
}
