//! Session endpoints: a URL of the app that is asked with the presented cookie or bearer credential.

use countersign::domain::sign_in::{ClaimPath, ClaimRule, SessionEndpointMethod, SessionEndpointRules, SignIn};
use http::header;
use serde_json::json;

use super::{Log, exchange, exchange_request, minted, set_sign_ins, user_id, with_sign_in};
use crate::support::{
    Answer,
    endpoint::{TestEndpoint, response},
    test_service::TestService,
};

const ORIGIN: (header::HeaderName, &str) = (header::ORIGIN, "https://app.example.com");

fn rules(endpoint: &TestEndpoint) -> SessionEndpointRules {
    SessionEndpointRules {
        url: endpoint.url.clone(),
        method: SessionEndpointMethod::GET,
        cookies: vec!["__Host-session".to_owned()],
        bearer: true,
        user_id: user_id("/user/id"),
        required_claims: Vec::new(),
        refused_claims: Vec::new(),
        allow_private_addresses: false,
    }
}

async fn started() -> (TestEndpoint, TestService) {
    let endpoint = TestEndpoint::start().await;
    endpoint.answers_json(&json!({ "user": { "id": 4_711 } }));
    let service = with_sign_in(SignIn::SessionEndpoint(rules(&endpoint))).await;
    (endpoint, service)
}

async fn with_cookies(service: &TestService, cookies: &str) -> Answer {
    service.send(exchange_request("web", &[ORIGIN, (header::COOKIE, cookies)])).await
}

#[tokio::test]
async fn only_the_named_cookie_is_passed_on() {
    let (endpoint, service) = started().await;
    let request = exchange_request(
        "web",
        &[
            ORIGIN,
            (header::COOKIE, "tracking=1; __Host-session=s%20e=c; csrf=2"),
            (header::REFERER, "https://app.example.com/page"),
            (header::HeaderName::from_static("x-other"), "1"),
        ],
    );
    assert_eq!(minted(service.send(request).await)["sub"], "4711");
    let asked = &endpoint.asked()[0];
    assert_eq!(asked.method, "GET");
    let mut names: Vec<&str> = asked.headers.keys().map(header::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "cookie", "host", "user-agent"]);
    assert_eq!(asked.header("cookie"), "__Host-session=s%20e=c");
    assert_eq!(asked.header("accept"), "application/json");
}

#[tokio::test]
async fn a_cookie_needs_a_listed_origin_and_its_own_name() {
    let (endpoint, service) = started().await;
    let cookie = (header::COOKIE, "__Host-session=1");
    for origin in ["null", "https://evil.example", "https://app.example.com.evil.example", "http://app.example.com"] {
        let answer = service.send(exchange_request("web", &[(header::ORIGIN, origin), cookie.clone()])).await;
        assert!((400..500).contains(&answer.status), "{origin}: {}", answer.status);
    }
    let answer = service.send(exchange_request("web", std::slice::from_ref(&cookie))).await;
    let answer = answer.problem(403, "forbidden");
    assert!(answer.text("detail").starts_with("there is no Origin header"), "{}", answer.text("detail"));
    for cookies in ["session=1", "__Host-sessio=1", "__host-session=1", "__Host-session=", "x=__Host-session=1"] {
        with_cookies(&service, cookies).await.problem(401, "unauthorized");
    }
    assert!(endpoint.asked().is_empty());
}

#[tokio::test]
async fn a_bearer_credential_is_passed_on_where_it_is_accepted() {
    let (endpoint, service) = started().await;
    let mut rules = rules(&endpoint);
    rules.method = SessionEndpointMethod::POST;
    set_sign_ins(&service, &[("web", SignIn::SessionEndpoint(rules.clone()))]);
    assert_eq!(minted(exchange(&service, "opaque").await)["sub"], "4711");
    let asked = &endpoint.asked()[0];
    assert_eq!((asked.method.as_str(), asked.header("authorization")), ("POST", "Bearer opaque"));
    assert_eq!((asked.header("cookie"), asked.body.as_str()), ("", ""));
    rules.bearer = false;
    set_sign_ins(&service, &[("web", SignIn::SessionEndpoint(rules))]);
    exchange(&service, "opaque").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test]
async fn the_endpoint_says_whose_session_it_is_or_that_it_is_nobodys() {
    let (endpoint, service) = started().await;
    let json = "application/json";
    let table = [
        (200, json, r#"{"user":{"id":"u-1"}}"#, 200),
        (200, "application/problem+json", r#"{"user":{"id":"u-1"}}"#, 200),
        (200, json, "{}", 401),
        (200, json, "null", 401),
        (200, json, r#"{"user":null}"#, 401),
        (200, json, r#"{"user":{"id":null}}"#, 401),
        (200, json, r#"{"user":{"id":""}}"#, 401),
        (200, json, r#"{"user":{"id":true}}"#, 401),
        (200, json, r#"{"user":{"id":["u-1"]}}"#, 401),
        (401, json, r#"{"user":{"id":"u-1"}}"#, 401),
        (403, json, r#"{"user":{"id":"u-1"}}"#, 401),
        (404, "text/html", "<html>", 401),
        (302, "text/html", "", 401),
        (303, "text/html", "", 401),
        (307, "text/html", "", 401),
        (301, "text/html", "", 503),
        (308, "text/html", "", 503),
        (204, json, "", 503),
        (429, json, "{}", 503),
        (500, json, r#"{"user":{"id":"u-1"}}"#, 503),
        (200, "text/html", "<html>", 503),
        (200, "text/plain", r#"{"user":{"id":"u-1"}}"#, 503),
        (200, json, "[]", 503),
        (200, json, r#"{"user":{"id":"u-1"},"user":{"id":"u-2"}}"#, 503),
    ];
    for (n, (status, content_type, body, expected)) in table.into_iter().enumerate() {
        endpoint.answers(move |_| {
            let mut response = response(status, content_type, body);
            response.headers_mut().insert(header::LOCATION, "/login".parse().unwrap());
            response
        });
        let answer = with_cookies(&service, &format!("__Host-session={n}")).await;
        assert_eq!(answer.status, expected, "{status} {body}");
    }
    assert_eq!(endpoint.asked().len(), table.len(), "no redirect was followed");
}

#[tokio::test]
async fn claims_of_the_answer_can_refuse_it() {
    let (endpoint, service) = started().await;
    let mut rules = rules(&endpoint);
    rules.refused_claims = vec![ClaimRule { claim: ClaimPath("/user/guest".to_owned()), values: vec![json!(true)] }];
    set_sign_ins(&service, &[("web", SignIn::SessionEndpoint(rules))]);
    endpoint.answers_json(&json!({ "user": { "id": "u-1", "guest": true } }));
    with_cookies(&service, "__Host-session=1").await.problem(401, "unauthorized");
    endpoint.answers_json(&json!({ "user": { "id": "u-1", "guest": false } }));
    with_cookies(&service, "__Host-session=2").await.ok();
}

#[tokio::test]
async fn sessions_are_not_logged() {
    let log = Log::begin();
    let (endpoint, service) = started().await;
    with_cookies(&service, "other=canary-other; __Host-session=canary-cookie").await.ok();
    exchange(&service, "canary-bearer").await.ok();
    endpoint.answers(|_| response(500, "text/html", "canary-body"));
    with_cookies(&service, "__Host-session=canary-second").await.problem(503, "unavailable");
    let text = log.text();
    assert!(text.contains("could not be verified"), "the log is captured");
    assert_eq!(text.lines().find(|line| line.contains("canary")), None);
}
