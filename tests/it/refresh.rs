//! `POST /v1/token/refresh`: the life of a session, through HTTP (design: rotate, repeat, race, reuse, ahead, lives).

use std::{collections::HashSet, time::Duration};

use countersign::{
    clock::Clock,
    domain::{
        refresh_token::{self, Presented},
        sealing::SealingKeys,
    },
    store::Advance,
};
use serde_json::json;

use super::failures::counted;
use super::support::{
    claims,
    test_service::{CONFIG, TestService},
    verified_claims,
};

const DAY: Duration = Duration::from_hours(24);

/// Contents of a refresh token, which only the service can see.
fn presented(service: &TestService, refresh_token: &str) -> Presented {
    refresh_token::unseal(refresh_token, &SealingKeys::derive(service.settings.sealing())).unwrap()
}

fn counter(service: &TestService, refresh_token: &str) -> u64 {
    presented(service, refresh_token).counter
}

#[tokio::test]
async fn a_refresh_gives_a_new_token_and_a_new_refresh_token() {
    let service = TestService::new().await;
    let login = service.login("u-1").await;
    service.clock.forward(Duration::from_mins(40));
    let refreshed = service.refresh(&login.text("refresh_token")).await.ok();
    assert_ne!(refreshed.text("token"), login.text("token"));
    assert_ne!(refreshed.text("refresh_token"), login.text("refresh_token"));
    let now = service.clock.now();
    let claims = verified_claims(&refreshed.text("token"), &service.public_key);
    assert_eq!(claims["sub"], "u-1");
    assert_eq!(claims["exp"], now.seconds() + 3600);
    let answer = refreshed.json();
    assert_eq!(answer["server_time"], now.0);
    assert_eq!(answer["token_expires"], (now.seconds() + 3600) * 1000);
    assert_eq!(answer["refresh_expires"], now.plus(30 * DAY).0);
    let refresh_in = answer["refresh_in"].as_u64().unwrap();
    assert!((1800..=2700).contains(&refresh_in), "{refresh_in}");
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="rotate"}"#), 1.0);
}

/// No front door has to count: the verb does.
#[tokio::test]
async fn the_issuer_counts_its_decisions_and_raises_its_alarms() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    service.refresh(&second).await.ok();
    service.clock.forward(Duration::from_mins(1));
    service.state.issuer.refresh(presented(&service, &first), None).await.unwrap_err();
    assert_eq!(service.metric(r#"countersign_alarms_total{kind="reuse"}"#), 1.0);
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="reused"}"#), 1.0);
}

#[tokio::test]
async fn a_refresh_token_knows_its_place_and_its_times() {
    let service = TestService::new().await;
    let began = service.clock.now();
    let mut token = service.session("u-1").await;
    let session = presented(&service, &token).session;
    for counter in 1..4 {
        service.clock.forward(DAY);
        token = service.refresh(&token).await.ok().text("refresh_token");
        let now = service.clock.now();
        let link = presented(&service, &token);
        assert_eq!((link.session, link.counter, link.issued), (session, counter, now));
        assert_eq!((link.idle_expires, link.expires), (now.plus(30 * DAY), began.plus(180 * DAY)));
    }
    // A repeated answer is the same link, not one that lives longer.
    let (now, first) = (service.clock.now(), presented(&service, &token));
    let next = service.refresh(&token).await.ok().text("refresh_token");
    service.clock.forward(Duration::from_hours(1));
    let again = presented(&service, &service.refresh(&token).await.ok().text("refresh_token")).clone();
    assert_eq!(*presented(&service, &next), *again);
    assert_eq!((again.issued, again.idle_expires), (now, now.plus(30 * DAY)));
    assert_eq!(again.expires, first.expires);
}

