//! Reports of failures that no refresh cures (R42): always taken, counted by a closed set of codes, and no oracle.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use super::support::{
    Answer, in_less_than_a_second,
    switched_store::Reach,
    test_service::{CONFIG, TestService, post, raw_post},
};

const PATH: &str = "/v1/failures";

async fn report(service: &TestService, refresh_token: &str, failure: Value) -> Answer {
    service.post(PATH, &json!({ "refresh_token": refresh_token, "failure": failure })).await
}

/// Counts the reports of `web` with this code, or of nobody known, of any cause.
pub(super) fn counted(service: &TestService, code: &str) -> f64 {
    counted_by(service, |labels| labels.contains(&format!(r#"code="{code}""#)))
}

/// Counts the reports with this cause.
fn caused(service: &TestService, cause: &str) -> f64 {
    counted_by(service, |labels| labels.contains(&format!(r#"cause="{cause}""#)))
}

fn counted_by(service: &TestService, fits: impl Fn(&str) -> bool) -> f64 {
    let text = service.services.metrics().encode();
    let series = text.lines().filter_map(|line| line.strip_prefix("countersign_reported_failures_total{"));
    let fitting = series.filter_map(|series| series.split_once("} ")).filter(|(labels, _)| fits(labels));
    fitting.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

/// Checks that an answer tells nothing but that the report was taken.
#[track_caller]
fn assert_taken(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_slice()), (204, &b""[..]), "{answer:?}");
}

#[tokio::test]
async fn a_report_is_counted_by_its_code_in_the_shape_of_any_sdk() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    for (failure, code) in [
        (json!({"errorCode": 25, "reason": "PUBLIC_KEY_ERROR", "userId": "u-1", "signature": "x.y.z"}), "25"),
        (json!({"errorCode": -1, "errorReason": "PAYLOAD_USER_ID_MISMATCH"}), "28"),
        (json!({"code": 10, "reason": null, "userId": "", "signature": "", "optional": true}), "10"),
        (json!({"error_code": "21", "error_reason": 7, "user_id": [], "original_signature": {}}), "21"),
        (json!({"errorCode": -1}), "other"),
    ] {
        assert_taken(&report(&service, &token, failure).await);
        assert_eq!(counted(&service, code), 1.0, "{code}");
    }
    for odd in [json!(null), json!([]), json!("25"), json!(25), json!({}), json!({"error_code": 11, "deep": [[[]]]})] {
        let token = service.session("u-2").await;
        assert_taken(&report(&service, &token, odd).await);
    }
    assert_eq!(counted(&service, "other"), 7.0);
}

#[tokio::test]
async fn a_session_counts_once_per_code_in_five_minutes() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    for _ in 0..50 {
        assert_taken(&report(&service, &token, json!({"errorCode": 25})).await);
    }
    assert_eq!(counted(&service, "25"), 1.0);
    report(&service, &token, json!({"errorCode": 28})).await;
    service.clock.forward(Duration::from_mins(6));
    report(&service, &token, json!({"errorCode": 25})).await;
    assert_eq!((counted(&service, "25"), counted(&service, "28")), (2.0, 1.0));
}

/// The relation of the report's user id to the session's is all that is used of it.
#[tokio::test]
async fn a_user_id_is_compared_with_that_of_the_session() {
    let service = TestService::new().await;
    service.tick().await;
    for (session, reported, cause) in [
        ("Anna", json!("anna"), "user_id_case"),
        ("anna b", json!("annab"), "user_id_whitespace"),
        ("7", json!("007"), "user_id_numeric"),
        ("8", json!(8), "user_id_numeric"),
    ] {
        let token = service.session(session).await;
        let before = caused(&service, cause);
        assert_taken(&report(&service, &token, json!({"errorCode": 21, "userId": reported})).await);
        assert_eq!(caused(&service, cause), before + 1.0, "{session} {reported}");
    }
}

/// A refused token that comes with a report is verified, with the keys of this installation: 20 in a second, and the
/// others are not.
#[tokio::test]
async fn twenty_refused_tokens_in_a_second_are_examined() {
    let service = TestService::new().await;
    service.tick().await;
    let other = TestService::new().await;
    other.clock.forward(Duration::from_secs(7));
    let foreign = other.login("u-1").await.text("token");
    let judged = async |times: u32| {
        let before = caused(&service, "not_our_token");
        for _ in 0..times {
            let token = service.session("u-1").await;
            report(&service, &token, json!({"errorCode": 27, "signature": foreign})).await;
        }
        caused(&service, "not_our_token") - before
    };
    assert_eq!(judged(25).await, 20.0);
    assert_eq!(judged(5).await, 0.0);
    service.clock.forward(Duration::from_secs(1));
    assert_eq!(judged(5).await, 5.0);
    assert_eq!(counted(&service, "27"), 35.0);
}

/// Else one session could use up what may be examined for all of them.
#[tokio::test]
async fn a_session_that_rests_has_no_token_examined() {
    let service = TestService::new().await;
    service.tick().await;
    let (noisy, other) = (service.session("u-1").await, service.session("u-2").await);
    let failure = json!({"errorCode": 27, "signature": "x.y.z"});
    for _ in 0..25 {
        assert_taken(&report(&service, &noisy, failure.clone()).await);
    }
    let foreign = TestService::new().await;
    foreign.clock.forward(Duration::from_secs(7));
    let foreign = foreign.login("u-1").await.text("token");
    assert_taken(&report(&service, &other, json!({"errorCode": 27, "signature": foreign})).await);
    assert_eq!(caused(&service, "not_our_token"), 1.0);
    assert_eq!(counted(&service, "27"), 2.0);
}

#[tokio::test]
async fn a_report_is_taken_while_the_store_is_away() {
    let service = TestService::new().await;
    service.tick().await;
    let token = service.session("u-1").await;
    service.switch.set(Reach::OutOfReach);
    service.tick().await;
    assert_taken(&report(&service, &token, json!({"errorCode": 21, "userId": "U-1"})).await);
    assert_eq!(caused(&service, "user_id_case"), 1.0);
}

#[tokio::test]
async fn every_refresh_token_gets_the_same_answer() {
    let service = TestService::new().await;
    let other = TestService::new().await;
    let (live, revoked) = (service.session("u-1").await, service.session("u-1").await);
    service.revoke(&revoked).await.ok();
    let of_another_service = other.session("u-1").await;
    let mut answers = Vec::new();
    for token in [&live, &revoked, &of_another_service, "", "junk", "csr1_AAAA"] {
        let mut answer = report(&service, token, json!({"errorCode": 25})).await;
        assert_taken(&answer);
        answer.headers.remove("x-request-id");
        answers.push(answer.headers);
    }
    assert!(answers.iter().all(|headers| *headers == answers[0]), "{answers:?}");
    assert_eq!(counted(&service, "25"), 2.0, "a revoked session's refresh token is authentic");
    assert_eq!(counted(&service, "unauthenticated"), 4.0);
}

#[tokio::test]
async fn a_code_beside_a_refresh_token_that_is_not_ours_is_anybodys_claim() {
    let service = TestService::new().await;
    let body = json!({ "refresh_token": "junk", "failure": {"error_code": 22} });
    service.post("/v1/token/refresh", &body).await.problem(401, "invalid_token");
    service.refresh("junk").await.problem(401, "invalid_token");
    assert_eq!((counted(&service, "22"), counted(&service, "unauthenticated")), (0.0, 1.0));
}

#[tokio::test]
async fn what_is_no_report_is_refused() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    for text in ["", "{", "[]", r#"{"refresh_token":"t"}"#, r#"{"failure":{}}"#, r#"{"refresh_token":5,"failure":{}}"#]
    {
        service.send(raw_post(PATH, text)).await.problem(400, "client_error");
    }
    let extra = json!({ "refresh_token": token, "failure": {}, "user_id": "u-1" });
    service.post(PATH, &extra).await.problem(400, "client_error");
    let plain = Request::post(PATH).header(header::CONTENT_TYPE, "text/plain").body(Body::from("{}")).unwrap();
    service.send(plain).await.problem(415, "client_error");
    let get = Request::get(PATH).body(Body::empty()).unwrap();
    service.send(get).await.problem(405, "client_error");
}

#[tokio::test]
async fn guessing_is_slowed_and_a_session_that_reports_too_often_is_told() {
    let limits = "enabled = true\nfailures_per_address = { per_second = 1, burst = 3 }\n\
                  per_session = { per_second = 1, burst = 2 }";
    let (service, statuses) = in_less_than_a_second(async || {
        let service = TestService::with(&CONFIG.replace("enabled = false", limits)).await;
        let (begun, mut statuses) = (Instant::now(), Vec::new());
        for _ in 0..5 {
            statuses.push(report(&service, "junk", json!({})).await.status);
        }
        (begun, (service, statuses))
    })
    .await;
    assert_eq!(statuses, [204, 204, 204, 429, 429]);
    assert_eq!(counted(&service, "unauthenticated"), 5.0);
    let (service, [first, second, third]) = in_less_than_a_second(async || {
        let service = TestService::with(&CONFIG.replace("enabled = false", limits)).await;
        let token = service.session("u-1").await;
        let begun = Instant::now();
        let report = async |code| report(&service, &token, json!({"errorCode": code})).await;
        let answers = [report(25).await, report(28).await, report(25).await];
        (begun, (service, answers))
    })
    .await;
    assert_taken(&first);
    assert_taken(&second);
    let refused = third.problem(429, "rate_limited");
    assert_eq!(refused.header("ratelimit"), r#""session";r=0;t=1"#);
    assert_eq!(counted(&service, "25") + counted(&service, "28"), 2.0);
}

#[tokio::test]
async fn pages_of_listed_origins_may_report_and_others_learn_nothing() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    let from = async |origin: &str| {
        let mut request = post(PATH, &json!({ "refresh_token": token, "failure": {"errorCode": 28} }));
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        service.send(request).await
    };
    let listed = from("https://app.example.com").await;
    assert_taken(&listed);
    assert_eq!(listed.header("access-control-allow-origin"), "https://app.example.com");
    let unlisted = from("https://evil.test").await;
    assert_taken(&unlisted);
    assert_eq!(unlisted.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn ten_thousand_inventions_make_no_new_series() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    report(&service, &token, json!({"error_code": 4711})).await;
    report(&service, "junk", json!({"error_code": 4711})).await;
    let series = || service.services.metrics().encode().lines().count();
    let before = series();
    for n in 0..5_000 {
        let failure = json!({"error_code": 1000 + n, "reason": format!("r{n}"), "platform": format!("p{n}")});
        report(&service, &token, failure.clone()).await;
        report(&service, &format!("junk{n}"), failure).await;
    }
    assert_eq!(series(), before);
    assert_eq!((counted(&service, "other"), counted(&service, "unauthenticated")), (1.0, 5_001.0));
}
