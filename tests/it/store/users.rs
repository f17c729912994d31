//! Opt-outs, and ends of all sessions of a user or an app.

use countersign::{
    domain::session::{Ended, Session},
    store::Creation,
};

use super::{Engine, T, app, at_day, at_min, keep, session, step, user};
use crate::support::domain::actor;

pub(super) async fn an_opt_out_of_one_app_is_of_that_app(engine: &dyn Engine) {
    let store = engine.open();
    assert!(store.opt_out(user(1), Some(&app("web")), T, &actor()).await.unwrap());
    assert!(store.is_opted_out(user(1), &app("web")).await.unwrap());
    assert!(!store.is_opted_out(user(1), &app("ios")).await.unwrap());
    assert!(!store.is_opted_out(user(2), &app("web")).await.unwrap());
    assert_eq!(store.create_session(session(1, T)).await.unwrap(), Creation::OptedOut);
    assert_eq!(store.session(session(1, T).id).await.unwrap(), None, "nothing is kept");
    keep(&store, &Session { app: app("ios"), ..session(2, T) }).await;
    keep(&store, &Session { user: user(2), ..session(3, T) }).await;
}

pub(super) async fn an_opt_out_of_all_is_of_all(engine: &dyn Engine) {
    let store = engine.open();
    assert!(store.opt_out(user(1), None, T, &actor()).await.unwrap());
    for name in ["web", "ios"] {
        assert!(store.is_opted_out(user(1), &app(name)).await.unwrap());
        let refused = store.create_session(Session { app: app(name), ..session(1, T) }).await.unwrap();
        assert_eq!(refused, Creation::OptedOut);
    }
    keep(&store, &Session { user: user(2), ..session(3, T) }).await;
}

pub(super) async fn opting_out_and_in_is_exact(engine: &dyn Engine) {
    let store = engine.open();
    let web = app("web");
    assert!(!store.opt_in(user(1), None, T, &actor()).await.unwrap(), "there was none");
    assert!(store.opt_out(user(1), Some(&web), T, &actor()).await.unwrap());
    assert!(!store.opt_out(user(1), Some(&web), T, &actor()).await.unwrap(), "was so already");
    assert!(store.opt_out(user(1), None, T, &actor()).await.unwrap(), "that of all is another");
    assert!(store.opt_in(user(1), Some(&web), T, &actor()).await.unwrap());
    assert!(store.is_opted_out(user(1), &web).await.unwrap(), "that of all is still there");
    assert!(!store.opt_in(user(1), Some(&web), T, &actor()).await.unwrap());
    assert!(store.opt_in(user(1), None, T, &actor()).await.unwrap());
    assert!(!store.is_opted_out(user(1), &web).await.unwrap());
}

pub(super) async fn an_app_has_records_while_it_has_a_session_or_an_opt_out(engine: &dyn Engine) {
    let store = engine.open();
    let has = async |name: &str| store.has_records_of_app(&app(name)).await.unwrap();
    store.opt_out(user(1), None, T, &actor()).await.unwrap();
    store.end_sessions_of_app(Some(&app("wbe")), T, &actor()).await.unwrap();
    assert!(!has("web").await && !has("wbe").await, "an end of no session is no record");
    store.opt_out(user(1), Some(&app("ios")), T, &actor()).await.unwrap();
    store.opt_in(user(1), None, T, &actor()).await.unwrap();
    keep(&store, &session(2, T)).await;
    assert!(has("web").await && has("ios").await);
    store.opt_in(user(1), Some(&app("ios")), T, &actor()).await.unwrap();
    assert!(has("web").await && !has("ios").await);
}

pub(super) async fn an_opt_out_hides_and_an_opt_in_shows_again(engine: &dyn Engine) {
    let store = engine.open();
    let kept = session(1, T);
    keep(&store, &kept).await;
    for scope in [None, Some(app("web"))] {
        store.opt_out(user(1), scope.as_ref(), T, &actor()).await.unwrap();
        assert_eq!(store.session(kept.id).await.unwrap().unwrap().ended, Some(Ended::OptedOut));
        assert!(!store.advance_session(step(&kept, 0, at_min(1))).await.unwrap());
        store.opt_in(user(1), scope.as_ref(), T, &actor()).await.unwrap();
        assert_eq!(store.session(kept.id).await.unwrap(), Some(kept.clone()));
    }
    store.opt_out(user(1), Some(&app("ios")), T, &actor()).await.unwrap();
    assert!(store.advance_session(step(&kept, 0, at_min(1))).await.unwrap(), "another app's opt-out");
}