#[tokio::test]
async fn refresh_from_is_spread() {
    let service = TestService::new().await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        seen.insert(service.login("u-1").await.json()["refresh_from"].as_i64().unwrap());
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[tokio::test]
async fn a_lost_answer_is_repeated_with_the_same_generation() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    let lost = service.refresh(&first).await.ok().text("refresh_token");
    service.clock.forward(23 * Duration::from_hours(1));
    let again = service.refresh(&first).await.ok().text("refresh_token");
    assert_eq!(counter(&service, &again), counter(&service, &lost));
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="repeat"}"#), 1.0);
    // Both are of the same generation: either goes on, and then the other repeats.
    let next = service.refresh(&lost).await.ok().text("refresh_token");
    assert_eq!(counter(&service, &service.refresh(&again).await.ok().text("refresh_token")), counter(&service, &next));
}

#[tokio::test]
async fn the_retry_window_is_not_extended_by_using_it() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    service.refresh(&first).await.ok();
    service.clock.forward(Duration::from_hours(20));
    service.refresh(&first).await.ok();
    service.clock.forward(Duration::from_hours(4));
    service.refresh(&first).await.problem(401, "invalid_token");
}

#[tokio::test]
async fn one_behind_but_too_late_is_refused_and_the_session_left_alone() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    service.clock.forward(DAY);
    let refused = service.refresh(&first).await.problem(401, "invalid_token");
    assert_eq!(refused.json()["retry"], "after_login");
    service.refresh(&second).await.ok();
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="superseded"}"#), 1.0);
}

