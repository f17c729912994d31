//! Sentences that people read when a request is wrong: a table of bodies, and all that the answer says about each.

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use super::support::{
    Answer,
    test_service::{TestService, raw_post},
};

const GENERATE: &str = "/v1/token/generate";
const REFRESH: &str = "/v1/token/refresh";
const REVOKE: &str = "/v1/token/revoke";
const FAILURES: &str = "/v1/failures";

const APP: &str = "must be the app's name in the configuration: a-z, 0-9, '-' and '_', at most 63, such as \"web\"";

/// Path, body, and the faults that the answer lists: member and message.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Bodies with faulty members.
const MEMBERS: &[Row] = &[
    // The commonest mistakes.
    (GENERATE, r#"{"app":"web","user_id":123}"#, &[("user_id", "must be a string: \"123\"")]),
    (
        GENERATE,
        r#"{"app":"web","user_id":12345678901234567890123}"#,
        &[("user_id", "must be a string: \"12345678901234567890123\"")],
    ),
    (
        GENERATE,
        r#"{"app":"web","userId":"u-1"}"#,
        &[
            ("userId", "is not a member of this request; did you mean user_id?"),
            ("user_id", "is missing: it must be a string, such as \"u-1\""),
        ],
    ),
    (GENERATE, r#"{"app":"web","user_id":"u-1","ttl":"3600"}"#, &[("ttl", "must be a number: 3600")]),
    // Everything at once.
    (
        GENERATE,
        r#"{"userId":123,"ttl":"3600","app":7}"#,
        &[
            ("userId", "is not a member of this request; did you mean user_id?"),
            ("ttl", "must be a number: 3600"),
            ("app", "must be a string: \"7\""),
            ("user_id", "is missing: it must be a string, such as \"u-1\""),
        ],
    ),
    (
        GENERATE,
        "{}",
        &[
            ("app", "is missing: it must be a string, such as \"web\""),
            ("user_id", "is missing: it must be a string, such as \"u-1\""),
        ],
    ),
    // Names of members.
    (
        GENERATE,
        r#"{"application":"web","user":"u","lifetime":60,"tll":60}"#,
        &[
            ("application", "is not a member of this request; did you mean app?"),
            ("user", "is not a member of this request; did you mean user_id?"),
            ("lifetime", "is not a member of this request"),
            ("tll", "is not a member of this request; did you mean ttl?"),
            ("app", "is missing: it must be a string, such as \"web\""),
            ("user_id", "is missing: it must be a string, such as \"u-1\""),
        ],
    ),
    (
        GENERATE,
        r#"{"app":"web","user_id":"u","userId":"u","user_id":"v"}"#,
        &[("userId", "is not a member of this request"), ("user_id", "is given twice")],
    ),
    // Types and values.
    (GENERATE, r#"{"app":"web","user_id":null}"#, &[("user_id", "must be a string, such as \"u-1\"")]),
    (GENERATE, r#"{"app":"web","user_id":["u-1"]}"#, &[("user_id", "must be a string, such as \"u-1\"")]),
    (GENERATE, r#"{"app":"web","user_id":true}"#, &[("user_id", "must be a string, such as \"u-1\"")]),
    (
        GENERATE,
        r#"{"app":"web","user_id":"u","ttl":"1h"}"#,
        &[("ttl", "must be a whole number, at least 60, at most 86400, such as 3600")],
    ),
    (
        GENERATE,
        r#"{"app":"web","user_id":"u","ttl":"30"}"#,
        &[("ttl", "must be a whole number, at least 60, at most 86400, such as 3600")],
    ),
    (
        GENERATE,
        r#"{"app":"web","user_id":"u","ttl":60.5}"#,
        &[("ttl", "must be a whole number, at least 60, at most 86400, such as 3600")],
    ),
    (GENERATE, r#"{"app":"web","user_id":"u","ttl":59}"#, &[("ttl", "must be at least 60 s")]),
    (
        GENERATE,
        r#"{"app":"web","user_id":"u","ttl":3601}"#,
        &[("ttl", "may only shorten the app's lifetime of 3600 s")],
    ),
    (
        GENERATE,
        r#"{"app":"web","user_id":" u","ttl":59}"#,
        &[
            ("user_id", "starts or ends with white space: remove that, here and in changeUser alike"),
            ("ttl", "must be at least 60 s"),
        ],
    ),
    (
        GENERATE,
        r#"{"app":"web","user_id":"","ttl":59.0}"#,
        &[
            ("user_id", "is empty: give the id that the app passes to changeUser"),
            ("ttl", "must be a whole number, at least 60, at most 86400, such as 3600"),
        ],
    ),
    // The routes that apps call.
    (
        REFRESH,
        r#"{"refreshToken":"csr1_x","user_id":7}"#,
        &[
            ("refreshToken", "is not a member of this request; did you mean refresh_token?"),
            ("user_id", "must be a string: \"7\""),
            ("refresh_token", "is missing: it must be a string, such as \"csr1_…\""),
        ],
    ),
    (
        REVOKE,
        r#"{"token":"csr1_x"}"#,
        &[
            ("token", "is not a member of this request; did you mean refresh_token?"),
            ("refresh_token", "is missing: it must be a string, such as \"csr1_…\""),
        ],
    ),
    (
        FAILURES,
        r#"{"refresh_token":"csr1_x","error_code":25}"#,
        &[
            ("error_code", "is not a member of this request"),
            ("failure", "is missing: it must be a JSON value, such as {\"error_code\":25}"),
        ],
    ),
];

/// Bodies that are no object of members: path, body, sentence.
const BODIES: &[(&str, &str, &str)] = &[
    (GENERATE, "", "the body is not one JSON value in UTF-8 (RFC 8259)"),
    (GENERATE, "app=web&user_id=u-1", "the body is not one JSON value in UTF-8 (RFC 8259)"),
    (GENERATE, r#"{"app":7,}"#, "the body is not one JSON value in UTF-8 (RFC 8259)"),
    (GENERATE, r#"{"app":"web","user_id":7} {}"#, "the body is not one JSON value in UTF-8 (RFC 8259)"),
    (GENERATE, r#""web""#, "the body must be a JSON object, such as {\"app\":\"web\",\"user_id\":\"u-1\"}"),
    (GENERATE, r#"["web","u-1",60]"#, "the body must be a JSON object, such as {\"app\":\"web\",\"user_id\":\"u-1\"}"),
    (REFRESH, r#"["csr1_x",null,null]"#, "the body must be a JSON object, such as {\"refresh_token\":\"csr1_…\"}"),
];

async fn ask(service: &TestService, path: &str, body: &str) -> Answer {
    let mut request = raw_post(path, body.to_owned());
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", service.api_key).parse().unwrap());
    service.send(request).await
}

#[tokio::test]
async fn every_faulty_member_is_named_with_its_right_value() {
    let service = TestService::new().await;
    for (path, body, faults) in MEMBERS {
        let problem = ask(&service, path, body).await.problem(400, "client_error").json();
        let errors: Vec<Value> =
            faults.iter().map(|(field, message)| json!({ "field": field, "message": message })).collect();
        assert_eq!(problem["errors"], Value::Array(errors), "{body}");
        let detail: Vec<String> = faults.iter().map(|(field, message)| format!("{field} {message}")).collect();
        assert_eq!(problem["detail"], detail.join("; "), "{body}");
        assert_eq!(problem["retry"], "never");
    }
}

#[tokio::test]
async fn the_name_of_an_app_is_spelled_out() {
    let service = TestService::new().await;
    for (app, meant) in [("Web", "web"), (" ios", "ios"), ("My App", "my-app")] {
        let body = json!({ "app": app, "user_id": "u-1", "ttl": "60" }).to_string();
        let problem = ask(&service, GENERATE, &body).await.problem(400, "client_error").json();
        let faults = json!([
            { "field": "app", "message": format!("{APP}; did you mean \"{meant}\"?") },
            { "field": "ttl", "message": "must be a number: 60" },
        ]);
        assert_eq!(problem["errors"], faults);
    }
    let problem = ask(&service, GENERATE, r#"{"app":"Wéb","user_id":"u"}"#).await.json();
    assert_eq!(problem["errors"], json!([{ "field": "app", "message": APP }]));
}

#[tokio::test]
async fn a_body_that_is_no_object_gets_an_example() {
    let service = TestService::new().await;
    for (path, body, sentence) in BODIES {
        let problem = ask(&service, path, body).await.problem(400, "client_error").json();
        assert_eq!((&problem["detail"], problem.get("errors")), (&json!(sentence), None), "{body}");
    }
}

/// Ten thousand members make no answer of ten thousand faults, and no long name comes back whole.
#[tokio::test]
async fn an_answer_to_a_body_full_of_faults_is_short() {
    let service = TestService::new().await;
    let many = |name: &dyn Fn(usize) -> String| {
        let members: Vec<String> = (0..1000).map(|at| format!("\"{}\":1", name(at))).collect();
        format!("{{{}}}", members.join(","))
    };
    let long = "x".repeat(10_000);
    for body in
        [many(&|at| at.to_string()), many(&|_| "same".to_owned()), format!("{{\"{long}\":{}}}", "1".repeat(5000))]
    {
        let answer = ask(&service, GENERATE, &body).await.problem(400, "client_error");
        assert!(answer.body.len() < 4096, "{}", answer.body.len());
        let problem = answer.json();
        let fields: Vec<&str> =
            problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert!(fields.len() <= 18 && fields.ends_with(&["app", "user_id"]), "missing members are named: {fields:?}");
    }
}

/// No name of a type, and no words of a parser or of a regular expression.
#[tokio::test]
async fn no_sentence_is_a_programs() {
    let service = TestService::new().await;
    for (path, body) in MEMBERS.iter().map(|row| (row.0, row.1)).chain(BODIES.iter().map(|row| (row.0, row.1))) {
        let detail = ask(&service, path, body).await.text("detail");
        for word in ["expected", "invalid type", "line 1", "column", "u64", "AppName", "struct", "^[a-z"] {
            assert!(!detail.contains(word), "{word}: {detail}");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_is_told_from_the_page_that_lists_them() {
    let service = TestService::new().await;
    let nowhere = service.send(Request::get("/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!(nowhere.text("detail"), "there is nothing at this path; /docs shows what there is");
}
