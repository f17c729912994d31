//! A wall clock that is set while the service runs: nothing is issued, judged, written or purged by it (R66, R32).

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::{Clock, UnixMillis},
    domain::ids::{UserId, UserIdRules},
    operate::Health,
};
use http::Request;
use serde_json::{Value, json};

use crate::support::{
    Answer, claims,
    test_service::{CONFIG, TestClock, TestService},
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Checks that this is the answer of a node whose clock is stopped.
#[track_caller]
fn stopped(answer: Answer) {
    let retry_after: u64 = answer.header("retry-after").parse().unwrap();
    let answer = answer.problem(503, "unavailable").json();
    let retry = answer["retry"].as_u64().expect("milliseconds");
    assert!((10_000..=11_000).contains(&retry) && (10..=11).contains(&retry_after), "{answer}");
}

/// The condition `clock` of the ops listener, and the status of `/readyz`.
async fn readiness(service: &TestService) -> (u16, Value) {
    let answer = service.send(Request::get("/readyz").body(axum::body::Body::empty()).unwrap()).await;
    let conditions = service.state.readiness.report(false).conditions;
    let clock = conditions.into_iter().find(|condition| condition.name == "clock").unwrap();
    assert!(clock.required);
    (answer.status, serde_json::to_value(clock).unwrap())
}

/// A service that trusts a clock a minute after it was set forward.
async fn impatient() -> TestService {
    TestService::with(&format!("[clock]\npatience = \"1m\"\n{CONFIG}")).await
}

/// Checks that nothing is answered by the time, and nothing changes.
async fn check_stopped(service: &TestService, token: &str) {
    stopped(service.refresh(token).await);
    stopped(service.generate(&json!({ "app": "web", "user_id": "u-2" })).await);
    stopped(service.revoke(token).await);
    service.refresh("csr_junk").await.problem(401, "invalid_token");
    service.tick().await;
    let (status, condition) = readiness(service).await;
    assert_eq!((status, &condition["ok"]), (503, &json!(false)), "{condition}");
    assert_eq!(service.metric("countersign_alarms_total{kind=\"clock\"}"), 1.0, "one stop, one alarm");
}

fn now(service: &TestService) -> UnixMillis {
    service.clock.now()
}

async fn floor(service: &TestService) -> UnixMillis {
    service.services.store().clock_record().await.unwrap().floor.unwrap().time
}

#[tokio::test]
async fn a_step_stops_every_judgement_and_costs_nothing_after_a_return() {
    for seconds in [2 * HOUR, 400 * DAY, -2 * HOUR, 61, -61] {
        let service = TestService::new().await;
        service.run(3).await;
        let mut token = service.session("u-1").await;
        service.clock.set_by(seconds);
        check_stopped(&service, &token).await;
        service.run(90).await;
        check_stopped(&service, &token).await;
        let before = floor(&service).await;
        service.clock.set_by(-seconds);
        stopped(service.refresh(&token).await);
        service.tick().await;
        assert_eq!(readiness(&service).await.0, 200);
        for _ in 0..3 {
            let answer = service.refresh(&token).await.ok();
            let exp = claims(&answer.text("token"))["exp"].as_i64().unwrap();
            assert!(exp <= now(&service).seconds() + HOUR, "a token that lives too long");
            token = answer.text("refresh_token");
        }
        assert!(before <= now(&service) && floor(&service).await <= now(&service), "{seconds}: poisoned");
    }
}

#[tokio::test]
async fn an_expired_session_is_not_judged_by_a_stopped_clock() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    service.clock.set_by(400 * DAY);
    stopped(service.refresh(&token).await);
    service.run(10).await;
    let user = UserId::parse("u-1", UserIdRules::default()).unwrap();
    assert_eq!(service.operator.users().sessions(&user).await.unwrap().len(), 1, "nothing was purged");
    service.clock.set_by(-400 * DAY);
    service.tick().await;
    service.refresh(&token).await.ok();
}

#[tokio::test]
async fn an_api_key_is_not_judged_expired_by_a_stopped_clock() {
    let service = TestService::new().await;
    let lifetime = Some(Duration::from_hours(1));
    let clients = service.operator.clients();
    let (key, _) = clients.create("other".parse().unwrap(), vec!["web".parse().unwrap()], lifetime).await.unwrap();
    let ask = async |key: &str| {
        let mut request =
            crate::support::test_service::post("/v1/token/generate", &json!({ "app": "web", "user_id": "u" }));
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        service.send(request).await
    };
    service.tick().await;
    service.clock.set_by(2 * HOUR);
    stopped(ask(&key.reveal()).await);
    ask("csk_0000000000000000_junk").await.problem(401, "unauthorized");
    assert!(clients.create("third".parse().unwrap(), vec![], None).await.is_err(), "nor is one made");
    assert!(service.operator.users().revoke_everyone(None).await.is_err(), "nor everyone's session ended by it");
    service.clock.set_by(-2 * HOUR);
    service.tick().await;
    ask(&key.reveal()).await.ok();
}

