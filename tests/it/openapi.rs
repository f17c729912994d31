//! The OpenAPI document: each thing is described once, and the headers that it promises are sent.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::support::test_service::{CONFIG, TestService};

async fn document(service: &TestService) -> Value {
    service.send(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.ok().json()
}

/// Every response of every operation, as (path, status, response).
fn responses(document: &Value) -> Vec<(&str, &str, &Value)> {
    let operations = document["paths"].as_object().unwrap().iter();
    let operations = operations.flat_map(|(path, item)| item.as_object().unwrap().values().map(move |it| (path, it)));
    let responses = operations.flat_map(|(path, operation)| {
        let responses = operation["responses"].as_object().unwrap().iter();
        responses.map(move |(status, response)| (path.as_str(), status.as_str(), response))
    });
    responses.collect()
}

#[tokio::test]
async fn every_refusal_refers_to_one_response_and_all_to_one_problem() {
    let document = document(&TestService::new().await).await;
    let mut referred = BTreeSet::new();
    for (path, status, response) in responses(&document) {
        if status >= "400" && path.starts_with("/v1/") {
            let name = response["$ref"].as_str().and_then(|it| it.strip_prefix("#/components/responses/"));
            referred.insert(name.unwrap_or_else(|| panic!("{path} {status}: {response}")).to_owned());
        }
    }
    let components = document["components"]["responses"].as_object().unwrap();
    assert_eq!(components.keys().cloned().collect::<BTreeSet<_>>(), referred);
    for response in components.values() {
        let problem = &response["content"]["application/problem+json"]["schema"];
        assert_eq!(problem, &json!({ "$ref": "#/components/schemas/Problem" }));
        for header in response["headers"].as_object().unwrap().values() {
            let name = header["$ref"].as_str().unwrap().strip_prefix("#/components/headers/").unwrap();
            assert!(document["components"]["headers"][name]["schema"].is_object(), "{name}");
        }
    }
    assert_eq!(document.to_string().matches("RFC 9457 §3.1").count(), 1, "the schema is there once");
    assert_eq!(document["servers"][0]["url"], "/");
}

/// The page fills the body of "Try it out" from the example, and people send it as it is.
#[tokio::test]
async fn the_examples_work_as_they_are() {
    let service = TestService::new().await;
    let document = document(&service).await;
    let example = |name: &str| document["components"]["schemas"][name]["example"].clone();
    assert_eq!(example("GenerateRequest"), json!({ "app": "web", "user_id": "u-1" }), "an hour, not a minute");
    service.generate(&example("GenerateRequest")).await.ok();
    let token = json!({ "refresh_token": "csr1_…" });
    assert_eq!((example("RefreshRequest"), example("RevokeRequest")), (token.clone(), token), "no user_id to mismatch");
    for (path, name) in [
        ("/v1/token/refresh", "RefreshRequest"),
        ("/v1/token/revoke", "RevokeRequest"),
        ("/v1/failures", "FailureRequest"),
    ] {
        let answer = service.post(path, &example(name)).await;
        assert_ne!(answer.status, 400, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

/// Examples of answers are answers: of the same members, and of the same text where it does not change.
#[tokio::test]
async fn the_examples_of_answers_are_as_answers_are() {
    let service = TestService::new().await;
    let document = document(&service).await;
    let example = |name: &str| document["components"]["schemas"][name]["example"].clone();
    let members = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(members(&example("TokenAnswer")), members(&service.login("u-1").await.json()));
    let mut problem =
        service.generate(&json!({ "app": "web", "user_id": 123 })).await.problem(400, "client_error").json();
    problem["request_id"] = example("Problem")["request_id"].clone();
    assert_eq!(problem, example("Problem"));
}

#[tokio::test]
async fn the_promised_headers_are_sent() {
    let strict = "[limits]\nper_client = { per_second = 1, burst = 1 }\n";
    let config = CONFIG.replace("[limits]\nenabled = false\n", strict);
    let service = TestService::with(&config).await;
    let document = document(&service).await;
    let promised = |name: &str| -> Vec<String> {
        document["components"]["responses"][name]["headers"].as_object().unwrap().keys().cloned().collect()
    };
    let body = json!({ "app": "web", "user_id": "u-1" });
    let limited = loop {
        let answer = service.generate(&json!({})).await;
        if answer.status != 400 {
            break answer;
        }
    };
    for (name, status, answer) in [
        ("TooManyRequests", 429, limited),
        ("Unauthorized", 401, service.post("/v1/token/generate", &body).await),
        ("Malformed", 400, service.post("/v1/token/refresh", &json!({})).await),
        ("WrongMediaType", 415, service.send(Request::post("/v1/token/refresh").body(Body::empty()).unwrap()).await),
    ] {
        assert_eq!(answer.status, status);
        for header in promised(name) {
            assert!(!answer.header(&header).is_empty(), "{name}: {header}");
        }
    }
    assert_eq!(promised("TooManyRequests"), ["RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"]);
}

#[tokio::test]
async fn the_spread_of_the_time_to_refresh_is_said() {
    let document = document(&TestService::new().await).await;
    let members = &document["components"]["schemas"]["TokenAnswer"]["properties"];
    for member in ["refresh_in", "refresh_from"] {
        let text = members[member]["description"].as_str().unwrap().replace('\n', " ");
        assert!(text.contains("at random between half and three quarters of"), "{text}");
    }
}
