//! Ends as nodes follow them: the log, what stands, and who has followed how far.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{SessionId, UserHash},
        login_record::{EndedLogin, LoginHash, LoginRecord, LogoutRecord},
        session::{Ended, Session},
    },
    store::{End, EndsPosition, Follower, Store},
};

use super::{Engine, T, app, at_day, at_min, keep, session, step, user};
use crate::support::domain::actor;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

/// Everything that the log has from a position on.
async fn log_since(store: &Arc<dyn Store>, from: EndsPosition) -> Vec<End> {
    let page = store.ends_since(from, 0, 10_000).await.unwrap();
    assert!(page.complete);
    assert!(page.ends.is_sorted_by(|(one, _), (next, _)| one < next));
    page.ends.into_iter().map(|(_, end)| end).collect()
}

/// Looks until one has passed by all that is committed now: other work of a server may keep its horizon back for a moment.
/// Returns that horizon.
async fn settled(store: &Arc<dyn Store>, from: EndsPosition, limit: u32) -> EndsPosition {
    let asked = store.ends_position().await.unwrap();
    loop {
        let horizon = store.ends_since(from, 0, limit).await.unwrap().horizon;
        if horizon >= asked {
            return horizon;
        }
    }
}

/// What was logged since the last call, and the position after it.
struct Log {
    store: Arc<dyn Store>,
    position: EndsPosition,
}

impl Log {
    async fn of(store: &Arc<dyn Store>) -> Self {
        Self { store: store.clone(), position: store.ends_position().await.unwrap() }
    }

    async fn next(&mut self) -> Vec<End> {
        let found = log_since(&self.store, self.position).await;
        self.position = self.store.ends_position().await.unwrap();
        found
    }
}

fn of_session(session: &Session, why: Ended) -> End {
    End::Session { id: session.id, why, expires: session.expires }
}

fn of_user(n: u8, name: Option<&str>, at: UnixMillis) -> End {
    End::User { user: user(n), app: name.map(app), at }
}

pub(super) fn login(n: u8, issued: UnixMillis) -> LoginRecord {
    LoginRecord { subject: LoginHash([n; 16]), session: LoginHash([100 + n; 16]), issued }
}

pub(super) fn logout(id: u8, login: LoginHash, issued_until: UnixMillis) -> LogoutRecord {
    LogoutRecord {
        id: LoginHash([id; 16]),
        ended: vec![EndedLogin { login, issued_until }],
        remembered_until: at_day(30),
    }
}

pub(super) async fn end_of(store: &Arc<dyn Store>, session: &Session) -> Option<Ended> {
    store.session(session.id).await.unwrap().unwrap().ended
}

pub(super) async fn adopt(store: &Arc<dyn Store>, session: &Session) {
    store.adopt_session(session.clone(), None, &actor()).await.unwrap();
}

/// The ends without those of sessions, in an order of their own.
async fn standing(store: &Arc<dyn Store>) -> Vec<String> {
    let mut all: Vec<_> = store.standing_ends(1000).await.unwrap().iter().map(|end| format!("{end:?}")).collect();
    all.sort();
    all
}

fn texts(ends: &[End]) -> Vec<String> {
    let mut all: Vec<_> = ends.iter().map(|end| format!("{end:?}")).collect();
    all.sort();
    all
}

pub(super) async fn each_end_of_a_session_is_logged_once(engine: &dyn Engine) {
    let store = engine.open();
    let mut log = Log::of(&store).await;
    let all: Vec<_> = (1..=3).map(|n| session(n, at_min(n.into()))).collect();
    for kept in &all {
        keep(&store, kept).await;
        assert!(store.advance_session(step(kept, 0, at_min(4))).await.unwrap());
    }
    assert_eq!(log.next().await, [], "neither a login nor a refresh ends anything");
    for (kept, why) in all.iter().zip([Ended::Logout, Ended::Reused, Ended::Revoked]) {
        assert!(store.end_session(kept.id, why, at_min(5), &actor()).await.unwrap());
        assert!(!store.end_session(kept.id, Ended::Logout, at_min(6), &actor()).await.unwrap());
    }
    let ended = [of_session(&all[0], Ended::Logout), of_session(&all[1], Ended::Reused)];
    assert_eq!(log.next().await, [&ended[..], &[of_session(&all[2], Ended::Revoked)]].concat());
}

