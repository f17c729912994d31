//! Push tokens of the sandbox: registered by attributes, unregistered at logout.

use serde_json::{Value, json};

use crate::support::{
    Answer,
    domain::{NOW, OURS},
    sandbox::{TestBraze, good, token},
};

const PUSH: &str = "https://push.test/send/1";
const UNREGISTER: &str = "/api/v3/push/unregister";

/// Registers a push token as the Web SDK does: as attributes of its user, from a browser.
async fn register(braze: &TestBraze, user: &str, device: &str, push: &str) {
    let attributes = json!([{ "user_id": user, "push_token": push, "custom_push_public_key": "p" }]);
    let body = json!({ "device_id": device, "attributes": attributes, "respond_with": { "user_id": user } });
    braze.data(Some(&good(&OURS, user)), body).await.ok();
}

/// Unregisters a push token as the Web SDK's `logout` does.
async fn unregister(braze: &TestBraze, user: &str, token: Option<&str>) -> Answer {
    braze.post(UNREGISTER, token, json!({ "user_id": user, "device_id": "d-1", "push_token": PUSH })).await
}

/// Returns the push tokens on record, each with its user.
async fn on_record(braze: &TestBraze) -> Vec<(String, Value)> {
    let listed = braze.control("GET", "push-tokens", Value::Null).await.ok().json();
    let tokens = listed["push_tokens"].as_array().unwrap().iter();
    tokens.map(|push| (push["token"].as_str().unwrap().to_owned(), push["user_id"].clone())).collect()
}

async fn last_request(braze: &TestBraze) -> Value {
    let requests = braze.control("GET", "requests", Value::Null).await.json();
    requests["requests"].as_array().unwrap().last().unwrap().clone()
}

#[tokio::test]
async fn only_a_valid_token_unregisters_a_push_token() {
    let braze = TestBraze::holding(&OURS).await;
    register(&braze, "u-1", "d-1", PUSH).await;
    let expired = token(&OURS, &json!({ "sub": "u-1", "exp": NOW.seconds() - 1 }));
    let somebody_elses = good(&OURS, "u-2");
    for (jwt, code) in [(Some(expired.as_str()), 22), (None, 26), (Some(somebody_elses.as_str()), 21)] {
        let answer = unregister(&braze, "u-1", jwt).await;
        assert_eq!(answer.json()["auth_error"]["error_code"], code);
        let request = last_request(&braze).await;
        assert_eq!((&request["path"], &request["user_ids"]), (&json!(UNREGISTER), &json!(["u-1"])));
        assert_eq!(request["push"], json!({ "token": PUSH, "user_id": "u-1" }));
        assert_eq!((&request["accepted"], &request["code"]), (&json!(false), &json!(code)));
        assert_eq!(on_record(&braze).await, [(PUSH.to_owned(), json!("u-1"))], "{code}: it still is on record");
    }
    let answer = unregister(&braze, "u-1", Some(&good(&OURS, "u-1"))).await;
    assert_eq!(answer.json(), json!({}));
    let request = last_request(&braze).await;
    assert_eq!((&request["accepted"], &request["code"]), (&json!(true), &Value::Null));
    assert_eq!((&request["claims"]["sub"], &request["push"]["user_id"]), (&json!("u-1"), &json!("u-1")));
    assert!(on_record(&braze).await.is_empty());
    unregister(&braze, "u-1", Some(&good(&OURS, "u-1"))).await.ok();
    assert_eq!(last_request(&braze).await["push"], json!({ "token": PUSH, "user_id": null }), "it is nobody's now");
}

#[tokio::test]
async fn a_push_token_has_one_user_and_a_browser_one_push_token() {
    let braze = TestBraze::holding(&OURS).await;
    register(&braze, "u-1", "d-1", PUSH).await;
    register(&braze, "u-2", "d-1", PUSH).await;
    assert_eq!(on_record(&braze).await, [(PUSH.to_owned(), json!("u-2"))]);
    let (renewed, other) = ("https://push.test/send/2", "https://push.test/send/3");
    register(&braze, "u-2", "d-1", renewed).await;
    register(&braze, "u-2", "d-2", other).await;
    assert_eq!(on_record(&braze).await, [renewed, other].map(|push| (push.to_owned(), json!("u-2"))));
    let body = json!({ "device_id": "d-1", "attributes": [{ "user_id": "u-2", "push_token": null }] });
    braze.data(Some(&good(&OURS, "u-2")), body).await.ok();
    assert_eq!(
        on_record(&braze).await,
        [(other.to_owned(), json!("u-2"))],
        "attributes withdraw that of their browser"
    );
    braze.control("POST", "reset", Value::Null).await.ok();
    assert!(on_record(&braze).await.is_empty());
}

#[tokio::test]
async fn a_rejected_registration_changes_nothing() {
    let braze = TestBraze::holding(&OURS).await;
    register(&braze, "u-1", "d-1", PUSH).await;
    let attributes = json!([{ "user_id": "u-2", "push_token": PUSH }]);
    let answer = braze.data(Some(&good(&OURS, "u-1")), json!({ "device_id": "d-1", "attributes": attributes })).await;
    assert_eq!(answer.json()["auth_error"]["error_code"], 21);
    assert_eq!(on_record(&braze).await, [(PUSH.to_owned(), json!("u-1"))]);
    assert_eq!(last_request(&braze).await["push"], Value::Null, "only /push/unregister has it");
}