#[tokio::test]
async fn steps_of_59_seconds_add_up() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    service.run(60).await;
    service.clock.set_by(59);
    let token = service.refresh(&token).await.ok().text("refresh_token");
    service.run(60).await;
    service.clock.set_by(59);
    check_stopped(&service, &token).await;
}

#[tokio::test]
async fn a_restart_and_a_suspension_are_no_step() {
    let service = TestService::new().await;
    service.run(15).await;
    let token = service.session("u-1").await;
    service.clock.forward(Duration::from_mins(15));
    let token = service.refresh(&token).await.ok().text("refresh_token");
    // Stopped for 10 minutes: another process on the same machine and store.
    service.clock.forward(Duration::from_mins(10));
    let again = service.beside(Arc::clone(&service.clock)).await;
    again.tick().await;
    assert_eq!(readiness(&again).await.0, 200);
    again.refresh(&token).await.ok();
    let lag = now(&service).since(floor(&service).await);
    assert!(lag < Duration::from_secs(11), "boot time confirms the time in between: {lag:?}");
}

#[tokio::test]
async fn a_process_that_starts_behind_the_floor_is_stopped_until_the_clock_is_set() {
    let service = TestService::new().await;
    service.run(15).await;
    let token = service.session("u-1").await;
    service.clock.set_by(-2 * HOUR);
    let again = service.beside(Arc::clone(&service.clock)).await;
    check_behind(&again, &token).await;
    again.run(20).await;
    assert_eq!(again.metric("countersign_alarms_total{kind=\"clock\"}"), 1.0, "one stop, one alarm");
    service.clock.set_by(2 * HOUR);
    again.tick().await;
    again.refresh(&token).await.ok();
    assert_eq!(readiness(&again).await.0, 200);
}

async fn check_behind(service: &TestService, token: &str) {
    stopped(service.refresh(token).await);
    let (status, condition) = readiness(service).await;
    let reason = condition["reason"].as_str().unwrap_or_default().to_owned();
    assert!(status == 503 && reason.contains("behind the time that the store has on record"), "{reason}");
}

#[tokio::test]
async fn a_wrong_node_stops_no_other() {
    for seconds in [70, DAY, -2 * HOUR] {
        let right = impatient().await;
        // A machine of its own.
        let wrong = right.beside(Arc::new(TestClock::at(right.clock.now()))).await;
        let both = async |seconds| {
            for _ in 0..seconds {
                right.run(1).await;
                wrong.run(1).await;
            }
        };
        both(15).await;
        let token = right.session("u-1").await;
        wrong.clock.set_by(seconds);
        stopped(wrong.refresh(&token).await);
        both(25).await;
        let token = right.refresh(&token).await.ok().text("refresh_token");
        assert_eq!((readiness(&right).await.0, readiness(&wrong).await.0), (200, 503));
        both(75).await;
        stopped(wrong.refresh(&token).await);
        // A restart of the right one finds no poisoned floor.
        let again = right.beside(Arc::clone(&right.clock)).await;
        let token = again.refresh(&token).await.ok().text("refresh_token");
        wrong.clock.set_by(-seconds);
        both(1).await;
        wrong.refresh(&token).await.ok();
    }
}

#[tokio::test]
async fn a_node_that_started_a_day_ahead_poisons_nothing() {
    let right = TestService::new().await;
    right.run(15).await;
    let token = right.session("u-1").await;
    let ahead = right.beside(Arc::new(TestClock::at(right.clock.now().plus(Duration::from_hours(24))))).await;
    ahead.run(30).await;
    right.run(30).await;
    let token = right.refresh(&token).await.ok().text("refresh_token");
    let again = right.beside(Arc::clone(&right.clock)).await;
    again.tick().await;
    again.refresh(&token).await.ok();
    assert_eq!(readiness(&again).await.0, 200);
}

#[tokio::test]
async fn patience_trusts_a_steady_clock() {
    let service = impatient().await;
    service.run(3).await;
    let token = service.session("u-1").await;
    service.clock.set_by(2 * HOUR);
    service.run(59).await;
    stopped(service.refresh(&token).await);
    service.run(5).await;
    service.refresh(&token).await.ok();
}

