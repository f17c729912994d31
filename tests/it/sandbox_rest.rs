//! REST API of the sandbox, and the command `countersign sandbox`.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};

use crate::support::{
    Answer,
    domain::{NOW, OURS, THEIRS},
    sandbox::{APP_ID, TestBraze},
    service::{countersign, run},
};

fn new_key(pem: &str) -> Value {
    json!({ "app_id": APP_ID, "rsa_public_key_str": pem, "description": "countersign abc" })
}

fn of(id: &str) -> Value {
    json!({ "app_id": APP_ID, "key_id": id })
}

async fn create(braze: &TestBraze) -> Answer {
    braze.rest("POST", "create", new_key(&OURS.public_pem())).await
}

async fn list(braze: &TestBraze) -> Answer {
    braze.rest("GET", &format!("keys?app_id={APP_ID}"), Value::Null).await
}

async fn fault(braze: &TestBraze, fault: Value) {
    braze.control("POST", "faults", fault).await.ok();
}

#[tokio::test]
async fn a_key_is_created_listed_promoted_and_deleted() {
    let braze = TestBraze::new();
    let answer = create(&braze).await;
    assert_eq!(answer.status, 201);
    let first = answer.text("id");
    let second = braze.rest("POST", "create", new_key(&THEIRS.public_pem())).await.text("id");
    assert_ne!(first, second);
    let keys = list(&braze).await.ok().json();
    let row = json!({ "id": first, "rsa_public_key": OURS.public_pem(), "description": "countersign abc", "is_primary": true });
    assert_eq!(keys["keys"][0], row);
    assert_eq!(keys["keys"][1]["is_primary"], false);
    assert_eq!(braze.rest("DELETE", "delete", of(&first)).await.status, 400, "it is the primary key");
    let keys = braze.rest("PUT", "primary", of(&second)).await.ok().json();
    assert_eq!((&keys["keys"][0]["is_primary"], &keys["keys"][1]["is_primary"]), (&json!(false), &json!(true)));
    let keys = braze.rest("DELETE", "delete", of(&first)).await.ok().json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(braze.rest("DELETE", "delete", of(&first)).await.status, 404);
}

#[tokio::test]
async fn a_list_that_lags_shows_what_was() {
    let braze = TestBraze::new();
    let first = create(&braze).await.text("id");
    braze.clock.forward(Duration::from_mins(1));
    braze.control("PATCH", "switches", json!({ "list_lag_s": 14 })).await.ok();
    let second = braze.rest("POST", "create", new_key(&THEIRS.public_pem())).await.text("id");
    let ids = async || {
        let keys = list(&braze).await.ok().json()["keys"].clone();
        let id = |key: &Value| (key["id"].as_str().unwrap().to_owned(), key["is_primary"] == true);
        keys.as_array().unwrap().iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [(first.clone(), true)]);
    braze.clock.forward(Duration::from_secs(13));
    assert_eq!(ids().await, [(first.clone(), true)]);
    braze.clock.forward(Duration::from_secs(1));
    assert_eq!(ids().await, [(first.clone(), true), (second.clone(), false)]);

    let promoted = braze.rest("PUT", "primary", of(&second)).await.ok().json();
    assert_eq!(promoted["keys"][1]["is_primary"], true, "a change answers with its own effect");
    braze.rest("DELETE", "delete", of(&first)).await.ok();
    assert_eq!(ids().await, [(first.clone(), true), (second.clone(), false)]);
    braze.clock.forward(Duration::from_secs(14));
    assert_eq!(ids().await, [(second, true)]);
    assert_eq!(braze.control("PATCH", "switches", json!({ "list_lag_s": -1 })).await.status, 400);
}

#[tokio::test]
async fn three_keys_are_the_most() {
    let braze = TestBraze::new();
    for _ in 0..3 {
        assert_eq!(create(&braze).await.status, 201);
    }
    let answer = create(&braze).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text("message").contains("at most 3"));
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said() {
    let braze = TestBraze::new();
    let with = |name: &str, value: Value| {
        let mut body = new_key(&OURS.public_pem());
        body[name] = value;
        body
    };
    let private = with("rsa_public_key_str", OURS.private_pem().into());
    for bad in [with("description", "".into()), with("app_id", "other".into()), with("make_primary", 7.into()), private]
    {
        let answer = braze.rest("POST", "create", bad.clone()).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.text("message").is_empty());
        assert!(!String::from_utf8_lossy(&answer.body).contains("PRIVATE KEY"), "never echoed");
    }
    assert_eq!(braze.rest("GET", "keys", Value::Null).await.status, 400);
}