#[tokio::test]
async fn reuse_ends_the_session_and_only_that() {
    let service = TestService::new().await;
    let other = service.session("u-1").await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    let third = service.refresh(&second).await.ok().text("refresh_token");
    service.clock.forward(Duration::from_secs(11));
    service.refresh(&first).await.problem(401, "invalid_token");
    service.refresh(&third).await.problem(401, "invalid_token");
    service.refresh(&other).await.ok();
    assert_eq!(service.metric(r#"countersign_alarms_total{kind="reuse"}"#), 1.0);
}

#[tokio::test]
async fn a_straggler_of_the_same_moment_is_no_reuse() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    let third = service.refresh(&second).await.ok().text("refresh_token");
    service.clock.forward(Duration::from_secs(9));
    let straggler = service.refresh(&first).await.ok().text("refresh_token");
    assert_eq!(counter(&service, &straggler), counter(&service, &third));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_one_generation() {
    let service = std::sync::Arc::new(TestService::new().await);
    let first = service.session("u-1").await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (service, first) = (service.clone(), first.clone());
        racing.spawn(async move { service.refresh(&first).await.ok().text("refresh_token") });
    }
    let counters: HashSet<u64> = racing.join_all().await.iter().map(|token| counter(&service, token)).collect();
    assert_eq!(counters, HashSet::from([1]));
    assert_eq!(service.metric(r#"countersign_refreshes_total{app="web",decision="rotate"}"#), 1.0);
}

#[tokio::test]
async fn a_token_ahead_of_the_store_goes_on_and_raises_an_alarm() {
    let service = TestService::new().await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    let third = service.refresh(&second).await.ok().text("refresh_token");
    // The store forgets the last two rotations, as if restored by copying an old file back.
    let session = presented(&service, &third).session;
    let row = service.services.store().session(session).await.unwrap().unwrap();
    let back = Advance { id: session, from: 2, to: 0, rotated: row.rotated, idle_expires: row.idle_expires };
    assert!(service.services.store().advance_session(back).await.unwrap());
    let fourth = service.refresh(&third).await.ok().text("refresh_token");
    assert_eq!(counter(&service, &fourth), 3);
    service.refresh(&fourth).await.ok();
    assert_eq!(service.metric(r#"countersign_alarms_total{kind="store_lost_writes"}"#), 1.0);
}

#[tokio::test]
async fn idle_and_absolute_life_end_a_session() {
    let service = TestService::new().await;
    let idle = service.session("u-1").await;
    service.clock.forward(30 * DAY);
    let over = service.refresh(&idle).await.problem(401, "expired_token");
    assert_eq!(over.json()["retry"], "after_login");

    let mut busy = service.session("u-1").await;
    for _ in 0..8 {
        service.clock.forward(20 * DAY);
        busy = service.refresh(&busy).await.ok().text("refresh_token");
    }
    service.clock.forward(20 * DAY);
    service.refresh(&busy).await.problem(401, "expired_token");
}

#[tokio::test]
async fn the_guard_protects_a_switched_user_and_changes_nothing() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    let refresh = |user: &str| json!({ "refresh_token": token, "user_id": user });
    let refused = service.post("/v1/token/refresh", &refresh("u-2")).await.problem(409, "user_mismatch");
    assert_eq!(refused.json()["retry"], "never");
    let answer = service.post("/v1/token/refresh", &refresh("u-1")).await.ok();
    assert_eq!(counter(&service, &answer.text("refresh_token")), 1);
    assert_eq!(claims(&answer.text("token"))["sub"], "u-1");
}

#[tokio::test]
async fn opted_out_users_get_nothing_until_they_are_back() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    let user =
        countersign::domain::ids::UserId::parse("u-1", countersign::domain::ids::UserIdRules::default()).unwrap();
    let users = service.operator.users();
    assert!(users.opt_out(&user, None).await.unwrap());
    service.refresh(&token).await.problem(403, "opted_out");
    service.generate(&json!({ "app": "web", "user_id": "u-1" })).await.problem(403, "opted_out");
    assert!(users.opt_in(&user, None).await.unwrap());
    service.refresh(&token).await.ok();

    let web = "web".parse().unwrap();
    users.opt_out(&user, Some(&web)).await.unwrap();
    service.generate(&json!({ "app": "web", "user_id": "u-1" })).await.problem(403, "opted_out");
    service.generate(&json!({ "app": "ios", "user_id": "u-1" })).await.ok();
}

#[tokio::test]
async fn every_way_of_revoking_ends_the_session_at_once() {
    let service = TestService::new().await;
    let user =
        countersign::domain::ids::UserId::parse("u-1", countersign::domain::ids::UserIdRules::default()).unwrap();
    let users = service.operator.users();
    let web = "web".parse().unwrap();

    let token = service.session("u-1").await;
    assert_eq!(users.revoke(&user, Some(&web)).await.unwrap(), 1);
    service.refresh(&token).await.problem(401, "invalid_token");

    let token = service.session("u-1").await;
    assert_eq!(users.revoke(&user, None).await.unwrap(), 1);
    service.refresh(&token).await.problem(401, "invalid_token");

    for app in [Some(&web), None] {
        let token = service.session("u-2").await;
        users.revoke_everyone(app).await.unwrap();
        service.refresh(&token).await.problem(401, "invalid_token");
        service.clock.forward(Duration::from_millis(1));
        service.session("u-2").await;
    }
    let token = service.session("u-3").await;
    let session = users
        .sessions(
            &countersign::domain::ids::UserId::parse("u-3", countersign::domain::ids::UserIdRules::default()).unwrap(),
        )
        .await
        .unwrap()[0]
        .id;
    assert!(users.revoke_session(session).await.unwrap());
    service.refresh(&token).await.problem(401, "invalid_token");
}

#[tokio::test]
async fn a_shortened_login_stays_shortened() {
    let service = TestService::new().await;
    let login = service.generate(&json!({ "app": "web", "user_id": "u-1", "ttl": 300 })).await.ok();
    assert_eq!(login.json()["expires_in"], 299, "exp is a whole second, never later than asked for");
    let refreshed = service.refresh(&login.text("refresh_token")).await.ok();
    assert_eq!(refreshed.json()["expires_in"], 299);
}

#[tokio::test]
async fn a_strict_app_repeats_nothing() {
    let strict = format!("[store]\noutage = \"refuse\"\n{CONFIG}\n[apps.web.refresh]\nretry_window = \"0s\"\n");
    let service = TestService::with(&strict).await;
    let first = service.session("u-1").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    service.refresh(&first).await.problem(401, "invalid_token");
    service.refresh(&second).await.ok();
}

#[tokio::test]
async fn an_app_may_have_no_refreshing() {
    let service = TestService::with(&format!("{CONFIG}\n[apps.web.refresh]\nenabled = false\n")).await;
    let answer = service.login("u-1").await.json();
    for absent in ["refresh_token", "refresh_from", "refresh_expires", "refresh_in"] {
        assert!(answer.get(absent).is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_failure_of_any_shape_is_counted_and_fails_nothing() {
    let service = TestService::new().await;
    let shapes = [
        json!({"error_code": 22, "reason": "EXPIRED", "user_id": "u-1", "signature": "x.y.z", "platform": "web"}),
        json!({"error_code": "22"}),
        json!({"errorCode": 22, "userId": 7}),
        json!({"code": 22.5, "reason": null}),
        json!([]),
        json!("22"),
        json!(null),
        json!({"error_code": 4711, "extra": {"deep": [1, [2, [3]]]}}),
    ];
    for failure in shapes {
        let token = service.session("u-1").await;
        let body = json!({ "refresh_token": token, "failure": failure });
        service.post("/v1/token/refresh", &body).await.ok();
    }
    assert_eq!((counted(&service, "22"), counted(&service, "other")), (3.0, 4.0));
}

#[tokio::test]
async fn invented_failures_make_no_new_series() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    let report = |failure| json!({ "refresh_token": token, "failure": failure });
    service.post("/v1/token/refresh", &report(json!({"error_code": 4711}))).await.ok();
    let before = service.services.metrics().encode().lines().count();
    for n in 0..500 {
        let failure =
            json!({"error_code": 1000 + n, "platform": format!("p{n}"), "reason": format!("r{n}"), "sdk_version": n});
        service.post("/v1/token/refresh", &report(failure)).await.ok();
    }
    // `repeat` is the one series these refreshes add.
    assert!(service.services.metrics().encode().lines().count() <= before + 1);
}

#[tokio::test]
async fn what_is_no_refresh_token_of_ours_gets_one_and_the_same_answer() {
    let service = TestService::new().await;
    let other = TestService::new().await;
    let good = service.session("u-1").await;
    let jwt = service.login("u-1").await.text("token");
    let revoked = service.session("u-1").await;
    service.revoke(&revoked).await.ok();
    let mut flipped = good.clone().into_bytes();
    *flipped.last_mut().unwrap() = if flipped.ends_with(b"A") { b'B' } else { b'A' };
    let shout = good.to_uppercase();
    let of_another_service = other.session("u-1").await;
    let flipped = String::from_utf8(flipped).unwrap();
    let mut answers = HashSet::new();
    for token in [
        "",
        "x",
        "csr1_",
        &jwt,
        &service.api_key,
        &revoked,
        &flipped,
        &shout,
        &of_another_service,
        &good[..good.len() - 1],
    ] {
        let mut problem = service.refresh(token).await.problem(401, "invalid_token").json();
        problem["request_id"] = "".into();
        answers.insert(problem.to_string());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    service.refresh(&good).await.ok();
}

/// An app may be missing by mistake, which must not end its users' sessions (R32).
#[tokio::test]
async fn a_token_of_an_app_that_is_gone_waits_unless_its_session_ended() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    let mut policies = service.settings.policies();
    policies.remove(&"web".parse().unwrap());
    service.state.issuer.reload(policies, SealingKeys::derive(service.settings.sealing()));
    service.refresh(&token).await.problem(503, "unavailable");
    service.revoke(&token).await.ok();
    service.refresh(&token).await.problem(401, "invalid_token");
}

#[tokio::test]
async fn a_clock_that_is_set_back_logs_nobody_out() {
    let service = TestService::new().await;
    let mut token = service.session("u-1").await;
    service.clock.set_by(-60);
    let first = token.clone();
    token = service.refresh(&token).await.ok().text("refresh_token");
    service.refresh(&first).await.ok();
    service.clock.set_by(60);
    service.refresh(&token).await.ok();
}
