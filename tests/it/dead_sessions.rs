//! Sessions that are over: they stay so until none of their tokens can open, and they take no live session's place.

use std::time::Duration;

use countersign::{
    clock::Clock,
    domain::{ids::UserId, session::Ended},
};

use super::support::{
    domain::just_before,
    test_service::{CONFIG, TestService},
};

const DAY: Duration = Duration::from_hours(24);

/// One live session a user; sessions idle for 10 days and live for 15.
async fn service() -> TestService {
    let config = format!("{CONFIG}\n[apps.web.refresh]\nidle = \"10d\"\nabsolute = \"15d\"\n");
    TestService::with(&config.replace("[apps.web]", "[store]\nmax_sessions_per_user = 1\n\n[apps.web]")).await
}

/// How the sessions of user `u-1` ended, newest first.
async fn ends(service: &TestService) -> Vec<Option<Ended>> {
    let user = UserId::parse("u-1", countersign::domain::ids::UserIdRules { max_bytes: 512, allow_invisible: false });
    let sessions = service.operator.users().sessions(&user.unwrap()).await.unwrap();
    sessions.iter().map(|session| session.ended).collect()
}

/// Lets days pass with a purge on each, until one deletes a session.
async fn days_until_purged(service: &TestService) -> u32 {
    for day in 1..1000 {
        service.clock.forward(DAY);
        if purged(service).await > 0 {
            return day;
        }
    }
    panic!("nothing is purged");
}

/// Lets days pass with a purge on each, which deletes nothing.
async fn days_without_a_purged_session(service: &TestService, days: u32) {
    for day in 1..=days {
        service.clock.forward(DAY);
        assert_eq!(purged(service).await, 0, "day {day}");
    }
}

async fn purged(service: &TestService) -> u64 {
    service.services.store().purge(service.clock.now(), 1000).await.unwrap().deleted
}

#[tokio::test]
async fn an_evicted_session_is_ended_and_stays_so_until_its_last_token_has_expired() {
    let service = service().await;
    let first = service.session("u-1").await;
    service.clock.forward(Duration::from_millis(1));
    let second = service.session("u-1").await;
    assert_eq!(ends(&service).await, [None, Some(Ended::Evicted)]);
    assert_eq!(service.metric(r#"countersign_sessions_evicted_total{app="web"}"#), 1.0);
    service.refresh(&second).await.ok();
    service.refresh(&first).await.problem(401, "invalid_token");
    days_without_a_purged_session(&service, 14).await;
    service.clock.forward(just_before(DAY));
    service.refresh(&first).await.problem(401, "invalid_token");
    service.clock.forward(Duration::from_millis(1));
    assert_eq!(days_until_purged(&service).await, 7, "after the 15 of its tokens");
    service.refresh(&first).await.problem(401, "expired_token");
    assert_eq!(ends(&service).await, []);
}

#[tokio::test]
async fn a_session_that_was_logged_out_or_never_used_again_stays_on_record() {
    let service = service().await;
    let logged_out = service.session("u-1").await;
    service.revoke(&logged_out).await.ok();
    let unused = service.session("u-2").await;
    days_without_a_purged_session(&service, 10).await;
    service.refresh(&unused).await.problem(401, "expired_token");
    assert_eq!(days_until_purged(&service).await, 5 + 7);
    for token in [logged_out, unused] {
        service.refresh(&token).await.problem(401, "expired_token");
    }
}

#[tokio::test]
async fn ended_sessions_take_no_live_sessions_place() {
    let service = service().await;
    for _ in 0..20 {
        let token = service.session("u-1").await;
        service.revoke(&token).await.ok();
    }
    let live = service.session("u-1").await;
    service.refresh(&live).await.ok();
    assert_eq!(service.metric(r#"countersign_sessions_evicted_total{app="web"}"#), 0.0);
}

/// Lets the time of background tasks pass until the gauge of live sessions on `web` has this value.
async fn gauge_becomes(service: &TestService, sessions: f64) {
    tokio::time::pause();
    let begun = std::time::Instant::now();
    while service.metric(r#"countersign_sessions_live{app="web"}"#) != sessions {
        assert!(begun.elapsed() < Duration::from_mins(1), "the gauge never becomes {sessions}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The store has threads of its own, whose time does not pass by itself. Meanwhile, none passes here.
        let gives_way = || std::thread::sleep(Duration::from_millis(5));
        tokio::task::spawn_blocking(gives_way).await.unwrap();
    }
    tokio::time::resume();
}

#[tokio::test]
async fn the_count_of_live_sessions_falls_to_zero() {
    let service = service().await;
    let token = service.session("u-1").await;
    let _background = service.wiring.start_node();
    gauge_becomes(&service, 1.0).await;
    service.revoke(&token).await.ok();
    gauge_becomes(&service, 0.0).await;
}
