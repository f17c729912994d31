//! SDK endpoints of the sandbox.

use std::time::Duration;

use countersign::domain::verdict::{Against, Claimed, ErrorCode, Verdict, judge};
use http::Request;
use serde_json::{Value, json};

use crate::support::{
    domain::{NOW, OURS, THEIRS},
    sandbox::{SDK_API_KEY, TestBraze, event, good, token, token_with},
};

/// Returns the error code of a rejection, or `None` if the request was accepted.
fn rejection(answer: &crate::support::Answer) -> Option<i64> {
    assert_eq!(answer.status, 200, "the web SDK reads a 2xx only");
    let body = answer.json();
    assert_eq!(body.get("error").is_some(), body.get("auth_error").is_some());
    body["auth_error"]["error_code"].as_i64()
}

async fn events(braze: &TestBraze) -> Vec<Value> {
    braze.control("GET", "events", Value::Null).await.json()["events"].as_array().unwrap().clone()
}

async fn last_request(braze: &TestBraze) -> Value {
    let requests = braze.control("GET", "requests", Value::Null).await.json();
    requests["requests"].as_array().unwrap().last().unwrap().clone()
}

#[tokio::test]
async fn a_good_token_is_accepted_and_its_events_are_kept() {
    let braze = TestBraze::holding(&OURS).await;
    let answer = braze.data(Some(&good(&OURS, "u-1")), event("u-1", "bought")).await;
    assert_eq!(rejection(&answer), None);
    let kept = events(&braze).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["user_id"], "u-1");
    assert_eq!(kept[0]["data"]["n"], "bought");
    assert_eq!(kept[0]["deliveries"], 1);
}

#[tokio::test]
async fn every_code_has_its_causes() {
    let braze = TestBraze::holding(&OURS).await;
    let exp = NOW.seconds() + 3600;
    let claims = json!({ "sub": "u-1", "exp": exp });
    let typ = |typ: &str| token_with(&OURS, &json!({ "alg": "RS256", "typ": typ }), &claims.to_string());
    let alg = |alg: Value| token_with(&OURS, &json!({ "alg": alg, "typ": "JWT" }), &claims.to_string());
    let payload = |text: &str| token_with(&OURS, &json!({ "alg": "RS256", "typ": "JWT" }), text);
    let ours = |claims: Value| token(&OURS, &claims);
    let cases: Vec<(i64, &str, Option<String>)> = vec![
        (10, "no exp", Some(ours(json!({ "sub": "u-1" })))),
        (10, "no exp but nbf", Some(ours(json!({ "sub": "u-1", "nbf": 1 })))),
        (20, "two parts", Some("a.b".to_owned())),
        (20, "not base64url", Some("?.?.?".to_owned())),
        (20, "another typ", Some(typ("at+jwt"))),
        (21, "somebody else", Some(good(&OURS, "u-2"))),
        (21, "a number", Some(ours(json!({ "sub": 1, "exp": exp })))),
        (21, "no sub", Some(ours(json!({ "exp": exp })))),
        (22, "long ago", Some(ours(json!({ "sub": "u-1", "exp": NOW.seconds() - 9999 })))),
        (22, "this second", Some(ours(json!({ "sub": "u-1", "exp": NOW.seconds() })))),
        (23, "exp in words", Some(ours(json!({ "sub": "u-1", "exp": "tomorrow" })))),
        (23, "a list", Some(payload("[]"))),
        (23, "not JSON", Some(payload("hello"))),
        (23, "another audience", Some(ours(json!({ "sub": "u-1", "exp": exp, "aud": "else" })))),
        (23, "another issuer", Some(ours(json!({ "sub": "u-1", "exp": exp, "iss": "else" })))),
        (24, "HS256", Some(alg(json!("HS256")))),
        (24, "none", Some(alg(json!("none")))),
        (26, "no token", None),
        (26, "a blank one", Some("  ".to_owned())),
        (27, "another key", Some(good(&THEIRS, "u-1"))),
        (
            27,
            "a changed payload",
            Some({
                let (one, two) = (good(&OURS, "u-1"), good(&OURS, "u-2"));
                let payload = two.split('.').nth(1).unwrap();
                one.split('.')
                    .enumerate()
                    .map(|(at, part)| if at == 1 { payload } else { part })
                    .collect::<Vec<_>>()
                    .join(".")
            }),
        ),
    ];
    for (code, what, token) in &cases {
        let answer = braze.data(token.as_deref(), event("u-1", "x")).await;
        assert_eq!(rejection(&answer), Some(*code), "{what}");
        let reason = ErrorCode::from_number(*code).unwrap().reason();
        assert_eq!(answer.json()["auth_error"]["reason"], reason, "{what}");
    }
    assert_eq!(events(&braze).await, Vec::<Value>::new());
    let app = braze.app().await;
    assert_eq!(app["rejected"], cases.len());
    assert_eq!(app["counts"]["23"], 5);
    assert_eq!(app["counts_by_day"]["2026-11-18"]["27"], 2);
}

