//! Token introspection (RFC 7662).

use std::{io::Write, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign::domain::{
    client_authentication::{BadClientKey, ClientAuthentication, ClientKey, ClientSecret},
    sign_in::{Audience, ClaimPath, ClaimRule, SignIn},
};
use flate2::{Compression, write::GzEncoder};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::{Log, NOW, exchange, introspected, introspection_rules, minted, set_sign_ins, user_id, with_sign_in};
use crate::support::endpoint::{Asked, TestEndpoint, response};

const CREDENTIAL: &str = "canary-opaque/+~.credential==";

#[tokio::test]
async fn the_provider_is_asked_as_the_standard_says() {
    let endpoint = TestEndpoint::start().await;
    endpoint.answers_json(&json!({ "active": true, "username": "anna", "sub": "x" }));
    let mut rules = introspection_rules(&endpoint);
    rules.client_id = "our client".to_owned();
    rules.authentication = ClientAuthentication::Basic(ClientSecret::new("s:ecr€t&+%".to_owned()));
    rules.user_id = user_id("username");
    let service = with_sign_in(SignIn::Introspection(rules)).await;
    assert_eq!(minted(exchange(&service, CREDENTIAL).await)["sub"], "anna");
    let asked = &endpoint.asked()[0];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(asked.header("accept"), "application/json");
    assert_eq!(
        (asked.field("token"), asked.field("token_type_hint")),
        (CREDENTIAL.to_owned(), "access_token".to_owned())
    );
    // RFC 6749 §2.3.1: each half form-urlencoded.
    let basic = STANDARD.encode("our+client:s%3Aecr%E2%82%ACt%26%2B%25");
    assert_eq!(asked.header("authorization"), format!("Basic {basic}"));
}

fn pem(pkcs8: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8))
}

/// A P-256 and an RSA key: as PEM, and as the provider knows it.
pub(super) fn client_keys() -> [(String, Algorithm, DecodingKey); 2] {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let rsa = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let ec_pem = pem(ec.to_pkcs8v1().unwrap().as_ref());
    let rsa_pem = pem(AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap().as_ref());
    [
        (ec_pem, Algorithm::ES256, DecodingKey::from_ec_der(ec.public_key().as_ref())),
        (rsa_pem, Algorithm::RS256, DecodingKey::from_rsa_der(rsa.public_key().as_ref())),
    ]
}

/// Claims of the client assertion of a request, verified by the provider's rules (RFC 7523 §3).
fn asserted(asked: &Asked, algorithm: Algorithm, key: &DecodingKey, audience: &str) -> Value {
    assert_eq!(asked.header("authorization"), "");
    assert_eq!(asked.field("client_id"), "countersign");
    assert_eq!(asked.field("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let mut rules = Validation::new(algorithm);
    rules.validate_exp = false; // the test's clock is not the machine's
    rules.set_audience(&[audience]);
    rules.set_issuer(&["countersign"]);
    let assertion = jsonwebtoken::decode::<Value>(asked.field("client_assertion"), key, &rules).unwrap();
    assert_eq!(assertion.header.kid.as_deref(), Some("k-1"));
    assertion.claims
}

#[tokio::test]
async fn a_private_key_authenticates_this_service() {
    for (pem, algorithm, public) in client_keys() {
        let endpoint = TestEndpoint::start().await;
        endpoint.answers_json(&json!({ "active": true, "sub": "u-1" }));
        let mut rules = introspection_rules(&endpoint);
        let mut key = ClientKey::parse(&pem).unwrap();
        key.kid = Some("k-1".to_owned());
        rules.authentication = ClientAuthentication::PrivateKeyJwt(key.clone());
        let service = with_sign_in(SignIn::Introspection(rules.clone())).await;
        for credential in ["one", "two"] {
            assert_eq!(minted(exchange(&service, credential).await)["sub"], "u-1");
        }
        let asked = endpoint.asked();
        let claims: Vec<Value> = asked.iter().map(|asked| asserted(asked, algorithm, &public, &endpoint.url)).collect();
        assert_eq!(claims[0]["sub"], "countersign");
        assert_eq!((&claims[0]["iat"], &claims[0]["exp"]), (&json!(NOW), &json!(NOW + 60)));
        assert_ne!(claims[0]["jti"], claims[1]["jti"]);

        key.audience = Some("https://idp.example".to_owned());
        rules.authentication = ClientAuthentication::PrivateKeyJwt(key);
        set_sign_ins(&service, &[("web", SignIn::Introspection(rules))]);
        exchange(&service, "three").await.ok();
        asserted(&endpoint.asked()[2], algorithm, &public, "https://idp.example");
    }
}

#[test]
fn a_key_that_cannot_authenticate_is_refused() {
    let [_, (rsa_pem, ..)] = client_keys();
    let p384 = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let rsa = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = rsa_pem.replace("PRIVATE", "PUBLIC");
    let spki = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(rsa.public_key()).unwrap().as_ref())
    );
    for refused in [pem(p384.to_pkcs8v1().unwrap().as_ref()), spki, public[..public.len() / 2].to_owned()] {
        assert_eq!(ClientKey::parse(&refused).unwrap_err(), BadClientKey, "{refused}");
    }
}