pub(super) async fn an_eviction_is_logged(engine: &dyn Engine) {
    let store = engine.open();
    let all: Vec<_> = (1..=4).map(|n| session(n, at_min(n.into()))).collect();
    for kept in &all[..3] {
        keep(&store, kept).await;
    }
    let mut log = Log::of(&store).await;
    store.create_session(all[3].clone()).await.unwrap();
    assert_eq!(log.next().await, [of_session(&all[0], Ended::Evicted)]);
}

pub(super) async fn an_end_of_a_user_is_logged_with_those_of_the_sessions(engine: &dyn Engine) {
    let store = engine.open();
    let (web, ios) = (session(1, T), Session { app: app("ios"), ..session(2, T) });
    keep(&store, &web).await;
    keep(&store, &ios).await;
    let mut log = Log::of(&store).await;
    store.end_sessions_of_user(user(1), Some(&app("web")), at_min(1), &actor()).await.unwrap();
    let ends = [of_session(&web, Ended::Revoked), of_user(1, Some("web"), at_min(1))];
    assert_eq!(texts(&log.next().await), texts(&ends));
    store.end_sessions_of_user(user(1), None, at_min(2), &actor()).await.unwrap();
    let ends = [of_session(&ios, Ended::Revoked), of_user(1, None, at_min(2))];
    assert_eq!(texts(&log.next().await), texts(&ends));
    assert_eq!(store.end_sessions_of_user(user(2), None, at_min(3), &actor()).await.unwrap(), 0);
    assert_eq!(log.next().await, [of_user(2, None, at_min(3))], "also of a user without a session");
}

pub(super) async fn an_end_of_an_app_is_logged_each_time(engine: &dyn Engine) {
    let store = engine.open();
    let mut log = Log::of(&store).await;
    for (scope, minute) in [(Some(app("web")), 1), (None, 2), (Some(app("web")), 3)] {
        store.end_sessions_of_app(scope.as_ref(), at_min(minute), &actor()).await.unwrap();
        assert_eq!(log.next().await, [End::App { app: scope, at: at_min(minute) }]);
    }
}

pub(super) async fn opt_outs_and_opt_ins_are_logged_in_order(engine: &dyn Engine) {
    let store = engine.open();
    let mut log = Log::of(&store).await;
    let web = app("web");
    assert!(store.opt_out(user(1), Some(&web), at_min(1), &actor()).await.unwrap());
    assert!(!store.opt_out(user(1), Some(&web), at_min(2), &actor()).await.unwrap(), "it is on record");
    assert!(store.opt_in(user(1), Some(&web), T, &actor()).await.unwrap());
    assert!(!store.opt_in(user(1), Some(&web), T, &actor()).await.unwrap());
    assert!(store.opt_out(user(1), Some(&web), at_min(3), &actor()).await.unwrap());
    assert!(store.opt_out(user(1), None, at_min(3), &actor()).await.unwrap());
    let user = user(1);
    let (out, back) = (End::OptOut { user, app: Some(web.clone()) }, End::OptIn { user, app: Some(web) });
    assert_eq!(log.next().await, [out.clone(), back, out, End::OptOut { user, app: None }]);
}