#[tokio::test]
async fn code_25_is_for_keys_that_cannot_be_read() {
    // The sandbox refuses such keys, so the verdict is called directly.
    let user = Claimed::User("u-1".to_owned());
    for key in ["no PEM at all".to_owned(), OURS.private_pem()] {
        let keys = [key];
        let against = Against { public_keys: Some(&keys), user: None, sdk_api_key: None, now: NOW };
        let verdict = judge(Some(&good(&OURS, "u-1")), &user, &against);
        assert!(matches!(verdict, Verdict::Rejected { code: ErrorCode::PublicKeyError, .. }), "{verdict:?}");
    }
    let none = Against { public_keys: Some(&[]), user: None, sdk_api_key: None, now: NOW };
    let verdict = judge(Some(&good(&OURS, "u-1")), &user, &none);
    assert!(matches!(verdict, Verdict::Rejected { code: ErrorCode::NoMatchingPublicKeys, .. }), "{verdict:?}");
}

#[tokio::test]
async fn code_28_is_for_requests_that_are_not_of_one_user() {
    let braze = TestBraze::holding(&OURS).await;
    let mixed = [
        json!({ "events": [{ "user_id": "u-1" }, { "user_id": "u-2" }] }),
        json!({ "events": [{ "user_id": "u-1" }, {}] }),
        json!({ "events": [{}], "respond_with": { "user_id": "u-1" } }),
        json!({ "attributes": [{ "user_id": "u-1" }], "user_id": "u-2" }),
    ];
    for body in mixed {
        let answer = braze.data(Some(&good(&OURS, "u-1")), body.clone()).await;
        assert_eq!(rejection(&answer), Some(28), "{body}");
    }
}

#[tokio::test]
async fn anonymous_requests_need_no_token_and_mind_no_bad_one() {
    let braze = TestBraze::holding(&OURS).await;
    for token in [None, Some("junk")] {
        let answer = braze.data(token, json!({ "events": [{ "name": "ss" }] })).await;
        assert_eq!(rejection(&answer), None);
    }
}

#[tokio::test]
async fn optional_complains_and_accepts_and_disabled_does_not_look() {
    let braze = TestBraze::holding(&OURS).await;
    braze.enforce("optional").await;
    let answer = braze.data(None, event("u-1", "a")).await;
    assert_eq!(rejection(&answer), None);
    assert_eq!(answer.json()["optional_auth_error"], json!({ "error_code": 26, "reason": "MISSING_TOKEN" }));
    let request = last_request(&braze).await;
    assert_eq!((&request["accepted"], &request["code"]), (&json!(true), &json!(26)));
    braze.enforce("disabled").await;
    let answer = braze.data(None, event("u-1", "b")).await;
    assert_eq!(answer.json().get("optional_auth_error"), None);
    assert_eq!(events(&braze).await.len(), 2);
    assert_eq!(braze.app().await["counts"], json!({ "26": 1 }));
}