#[tokio::test]
async fn what_the_answer_must_say_is_configured() {
    let (endpoint, service) = introspected("u-1").await;
    let mut rules = introspection_rules(&endpoint);
    rules.issuer = Some("https://idp.example".to_owned());
    rules.audience = Some(Audience { claim: "client_id".to_owned(), accepted: vec!["our-app".to_owned()] });
    let rule = |claim: &str, value: &str| ClaimRule { claim: ClaimPath(claim.to_owned()), values: vec![json!(value)] };
    rules.required_claims = vec![rule("token_use", "access")];
    rules.refused_claims = vec![rule("sts", "pending")];
    set_sign_ins(&service, &[("web", SignIn::Introspection(rules))]);
    let good = json!({ "active": true, "sub": "u-1", "iss": "https://idp.example", "client_id": "our-app",
        "token_use": "access", "exp": NOW + 100 });
    endpoint.answers_json(&good);
    exchange(&service, "good").await.ok();
    let bad = [
        ("active", json!(false)),
        ("iss", json!("https://idp.example.evil")),
        ("client_id", json!("other-app")),
        ("token_use", json!("refresh")),
        ("sts", json!("pending")),
        ("exp", json!(NOW)),
        ("nbf", json!(NOW + 60)),
        ("sub", json!("our-app")),
        ("sub", json!("")),
        ("sub", json!(" u-1")),
        ("sub", json!(1.5)),
        ("sub", json!(null)),
    ];
    let mut bodies = Vec::new();
    for (n, (member, value)) in bad.into_iter().enumerate() {
        let mut answer = good.clone();
        answer[member] = value;
        endpoint.answers_json(&answer);
        let mut body = exchange(&service, &format!("bad-{n}")).await.problem(401, "unauthorized").json();
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one answer for every cause: {bodies:?}");
}

#[tokio::test]
async fn no_fault_of_the_provider_refuses_a_user() {
    let log = Log::begin();
    let (endpoint, service) = introspected("u-1").await;
    let active = r#"{"active":true,"sub":"u-1"}"#;
    let huge = format!(r#"{{"active":true,"sub":"u-1","x":"{}"}}"#, "x".repeat(300_000));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(active.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let faults: Vec<(u16, &str, Vec<u8>, &str)> = vec![
        (401, "application/json", br#"{"error":"invalid_client"}"#.to_vec(), "compare client_id"),
        (403, "application/json", b"{}".to_vec(), "compare client_id"),
        (400, "application/json", br#"{"error":"invalid_client"}"#.to_vec(), "compare client_id"),
        (500, "application/json", active.into(), "it answered 500"),
        (404, "application/json", active.into(), "it answered 404"),
        (302, "application/json", active.into(), "redirect"),
        (200, "text/html", b"<html>".to_vec(), "text/html"),
        (200, "text/plain", active.into(), "content type"),
        (200, "application/token-introspection+jwt", b"ey".to_vec(), "RFC 9701"),
        (200, "application/json", huge.into(), "longer than"),
        (200, "application/json", b"<html>".to_vec(), "another kind"),
        (200, "application/json", br#"{"active":true,"sub":"a","sub":"b"}"#.to_vec(), "another kind"),
        (200, "application/json", br#"{"active":"true","sub":"u-1"}"#.to_vec(), "no boolean member active"),
        (200, "application/json", br#"{"sub":"u-1"}"#.to_vec(), "no boolean member active"),
        (200, "application/json", gzip, "another kind"),
    ];
    for (n, (status, content_type, body, reason)) in faults.into_iter().enumerate() {
        service.clock.forward(Duration::from_secs(1));
        let before = log.count(reason);
        endpoint.answers(move |_| response(status, content_type, body.clone()));
        let credential = format!("session-{n}");
        let refused = exchange(&service, &credential).await.problem(503, "unavailable");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert_eq!(log.count(reason), before + 1, "{reason}: {}", log.text());
        // A fault is not kept.
        endpoint.answers_json(&json!({ "active": true, "sub": "u-1" }));
        exchange(&service, &credential).await.ok();
    }
}

#[tokio::test]
async fn a_fault_that_goes_on_is_logged_once_a_minute_and_its_end_once() {
    let log = Log::begin();
    let (endpoint, service) = introspected("u-1").await;
    endpoint.answers(|_| response(401, "application/json", "{}"));
    for (seconds, lines) in [(0, 1), (59, 1), (1, 2), (1, 2)] {
        service.clock.forward(Duration::from_secs(seconds));
        exchange(&service, "session").await.problem(503, "unavailable");
        assert_eq!(log.count("could not be verified"), lines);
    }
    endpoint.answers_json(&json!({ "active": false }));
    for credential in ["one", "two"] {
        exchange(&service, credential).await.problem(401, "unauthorized");
    }
    assert_eq!(log.count("can be verified again"), 1);
    // The next fault is another one, a second later; those that come and go within a second are not logged each.
    for n in 0..5 {
        endpoint.answers(|_| response(500, "application/json", "{}"));
        exchange(&service, &format!("flap-{n}")).await.problem(503, "unavailable");
        endpoint.answers_json(&json!({ "active": false }));
        exchange(&service, &format!("flap-{n}")).await.problem(401, "unauthorized");
    }
    assert_eq!((log.count("could not be verified"), log.count("can be verified again")), (3, 2));
    service.clock.forward(Duration::from_secs(1));
    endpoint.answers(|_| response(500, "application/json", "{}"));
    exchange(&service, "later").await.problem(503, "unavailable");
    assert_eq!(log.count("could not be verified"), 4);
}

#[tokio::test]
async fn an_endpoint_without_answer_is_given_up_in_time() {
    let (endpoint, service) = introspected("u-1").await;
    endpoint.close();
    let asked = tokio::time::timeout(Duration::from_mins(1), exchange(&service, "session")).await;
    asked.expect("3 s are the limit").problem(503, "unavailable");
    // It is bound, and does not listen: connections are refused, and no other test gets its port.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut rules = introspection_rules(&endpoint);
    rules.endpoint = format!("http://{}/", nobody.local_addr().unwrap());
    set_sign_ins(&service, &[("web", SignIn::Introspection(rules))]);
    exchange(&service, "session").await.problem(503, "unavailable");
}

#[tokio::test]
async fn no_secret_is_logged() {
    let log = Log::begin();
    let (endpoint, service) = introspected("canary-user").await;
    exchange(&service, CREDENTIAL).await.ok();
    exchange(&service, CREDENTIAL).await.ok();
    endpoint.answers(|_| response(401, "application/json", r#"{"error":"canary-error"}"#));
    exchange(&service, "canary-other").await.problem(503, "unavailable");
    let [(pem, ..), _] = client_keys();
    let mut rules = introspection_rules(&endpoint);
    rules.authentication = ClientAuthentication::PrivateKeyJwt(ClientKey::parse(&pem).unwrap());
    set_sign_ins(&service, &[("web", SignIn::Introspection(rules))]);
    exchange(&service, "canary-third").await.problem(503, "unavailable");
    let text = log.text();
    assert!(text.contains("could not be verified"), "the log is captured");
    let assertion = endpoint.asked().last().unwrap().field("client_assertion");
    let basic = STANDARD.encode("countersign:canary-client-secret");
    for secret in ["canary", &basic, assertion.rsplit('.').next().unwrap()] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