pub(super) async fn an_end_of_a_login_is_logged_with_those_of_its_sessions(engine: &dyn Engine) {
    let store = engine.open();
    let kept = session(1, T);
    store.create_session_of_login(kept.clone(), login(1, T)).await.unwrap();
    let mut log = Log::of(&store).await;
    let of_login = |issued_until| End::Login {
        app: app("web"),
        login: LoginHash([1; 16]),
        issued_until,
        remembered_until: at_day(30),
    };
    store.sign_out(&app("web"), logout(1, LoginHash([1; 16]), at_min(5)), at_min(6), &actor()).await.unwrap();
    assert_eq!(texts(&log.next().await), texts(&[of_login(at_min(5)), of_session(&kept, Ended::Logout)]));
    store.sign_out(&app("web"), logout(1, LoginHash([1; 16]), at_min(9)), at_min(9), &actor()).await.unwrap();
    assert_eq!(log.next().await, [], "that token was carried out before");
    store.sign_out(&app("web"), logout(2, LoginHash([1; 16]), at_min(7)), at_min(7), &actor()).await.unwrap();
    assert_eq!(log.next().await, [of_login(at_min(7))]);
}

pub(super) async fn a_session_that_is_on_record_ended_is_logged(engine: &dyn Engine) {
    let store = engine.open();
    let mut log = Log::of(&store).await;
    let created = Session { ended: Some(Ended::Revoked), ..session(1, T) };
    store.create_session(created.clone()).await.unwrap();
    assert_eq!(log.next().await, [of_session(&created, Ended::Revoked)]);
    let adopted = Session { ended: Some(Ended::Logout), ..session(2, T) };
    adopt(&store, &adopted).await;
    adopt(&store, &adopted).await;
    assert_eq!(log.next().await, [of_session(&adopted, Ended::Logout)], "once");
}