#[tokio::test]
async fn an_operator_accepts_a_clock_and_running_nodes_go_on() {
    let service = TestService::new().await;
    service.run(15).await;
    let token = service.session("u-1").await;
    service.clock.set_by(-2 * HOUR);
    service.run(5).await;
    let checks = service.operator.checks().await.unwrap();
    let wrong: Vec<_> = checks.iter().filter(|check| check.health == Health::Wrong).collect();
    assert!(wrong.len() == 1 && wrong[0].text.contains("countersign clock accept"), "{wrong:?}");
    let before = floor(&service).await;
    let acceptance = service.operator.clocks().accept().await.unwrap();
    assert_eq!((acceptance.before, acceptance.floor.time), (Some(before), now(&service)));
    service.tick().await;
    service.refresh(&token).await.ok();
    assert_eq!(readiness(&service).await.0, 200);
    let text = |checks: Vec<countersign::operate::Check>| {
        let clock = checks.into_iter().filter(|check| check.what.starts_with("clock"));
        clock.map(|check| check.text).collect::<Vec<_>>().join("\n")
    };
    let shown = text(service.operator.checks().await.unwrap());
    assert!(shown.contains("operator (uid") && shown.contains("accepted"), "{shown}");
}

#[tokio::test]
async fn an_acceptance_releases_only_nodes_that_have_its_time() {
    let one = TestService::new().await;
    one.run(15).await;
    let other = one.beside(Arc::new(TestClock::at(one.clock.now()))).await;
    other.run(3).await;
    let token = one.session("u-1").await;
    one.clock.set_by(-2 * HOUR);
    other.clock.set_by(30 * DAY);
    stopped(one.refresh(&token).await);
    stopped(other.refresh(&token).await);
    one.operator.clocks().accept().await.unwrap();
    one.tick().await;
    other.tick().await;
    one.refresh(&token).await.ok();
    stopped(other.refresh(&token).await);
}

#[tokio::test]
async fn running_nodes_confirm_a_corrected_clock_at_once() {
    let right = TestService::new().await;
    right.run(15).await;
    let token = right.session("u-1").await;
    let two_hours_ahead = right.clock.now().plus(Duration::from_hours(2));
    let other = right.beside(Arc::new(TestClock::at(two_hours_ahead))).await;
    let both = async |seconds| {
        for _ in 0..seconds {
            right.run(1).await;
            other.run(1).await;
        }
    };
    both(25).await;
    other.clock.set_by(-2 * HOUR);
    stopped(other.refresh(&token).await);
    other.run(1).await;
    assert_eq!(readiness(&other).await.0, 200);
    other.refresh(&token).await.ok();
}

#[tokio::test]
async fn stopped_nodes_do_not_confirm_each_other() {
    let one = TestService::new().await;
    let other = one.beside(Arc::new(TestClock::at(one.clock.now()))).await;
    let token = one.session("u-1").await;
    let both = async |seconds| {
        for _ in 0..seconds {
            one.run(1).await;
            other.run(1).await;
        }
    };
    both(25).await;
    one.clock.set_by(-2 * HOUR);
    other.clock.set_by(-2 * HOUR);
    both(70).await;
    stopped(one.refresh(&token).await);
    stopped(other.refresh(&token).await);
    one.clock.set_by(2 * HOUR);
    both(1).await;
    one.refresh(&token).await.ok();
    stopped(other.refresh(&token).await);
}

#[tokio::test]
async fn a_stopped_clock_records_no_use_of_an_api_key() {
    let service = TestService::new().await;
    let last_used = async || service.operator.clients().list().await.unwrap()[0].last_used;
    service.login("u-1").await;
    service.clock.set_by(24 * 3600);
    service.tick().await;
    assert_eq!(last_used().await, None);
    service.clock.set_by(-24 * 3600);
    service.tick().await;
    let first = last_used().await.unwrap();
    assert_eq!(first.0 % 60_000, 0, "to the minute");

    // One write a minute, however many requests there are.
    for _ in 0..59 {
        service.clock.forward(Duration::from_secs(2));
        service.login("u-1").await;
        service.tick().await;
        assert_eq!(last_used().await, Some(first));
    }
    for _ in 0..3 {
        service.tick().await;
    }
    let second = last_used().await.unwrap();
    assert!(second.since(first) >= Duration::from_mins(1), "{second}");
}
