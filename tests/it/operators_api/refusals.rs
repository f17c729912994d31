//! Refused credentials and faulty requests.

use countersign::domain::operator::Role;
use serde_json::json;

use super::{Api, request};

#[tokio::test]
async fn refused_credentials_have_one_answer_and_one_record() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    // Id of one token, secret of another.
    let other = api.operator("bob", Role::Operator).await;
    let other_secret = format!("{}{}", &token[..22], &other[22..]);
    let wrong = [&api.service.api_key, &other_secret, "cso1_", "cso1_0123456789abcdef_AAAA", "nonsense"];
    let size = api.audit_size().await;
    let mut details = Vec::new();
    for token in wrong {
        details.push(api.get("/keys", token).await.problem(401, "unauthorized").text("detail"));
    }
    details.push(api.send(request("GET", "/keys", None, None)).await.problem(401, "unauthorized").text("detail"));
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    assert_eq!(api.audit_size().await, size + 1, "the first of an address and minute");
    let event = &api.last_records(&token, 1).await[0]["event"];
    assert_eq!((&event["action"], &event["outcome"]), (&json!("operator_refused"), &json!("refused")), "{event}");
    assert!(event["request_id"].is_string(), "{event}");
    for token in wrong {
        assert!(!event.to_string().contains(token), "{event}");
    }
}

#[tokio::test]
async fn too_many_refused_credentials_are_refused_for_a_time_and_a_good_one_passes() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let mut refused = 0;
    while api.get("/keys", "nonsense").await.status == 401 {
        refused += 1;
        assert!(refused < 100_000, "no limit");
    }
    api.get("/keys", "nonsense").await.problem(429, "rate_limited");
    api.get("/keys", &token).await.ok();
}

#[tokio::test]
async fn faults_of_a_request_name_the_member() {
    let api = Api::new().await;
    let token = api.operator("ada", Role::Operator).await;
    let cases = [
        ("/clients", json!({ "apps": ["web"] }), "client is missing"),
        ("/clients", json!({ "client": "Shop", "apps": ["web"] }), "is not a name"),
        ("/rings/main/rotation", json!({ "act": "spin" }), "act must be"),
        ("/users/opt-out", json!({ "user": "u" }), "did you mean user_id"),
        ("/users/opt-out", json!({ "user_id": "" }), "user_id is empty"),
        ("/users/end-sessions", json!({}), "exactly one"),
        ("/users/end-sessions", json!({ "user_id": "u", "everyone": true }), "exactly one"),
        ("/keys/move", json!({ "to": "paper" }), "to must be"),
        ("/keys/0123/confirm", json!({ "added": "12" }), "added"),
    ];
    for (path, body, expected) in cases {
        let detail = api.post(path, &token, &body).await.problem(400, "client_error").text("detail");
        assert!(detail.contains(expected), "{path} {body}: {detail}");
    }
    for (path, expected) in [
        ("/failures", "span is missing"),
        ("/failures?span=x", "span must be"),
        ("/audit/records?limit=0", "limit must be"),
        ("/audit/records?limit=5&limit=6", "limit is given twice"),
        ("/keys?x=1", "x is not a member"),
        ("/braze/keys?ring=A", "ring"),
    ] {
        let detail = api.get(path, &token).await.problem(400, "client_error").text("detail");
        assert!(detail.contains(expected), "{path}: {detail}");
    }
    api.get("/rings/unheard-of/status", &token).await.problem(404, "not_found");
    api.get("/keys/unheard-of", &token).await.problem(404, "not_found");
}