pub(super) async fn a_logout_counts_while_opted_out(engine: &dyn Engine) {
    let store = engine.open();
    let (one, two) = (session(1, T), session(2, T));
    keep(&store, &one).await;
    keep(&store, &two).await;
    store.opt_out(user(1), None, T, &actor()).await.unwrap();
    assert!(store.end_session(one.id, Ended::Logout, at_min(1), &actor()).await.unwrap());
    assert_eq!(store.end_sessions_of_user(user(1), None, at_min(1), &actor()).await.unwrap(), 1);
    store.opt_in(user(1), None, T, &actor()).await.unwrap();
    assert_eq!(store.session(one.id).await.unwrap().unwrap().ended, Some(Ended::Logout));
    assert_eq!(store.session(two.id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
}

pub(super) async fn ending_a_users_sessions_counts_the_live_ones(engine: &dyn Engine) {
    let store = engine.open();
    let web = [session(1, T), session(2, T), session(3, T)];
    let ios = Session { app: app("ios"), ..session(4, at_day(1)) };
    let other = Session { user: user(2), ..session(5, T) };
    for kept in web.iter().chain([&ios, &other]) {
        keep(&store, kept).await;
    }
    store.end_session(web[0].id, Ended::Logout, at_min(1), &actor()).await.unwrap();
    // After two days without a refresh, sessions on `web` have expired; the one on `ios` is live for another day.
    assert!(store.advance_session(step(&web[1], 0, at_day(1))).await.unwrap());
    assert_eq!(store.end_sessions_of_user(user(1), Some(&app("web")), at_day(2), &actor()).await.unwrap(), 1);
    assert_eq!(store.end_sessions_of_user(user(1), Some(&app("web")), at_day(2), &actor()).await.unwrap(), 0);
    assert_eq!(store.session(web[0].id).await.unwrap().unwrap().ended, Some(Ended::Logout), "the first end stays");
    assert_eq!(store.session(web[1].id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
    assert_eq!(store.session(ios.id).await.unwrap().unwrap().ended, None);
    assert_eq!(store.end_sessions_of_user(user(1), None, at_day(2), &actor()).await.unwrap(), 1);
    assert_eq!(store.session(ios.id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
    assert_eq!(store.session(other.id).await.unwrap().unwrap().ended, None);
}

pub(super) async fn ending_an_apps_sessions_ends_the_older_ones(engine: &dyn Engine) {
    let store = engine.open();
    let (before, same) = (session(1, T), session(2, at_min(1)));
    let after = session(3, at_min(2));
    let ios = Session { app: app("ios"), ..session(4, T) };
    for kept in [&before, &same, &after, &ios] {
        keep(&store, kept).await;
    }
    store.end_sessions_of_app(Some(&app("web")), at_min(1), &actor()).await.unwrap();
    for ended in [&before, &same] {
        assert_eq!(store.session(ended.id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
        assert!(!store.advance_session(step(ended, 0, at_min(3))).await.unwrap());
        assert!(
            !store.end_session(ended.id, Ended::Logout, at_min(3), &actor()).await.unwrap(),
            "it has ended already"
        );
    }
    for lives in [&after, &ios] {
        assert_eq!(store.session(lives.id).await.unwrap().unwrap().ended, None);
        assert!(store.advance_session(step(lives, 0, at_min(3))).await.unwrap());
    }
    assert_eq!(store.end_sessions_of_user(user(1), None, at_min(4), &actor()).await.unwrap(), 2);
}

pub(super) async fn an_end_of_all_apps_ends_all(engine: &dyn Engine) {
    let store = engine.open();
    let (web, ios) = (session(1, T), Session { app: app("ios"), user: user(2), ..session(2, T) });
    keep(&store, &web).await;
    keep(&store, &ios).await;
    store.end_sessions_of_app(None, T, &actor()).await.unwrap();
    for ended in [&web, &ios] {
        assert_eq!(store.session(ended.id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
        assert!(!store.advance_session(step(ended, 0, at_min(3))).await.unwrap());
    }
    let after = session(3, at_min(1));
    keep(&store, &after).await;
    assert!(store.advance_session(step(&after, 0, at_min(3))).await.unwrap());
}

pub(super) async fn the_end_of_an_app_never_goes_back(engine: &dyn Engine) {
    let store = engine.open();
    let kept = session(1, at_min(5));
    keep(&store, &kept).await;
    for scope in [Some(app("web")), None] {
        store.end_sessions_of_app(scope.as_ref(), at_min(10), &actor()).await.unwrap();
        store.end_sessions_of_app(scope.as_ref(), T, &actor()).await.unwrap();
        assert_eq!(store.session(kept.id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
    }
}

pub(super) async fn the_reasons_have_an_order(engine: &dyn Engine) {
    let store = engine.open();
    let kept = session(1, T);
    keep(&store, &kept).await;
    store.end_session(kept.id, Ended::Reused, at_min(1), &actor()).await.unwrap();
    store.end_sessions_of_app(None, at_min(2), &actor()).await.unwrap();
    assert_eq!(store.session(kept.id).await.unwrap().unwrap().ended, Some(Ended::Reused));
    store.opt_out(user(1), None, at_min(3), &actor()).await.unwrap();
    assert_eq!(store.session(kept.id).await.unwrap().unwrap().ended, Some(Ended::OptedOut));
}

pub(super) async fn a_users_sessions_are_listed_newest_first(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.sessions_of_user(user(1)).await.unwrap(), []);
    let old = session(1, T);
    let new = Session { app: app("ios"), ..session(2, at_min(2)) };
    let middle = session(3, at_min(1));
    for kept in [&old, &new, &middle, &Session { user: user(2), ..session(4, T) }] {
        keep(&store, kept).await;
    }
    store.end_session(old.id, Ended::Logout, at_min(3), &actor()).await.unwrap();
    let listed = store.sessions_of_user(user(1)).await.unwrap();
    assert_eq!(listed, [new, middle, Session { ended: Some(Ended::Logout), ..old }]);
}