#[tokio::test]
async fn a_key_does_what_it_is_permitted_to() {
    let braze = TestBraze::new();
    assert_eq!(braze.rest_as("other", "GET", &format!("keys?app_id={APP_ID}"), Value::Null).await.status, 401);
    let permissions = json!({ "permissions": ["sdk_authentication.keys"] });
    let reader = braze.control("POST", "rest-keys", permissions).await.ok().text("rest_api_key");
    braze.rest_as(&reader, "GET", &format!("keys?app_id={APP_ID}"), Value::Null).await.ok();
    let answer = braze.rest_as(&reader, "POST", "create", new_key(&OURS.public_pem())).await;
    assert_eq!(answer.status, 401);
    assert!(answer.text("message").contains("sdk_authentication.create"));
    let unknown = braze.control("POST", "rest-keys", json!({ "permissions": ["everything"] })).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn limits_are_in_every_answers_headers() {
    let braze = TestBraze::new();
    let answer = list(&braze).await;
    assert_eq!(answer.header("x-ratelimit-limit"), "250000");
    assert_eq!(answer.header("x-ratelimit-reset"), ((NOW.seconds() / 3600 + 1) * 3600).to_string());
    fault(&braze, json!({ "on": "keys", "kind": "rate_limited", "delay_ms": 2000 })).await;
    let answer = list(&braze).await;
    assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (429, "0"));
    let reset: i64 = answer.header("x-ratelimit-reset").parse().unwrap();
    assert!((2..=3).contains(&(reset - NOW.seconds())), "{reset}");
    list(&braze).await.ok();
}

#[tokio::test]
async fn faults_strike_before_or_after_the_effect() {
    for (kind, status, effect) in [
        ("error_before_effect", 500, 0),
        ("error_after_effect", 500, 1),
        ("unauthorized", 401, 0),
        ("not_found", 404, 0),
        ("slow", 201, 1),
    ] {
        let braze = TestBraze::new();
        fault(&braze, json!({ "on": "create", "kind": kind })).await;
        assert_eq!(create(&braze).await.status, status, "{kind}");
        assert_eq!(list(&braze).await.json()["keys"].as_array().unwrap().len(), effect, "{kind}");
        assert_eq!(create(&braze).await.status, 201, "a fault strikes once");
    }
    let unknown = TestBraze::new().control("POST", "faults", json!({ "on": "create", "kind": "flood" })).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn public_keys_may_come_back_with_other_line_breaks() {
    let braze = TestBraze::new();
    create(&braze).await;
    braze.switch(json!({ "reformat_pem": true, "first_key_is_primary": false })).await;
    let pem = list(&braze).await.json()["keys"][0]["rsa_public_key"].as_str().unwrap().to_owned();
    assert_ne!(pem, OURS.public_pem());
    assert_eq!(pem.replace('\r', ""), OURS.public_pem().trim());
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let request = Request::get("/").body(String::new()).unwrap();
    let page = String::from_utf8(TestBraze::new().send(request).await.ok().body).unwrap();
    assert!(page.contains("Countersign sandbox"));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
}

/// The sandbox as a process; killed when dropped.
pub(crate) struct Process(pub(crate) std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn as_a_process_it_says_where_it_is_and_what_happens_and_can_hang_up() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("public.pem");
    std::fs::write(&pem, OURS.public_pem()).unwrap();
    let key = format!("shop={}", pem.display());
    let arguments = ["sandbox", "--json", "--listen", "127.0.0.1:0", "--app", "shop=sdk-key", "--public-key", &key];
    let child = countersign().args(arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut process = Process(child);
    let mut lines = std::io::BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let ready = next();
    assert_eq!((&ready["type"], &ready["apps"][0]["sdk_api_key"]), (&json!("ready"), &json!("sdk-key")));
    let url = ready["url"].as_str().unwrap().to_owned();
    assert_eq!(ready["issuer"], format!("{url}/oidc"));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let state: Value = client.get(format!("{url}/sandbox/v1/state")).send().await.unwrap().json().await.unwrap();
    assert_eq!(state["apps"][0]["keys"][0]["is_primary"], true);
    assert_eq!(state["apps"][0]["enforcement"], "required");
    let fault = json!({ "on": "keys", "kind": "timeout_after_effect" });
    client.post(format!("{url}/sandbox/v1/faults")).json(&fault).send().await.unwrap();
    let keys = format!("{url}/app_group/sdk_authentication/keys?app_id=x");
    assert!(client.get(&keys).send().await.is_err(), "it hung up");
    assert_eq!(next(), json!({ "type": "rest", "call": "keys", "fault": "timeout_after_effect", "status": null }));
    let drop_all = json!({ "outage": "drop" });
    client.patch(format!("{url}/sandbox/v1/switches")).json(&drop_all).send().await.unwrap();
    assert!(client.post(format!("{url}/api/v3/data/")).json(&json!({})).send().await.is_err());
}

#[test]
fn it_listens_on_loopback_only_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["--listen", "0.0.0.0:0"][..], "loopback only"),
        (&["--listen", "127.0.0.1:0", "--app", "a", "--app", "a"], "another app has this name"),
        (&["--listen", "127.0.0.1:0", "--public-key", "web=missing.pem"], "missing.pem"),
        (&["--listen", "127.0.0.1:0", "--app", "a="], "neither of them empty"),
        (&["--enforcement", "sometimes"], "none of disabled, optional, required"),
    ] {
        let (code, _, err) = run(&[&["sandbox"], arguments].concat(), folder.path());
        assert!(code == 1 || code == 2, "{err}");
        assert!(err.contains(words), "{err}");
    }
}