pub(super) async fn the_log_is_read_in_pages(engine: &dyn Engine) {
    let store = engine.open();
    let start = store.ends_position().await.unwrap();
    for n in 1..=5 {
        store.end_sessions_of_user(user(n), None, at_min(n.into()), &actor()).await.unwrap();
    }
    let expected: Vec<_> = (1..=5).map(|n| of_user(n, None, at_min(n.into()))).collect();
    let (mut after, mut seen, mut pages) = (0, Vec::new(), Vec::new());
    loop {
        let page = store.ends_since(start, after, 2).await.unwrap();
        after = page.ends.last().map_or(after, |(number, _)| *number);
        pages.push(page.ends.len());
        seen.extend(page.ends.into_iter().map(|(_, end)| end));
        if page.complete {
            break;
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(pages, [2, 2, 1]);
    let horizon = settled(&store, start, 2).await;
    assert_eq!(log_since(&store, horizon).await, [], "a look's horizon is that of its first page");
    store.end_sessions_of_user(user(9), None, at_min(9), &actor()).await.unwrap();
    assert_eq!(log_since(&store, horizon).await, [of_user(9, None, at_min(9))]);
    assert_eq!(log_since(&store, EndsPosition::default()).await.len(), 6, "from the beginning");
}

pub(super) async fn a_position_is_after_everything_that_is_committed(engine: &dyn Engine) {
    let (store, beside) = (engine.open(), engine.open());
    let mut last = store.ends_position().await.unwrap();
    for n in 1..=20 {
        let writer = if n % 2 == 0 { &store } else { &beside };
        writer.end_sessions_of_user(user(n), None, T, &actor()).await.unwrap();
        let position = store.ends_position().await.unwrap();
        assert!(position > last, "{n}");
        assert_eq!(log_since(&beside, position).await, []);
        assert_eq!(log_since(&beside, last).await, [of_user(n, None, T)]);
        assert!(settled(&beside, last, 10).await >= position, "whoever looks afterwards follows past it");
        last = position;
    }
}

/// A look never passes by an end that is committed later, however many write at the same time.
pub(super) async fn no_end_slips_past_a_look(engine: &dyn Engine) {
    let stores = [engine.open(), engine.open()];
    let mut from = stores[0].ends_position().await.unwrap();
    let writes: Vec<_> = (0..120_u8)
        .map(|n| {
            let store = stores[usize::from(n % 2)].clone();
            tokio::spawn(async move { store.end_sessions_of_user(user(n), None, T, &actor()).await.unwrap() })
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    let users = |ends: Vec<(u64, End)>| {
        ends.into_iter().filter_map(|(_, end)| if let End::User { user, .. } = end { Some(user) } else { None })
    };
    while writes.iter().any(|write| !write.is_finished()) {
        let page = stores[0].ends_since(from, 0, 10_000).await.unwrap();
        from = page.horizon;
        seen.extend(users(page.ends));
    }
    for write in writes {
        write.await.unwrap();
    }
    seen.extend(users(stores[0].ends_since(from, 0, 10_000).await.unwrap().ends));
    assert_eq!(seen.len(), 120);
}

pub(super) async fn what_stands_is_listed(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(standing(&store).await, [""; 0]);
    store.opt_out(user(1), None, T, &actor()).await.unwrap();
    store.opt_out(user(2), Some(&app("web")), T, &actor()).await.unwrap();
    store.opt_out(user(3), None, T, &actor()).await.unwrap();
    store.opt_in(user(3), None, T, &actor()).await.unwrap();
    store.end_sessions_of_user(user(4), Some(&app("ios")), at_min(2), &actor()).await.unwrap();
    store.end_sessions_of_user(user(4), Some(&app("ios")), at_min(1), &actor()).await.unwrap();
    store.end_sessions_of_app(Some(&app("web")), at_min(1), &actor()).await.unwrap();
    store.end_sessions_of_app(None, at_min(3), &actor()).await.unwrap();
    store.sign_out(&app("web"), logout(1, LoginHash([1; 16]), at_min(5)), at_min(6), &actor()).await.unwrap();
    let expected = [
        End::OptOut { user: user(1), app: None },
        End::OptOut { user: user(2), app: Some(app("web")) },
        of_user(4, Some("ios"), at_min(2)),
        End::App { app: Some(app("web")), at: at_min(1) },
        End::App { app: None, at: at_min(3) },
        End::Login {
            app: app("web"),
            login: LoginHash([1; 16]),
            issued_until: at_min(5),
            remembered_until: at_day(30),
        },
    ];
    assert_eq!(standing(&store).await, texts(&expected));
}

pub(super) async fn ended_sessions_are_listed_in_pages(engine: &dyn Engine) {
    let store = engine.open();
    let all: Vec<_> = (1..=8).map(|n| Session { user: user(n), ..session(n, at_min(n.into())) }).collect();
    for kept in &all {
        keep(&store, kept).await;
    }
    let expired = Session { user: user(9), expires: at_day(1), ..session(9, T) };
    keep(&store, &expired).await;
    store.end_session(expired.id, Ended::Logout, at_min(10), &actor()).await.unwrap();
    for n in [6, 0, 2, 4] {
        store.end_session(all[n].id, Ended::Logout, at_min(10), &actor()).await.unwrap();
    }
    store.opt_out(user(2), None, T, &actor()).await.unwrap();
    store.end_sessions_of_app(None, at_min(20), &actor()).await.unwrap();
    let listed = async |after, limit| store.ended_sessions(after, at_day(1), limit).await.unwrap();
    let expected: Vec<_> = [0, 2, 4, 6].map(|n: usize| (all[n].id, all[n].expires)).to_vec();
    assert_eq!(listed(SessionId([0; 16]), 100).await, expected, "those with an end of their own");
    assert_eq!(listed(SessionId([0; 16]), 3).await, expected[..3]);
    assert_eq!(listed(expected[2].0, 3).await, expected[3..]);
    assert_eq!(listed(expected[3].0, 3).await, []);
    let first = all[0].expires;
    assert_eq!(store.ended_sessions(SessionId([0; 16]), first, 100).await.unwrap(), expected[1..]);
}

pub(super) async fn followers_are_known_until_they_leave(engine: &dyn Engine) {
    let (store, other) = (engine.open(), engine.open());
    let follower = |node: &str, position, looked| Follower {
        node: node.to_owned(),
        position: EndsPosition(position),
        looked,
        serves_until: None,
    };
    let a = Follower { serves_until: Some(at_min(60)), ..follower("a", 7, T) };
    for said in [follower("b", 3, T), a.clone()] {
        store.report_followed(said).await.unwrap();
    }
    let since = T.minus(MILLISECOND);
    assert_eq!(other.followers(since).await.unwrap(), [a.clone(), follower("b", 3, T)]);
    let again = follower("b", 2, at_min(1));
    other.report_followed(again.clone()).await.unwrap();
    assert_eq!(store.followers(since).await.unwrap(), [a, again.clone()], "a position may go back");
    assert_eq!(store.followers(T).await.unwrap(), [again], "after `since`");
    store.forget_node("b").await.unwrap();
    assert_eq!(other.followers(T).await.unwrap(), []);
}

pub(super) async fn vanished_followers_are_forgotten_once_they_cannot_serve(engine: &dyn Engine) {
    let store = engine.open();
    let follower = |node: &str, looked, serves_until| Follower {
        node: node.to_owned(),
        position: EndsPosition(1),
        looked,
        serves_until,
    };
    let serving = follower("serving", T, Some(at_day(9)));
    for said in [serving.clone(), follower("done", T, Some(at_day(1))), follower("never", T, None)] {
        store.report_followed(said).await.unwrap();
    }
    let last = follower("last", at_day(2), None);
    store.report_followed(last.clone()).await.unwrap();
    assert_eq!(store.followers(UnixMillis(0)).await.unwrap(), [last, serving]);
}

/// A node that did not look for two days reads the log, and finds everything.
pub(super) async fn the_log_goes_back_two_days(engine: &dyn Engine) {
    let store = engine.open();
    let mut log = Log::of(&store).await;
    store.end_sessions_of_user(user(1), None, T, &actor()).await.unwrap();
    store.purge(T, 1000).await.unwrap();
    store.purge(at_day(2).minus(MILLISECOND), 1000).await.unwrap();
    assert_eq!(log.next().await, [of_user(1, None, T)]);
}

pub(super) async fn older_ends_leave_the_log_and_stand(engine: &dyn Engine) {
    let store = engine.open();
    let start = store.ends_position().await.unwrap();
    for n in 1..=5 {
        store.end_sessions_of_user(user(n), None, T, &actor()).await.unwrap();
    }
    store.purge(T, 1000).await.unwrap();
    store.end_sessions_of_user(user(9), None, at_min(1), &actor()).await.unwrap();
    for _ in 0..3 {
        store.purge(at_day(2), 2).await.unwrap();
    }
    assert_eq!(log_since(&store, start).await, [of_user(9, None, at_min(1))]);
    assert_eq!(standing(&store).await.len(), 6);
}

pub(super) async fn ends_of_users_are_kept_as_long_as_a_session_can_live(engine: &dyn Engine) {
    let store = engine.open();
    let born = Session { expires: at_day(400), idle_expires: at_day(400), ..session(1, T) };
    store.end_sessions_of_user(user(1), Some(&app("web")), T, &actor()).await.unwrap();
    store.purge(at_day(400).minus(MILLISECOND), 1000).await.unwrap();
    assert_eq!(standing(&store).await, texts(&[of_user(1, Some("web"), T)]));
    adopt(&store, &born).await;
    assert_eq!(end_of(&store, &born).await, Some(Ended::Revoked));
    store.purge(at_day(400), 1000).await.unwrap();
    assert_eq!(standing(&store).await, [""; 0]);
}

pub(super) async fn ends_survive_a_restart_and_a_backup(engine: &dyn Engine) {
    let store = engine.open();
    let start = store.ends_position().await.unwrap();
    store.end_sessions_of_user(user(1), None, at_min(1), &actor()).await.unwrap();
    let position = store.ends_position().await.unwrap();
    engine.back_up(&store).await;
    drop(store);
    let store = engine.open();
    assert_eq!(log_since(&store, start).await, [of_user(1, None, at_min(1))]);
    assert!(store.ends_position().await.unwrap() >= position);
    let copy = engine.open_backup();
    let born = session(1, T);
    adopt(&copy, &born).await;
    assert_eq!(end_of(&copy, &born).await, Some(Ended::Revoked));
    assert!(matches!(copy.standing_ends(1000).await.unwrap()[..], [End::User { user: UserHash(_), app: None, .. }]));
}