#[tokio::test]
async fn switches_stand_for_what_is_not_known_of_the_real_one() {
    let braze = TestBraze::holding(&OURS).await;
    let expired = token(&OURS, &json!({ "sub": "u-1", "exp": NOW.seconds() - 5 }));
    braze.switch(json!({ "send_reason": false, "rejection_status": 202, "retry_after_s": 7 })).await;
    let answer = braze.data(Some(&expired), event("u-1", "x")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (202, "7"));
    assert_eq!(answer.json()["auth_error"], json!({ "error_code": 22 }));
    braze.switch(json!({ "leeway_s": 10, "decoding_error_for_no_match": true, "rejection_status": 200 })).await;
    assert_eq!(rejection(&braze.data(Some(&expired), event("u-1", "x")).await), None);
    braze.switch(json!({ "expire_until": NOW.seconds() + 3600 })).await;
    assert_eq!(rejection(&braze.data(Some(&good(&OURS, "u-1")), event("u-1", "x")).await), Some(22));
    braze.switch(json!({ "expire_until": null })).await;
    let theirs = good(&THEIRS, "u-1");
    assert_eq!(rejection(&braze.data(Some(&theirs), event("u-1", "x")).await), Some(20));
    braze.switch(json!({ "outage": 503 })).await;
    let answer = braze.data(Some(&theirs), event("u-1", "x")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "7"));
    for bad in
        [json!({ "sendreason": true }), json!({ "rejection_status": 99 }), json!({ "propagation_s": -1 }), json!([])]
    {
        let answer = braze.control("PATCH", "switches", bad.clone()).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert!(!answer.text("error").is_empty());
    }
}

#[tokio::test]
async fn an_event_that_comes_twice_is_one_event_delivered_twice() {
    let braze = TestBraze::holding(&OURS).await;
    let token = good(&OURS, "u-1");
    braze.data(None, event("u-1", "a")).await;
    for name in ["a", "b", "a"] {
        braze.data(Some(&token), event("u-1", name)).await;
    }
    let deliveries: Vec<Value> = events(&braze).await.iter().map(|event| event["deliveries"].clone()).collect();
    assert_eq!(deliveries, [2, 1]);
}

#[tokio::test]
async fn another_sdk_api_key_is_refused_and_nothing_is_kept() {
    let braze = TestBraze::holding(&OURS).await;
    for (header, body) in [("other", "other"), (SDK_API_KEY, "other"), ("other", SDK_API_KEY)] {
        let request = Request::post("/api/v3/data/").header("X-Braze-Api-Key", header);
        let body = json!({ "api_key": body, "events": [{ "name": "ce" }] }).to_string();
        let answer = braze.send(request.body(body).unwrap()).await;
        assert_eq!(answer.ok().json(), json!({ "error": "invalid_api_key" }));
    }
    assert_eq!(events(&braze).await, Vec::<Value>::new());
    let request = Request::post("/api/v3/data/").body("not JSON".to_owned()).unwrap();
    assert_eq!(braze.send(request).await.status, 400);
}

