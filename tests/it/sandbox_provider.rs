//! The sandbox's local OpenID provider.

use std::{io::BufRead as _, time::Duration};

use http::Request;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};

use crate::{
    sandbox_rest::Process,
    support::{Answer, domain::NOW, sandbox::TestBraze, service::countersign},
};

const ISSUER: &str = "http://127.0.0.1:8088/oidc";

/// Verifies a token with the provider's key set, by an independent judge, and returns its claims.
fn verified(token: &str, keys: &Value) -> Value {
    let keys: JwkSet = serde_json::from_value(keys.clone()).unwrap();
    let header = decode_header(token).unwrap();
    let key = keys.find(&header.kid.unwrap()).expect("the key is in the set");
    let mut validation = Validation::new(header.alg);
    (validation.validate_exp, validation.validate_aud) = (false, false);
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

async fn call(braze: &TestBraze, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(method).uri(format!("/oidc{path}")).header("Host", "127.0.0.1:8088");
    braze.send(request.body(body).unwrap()).await
}

async fn get(braze: &TestBraze, path: &str) -> Value {
    call(braze, "GET", path, Value::Null).await.ok().json()
}

async fn post(braze: &TestBraze, path: &str, body: Value) -> Value {
    call(braze, "POST", path, body).await.ok().json()
}

#[tokio::test]
async fn discovery_leads_to_the_keys_that_sign() {
    let braze = TestBraze::new();
    let discovery = get(&braze, "/.well-known/openid-configuration").await;
    assert_eq!(discovery["issuer"], ISSUER);
    assert_eq!(discovery["jwks_uri"], format!("{ISSUER}/jwks"));
    let keys = get(&braze, "/jwks").await;
    assert!(keys["keys"][0].get("d").is_none(), "only the public half: {keys}");
    let login = json!({ "sub": "u-1", "sid": "s-1", "claims": { "nonce": "n" }, "lifetime_s": 60 });
    let token = post(&braze, "/id-token", login).await["id_token"].as_str().unwrap().to_owned();
    let now = NOW.seconds();
    let expected = json!({
        "iss": ISSUER, "sub": "u-1", "aud": "web", "sid": "s-1", "nonce": "n",
        "iat": now, "auth_time": now, "exp": now + 60,
    });
    assert_eq!(verified(&token, &keys), expected);
}

#[tokio::test]
async fn a_query_is_answered_with_the_bare_token() {
    let braze = TestBraze::new();
    let answer = call(&braze, "GET", "/id-token?sub=u-1&aud=app", Value::Null).await.ok();
    let claims = verified(std::str::from_utf8(&answer.body).unwrap(), &get(&braze, "/jwks").await);
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("u-1"), &json!("app")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(call(&braze, "GET", "/id-token", Value::Null).await.status, 400);
    assert_eq!(call(&braze, "POST", "/id-token", json!({ "sub": "u", "exp": 1 })).await.status, 400);
}

#[tokio::test]
async fn a_logout_token_has_the_claims_of_its_specification() {
    let braze = TestBraze::new();
    let token =
        post(&braze, "/logout", json!({ "sub": "u-1", "sid": "s" })).await["logout_token"].as_str().unwrap().to_owned();
    assert_eq!(decode_header(&token).unwrap().typ.as_deref(), Some("logout+jwt"));
    let claims = verified(&token, &get(&braze, "/jwks").await);
    assert_eq!((&claims["sub"], &claims["sid"], &claims["iss"]), (&json!("u-1"), &json!("s"), &json!(ISSUER)));
    assert_eq!(claims["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
    assert!(claims["jti"].is_string() && claims.get("nonce").is_none());
}

#[tokio::test]
async fn a_new_key_signs_and_the_old_one_goes_or_stays() {
    let braze = TestBraze::new();
    let old = get(&braze, "/jwks").await["keys"][0].clone();
    let both = post(&braze, "/rotate", json!({ "keep": true })).await;
    assert_eq!((both["keys"].as_array().unwrap().len(), &both["keys"][0]), (2, &old));
    braze.clock.forward(Duration::from_secs(1));
    let one = post(&braze, "/rotate", Value::Null).await;
    assert_eq!(one["keys"].as_array().unwrap().len(), 1);
    let token = post(&braze, "/id-token", json!({ "sub": "u" })).await;
    verified(token["id_token"].as_str().unwrap(), &one);
}

#[tokio::test]
async fn a_request_without_a_user_is_told_what_to_give() {
    let braze = TestBraze::new();
    for (path, body, sentence) in [
        ("/logout", json!({}), "whose logout? Give sub, the user, or sid, the session, or both"),
        ("/logout", json!({ "to": "http://127.0.0.1:1/" }), "whose logout? Give sub"),
        ("/logout", Value::Null, "the request has no body: send JSON, like {\"sub\": \"u-1\"}"),
        ("/id-token", Value::Null, "the request has no body: send JSON"),
    ] {
        let answer = call(&braze, "POST", path, body.clone()).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && error.starts_with(sentence), "{path} {body}: {} {error}", answer.status);
    }
}

/// What the command prints at its start is a configuration that the provider's ID tokens suit.
#[test]
fn the_command_prints_a_sign_in_for_its_provider() {
    let child = countersign()
        .args(["sandbox", "--listen", "127.0.0.1:0", "--app", "shop"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let lines = std::io::BufReader::new(process.0.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.starts_with("Stop:")).collect();
    let section = |line: &&String| line.starts_with("  [[") || line.contains(" = \"");
    let config = lines.iter().filter(section).map(|line| line.trim()).collect::<Vec<_>>().join("\n");
    let errors = countersign::config::check_text(&format!("[apps.shop]\n{config}"));
    assert!(errors.is_empty() && config.contains("audience = \"shop\""), "{errors}\n{config}");
    let issuer = config.split("issuer = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(
        lines.iter().any(|line| line.contains(&format!("curl -s '{issuer}/id-token?sub=u-1&aud=shop'"))),
        "{lines:?}"
    );
}