#[tokio::test]
async fn sync_endpoints_are_judged_too() {
    let braze = TestBraze::holding(&OURS).await;
    let paths = [
        "content_cards/sync",
        "feature_flags/sync",
        "banners/sync",
        "template",
        "push/unregister",
        "dust/config",
        "conversational_chat/config",
        "conversational_chat/message",
    ];
    for path in paths {
        let path = format!("/api/v3/{path}");
        assert_eq!(rejection(&braze.post(&path, None, json!({ "user_id": "u-1" })).await), Some(26), "{path}");
        let token = good(&OURS, "u-1");
        assert_eq!(rejection(&braze.post(&path, Some(&token), json!({ "user_id": "u-1" })).await), None, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_any_origin_may_call_with_whatever_headers_its_sdk_has() {
    let braze = TestBraze::new();
    let request = Request::builder()
        .method("OPTIONS")
        .uri("/api/v3/data/")
        .header("Origin", "http://localhost:3000")
        .header("Access-Control-Request-Headers", "x-braze-api-key,x-braze-new-header");
    let answer = braze.send(request.body(String::new()).unwrap()).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-headers"), "x-braze-api-key,x-braze-new-header");
    assert_eq!(answer.header("access-control-expose-headers"), "Retry-After");
}

#[tokio::test]
async fn the_configuration_is_sent_to_sdks_that_have_an_older_one() {
    let braze = TestBraze::new();
    let ask = |time: i64| json!({ "respond_with": { "triggers": true, "config": { "config_time": time } } });
    let first = braze.data(None, ask(0)).await.json();
    let time = first["config"]["time"].as_i64().unwrap();
    assert_eq!(first["triggers"], json!([]));
    assert_eq!(first["config"].get("request_backoff"), None);
    assert_eq!(braze.data(None, ask(time)).await.json(), json!({ "triggers": [] }));
    braze.switch(json!({ "fast_retries": true })).await;
    let second = braze.data(None, ask(time)).await.json();
    assert_eq!(second["config"]["request_backoff"]["max_sleep_duration_ms"], 1000);
    assert_eq!(second["config"]["global_request_rate_limit"]["enabled"], false);
}

#[tokio::test]
async fn a_new_or_deleted_key_takes_its_time_to_take_effect() {
    let braze = TestBraze::holding(&OURS).await;
    braze.switch(json!({ "propagation_s": 10 })).await;
    braze.clock.forward(Duration::from_secs(10));
    let id = braze.control("POST", "apps/web/keys", json!({ "public_key": THEIRS.public_pem() })).await.ok().text("id");
    let verdict = async || rejection(&braze.data(Some(&good(&THEIRS, "u-1")), event("u-1", "x")).await);
    braze.clock.forward(Duration::from_millis(9_999));
    assert_eq!(verdict().await, Some(27));
    braze.clock.forward(Duration::from_millis(1));
    assert_eq!(verdict().await, None);
    braze.control("DELETE", &format!("apps/web/keys/{id}"), Value::Null).await.ok();
    braze.clock.forward(Duration::from_millis(9_999));
    assert_eq!(verdict().await, None);
    braze.clock.forward(Duration::from_millis(1));
    assert_eq!(verdict().await, Some(27));
}

#[tokio::test]
async fn the_journal_says_who_asked_and_can_be_forgotten() {
    let braze = TestBraze::holding(&OURS).await;
    braze.data(Some(&good(&OURS, "u-1")), event("u-1", "x")).await;
    let request = last_request(&braze).await;
    assert_eq!(request["user_ids"], json!(["u-1"]));
    assert_eq!(request["claims"]["sub"], "u-1");
    assert_eq!((&request["path"], &request["events"]), (&json!("/api/v3/data/"), &json!(1)));
    let emitted = braze.emitted.lock().unwrap().last().unwrap().clone();
    assert_eq!(emitted, json!({ "type": "request", "request": request }));
    braze.control("POST", "reset", Value::Null).await.ok();
    assert_eq!(events(&braze).await, Vec::<Value>::new());
    let after = braze.control("GET", "requests?after=0", Value::Null).await.json();
    assert_eq!(after, json!({ "requests": [] }));
    braze.data(None, event("u-1", "y")).await;
    assert_eq!(last_request(&braze).await["seq"], 2);
}

#[tokio::test]
async fn apps_can_be_added_and_do_not_clash() {
    let braze = TestBraze::new();
    let added = braze.control("POST", "apps", json!({ "name": "ios", "sdk_api_key": "k" })).await.ok();
    assert_eq!(added.json()["sdk_api_key"], "k");
    for clash in [json!({ "name": "ios" }), json!({ "name": "new", "sdk_api_key": "k" })] {
        assert_eq!(braze.control("POST", "apps", clash).await.status, 409);
    }
    assert_eq!(braze.control("PATCH", "apps/none", json!({ "enforcement": "optional" })).await.status, 404);
    assert_eq!(braze.control("PATCH", "apps/ios", json!({ "enforcement": "sometimes" })).await.status, 400);
}
