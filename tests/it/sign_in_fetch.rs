//! Key sets of providers that lie, fail or are slow: what is fetched, what is refused, and what the report says.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    domain::sign_in::{JwsAlgorithm, KeySource},
    identity::KeySetReport,
};
use serde_json::{Value, json};

use crate::support::switched_provider::{Answer, SwitchedProvider};

fn rsa(bytes: usize) -> Value {
    json!({ "kty": "RSA", "kid": "rsa", "n": URL_SAFE_NO_PAD.encode(vec![0xff; bytes]), "e": "AQAB" })
}

#[tokio::test]
async fn usable_keys_are_reported_with_their_kind() {
    let provider = SwitchedProvider::start().await;
    let broken = json!({ "kty": "RSA", "kid": "broken", "e": "AQAB" });
    provider.answer(Answer::KeysAfter(vec![broken, rsa(256)]));
    let report = KeySetReport::fetch(&provider.rules()).await.unwrap();
    assert_eq!(report.url, format!("{}/jwks.json", provider.issuer));
    let kinds: Vec<_> = report.usable.iter().map(|key| (key.kid.as_deref(), key.kind.as_str())).collect();
    assert_eq!(kinds, [(Some("rsa"), "RSA 2048 bits"), (Some("key-0"), "EC P-256")]);
    assert_eq!(report.usable_with(&[JwsAlgorithm::ES256]), 1);
    assert_eq!(report.usable_with(&[JwsAlgorithm::RS256, JwsAlgorithm::ES256]), 2);
    assert_eq!(report.usable_with(&[JwsAlgorithm::EdDSA]), 0);
    let [unusable] = &report.unusable[..] else { panic!("{:?}", report.unusable) };
    assert_eq!(unusable.kid.as_deref(), Some("broken"));
    assert!(unusable.why.contains("one of its members is missing"), "{}", unusable.why);
}

#[tokio::test]
async fn an_answer_beyond_the_limits_is_no_key_set() {
    let canary = SwitchedProvider::start().await;
    let provider = SwitchedProvider::start().await;
    let table = [
        (Answer::KeysAfter(vec![rsa(256); 100]), "101 keys"),
        (Answer::KeysAfter(vec![json!({ "kty": "RSA" }); 10_000]), "10001 keys"),
        (Answer::KeysAfter(vec![rsa(256); 10_000]), "longer than 262144 bytes"),
        (Answer::KeysAfter(vec![json!(" ".repeat(300_000))]), "longer than 262144 bytes"),
        (Answer::Redirect(format!("{}/jwks.json", canary.issuer)), "302"),
        (Answer::Redirect("https://127.0.0.1/".to_owned()), "redirects are not followed"),
        (Answer::Status(500), "500"),
        (Answer::Status(204), "204"),
        (Answer::Body("text/html", "<html>".to_owned()), "text/html"),
        (Answer::Body("application/json", "<html>".to_owned()), "no such JSON"),
        (Answer::Body("application/json", "[]".to_owned()), "no such JSON"),
        (Answer::Body("application/json", json!({ "keys": [rsa(2048)] }).to_string()), "16384 bits"),
        (Answer::Body("application/json", json!({ "keys": [rsa(128)] }).to_string()), "1024 bits"),
        (Answer::GzipBomb { named: true }, "compressed"),
        (Answer::GzipBomb { named: false }, "no such JSON"),
    ];
    for (answer, expected) in table {
        provider.answer(answer.clone());
        let why = KeySetReport::fetch(&provider.rules()).await.unwrap_err().to_string();
        assert!(why.contains(expected), "{expected}: {why}");
        assert!(why.contains(&provider.issuer), "{why}");
    }
    assert_eq!((canary.discovery_hits(), canary.key_hits()), (0, 0));
}

#[tokio::test]
async fn a_slow_provider_has_three_seconds() {
    let provider = SwitchedProvider::start().await;
    for answer in [Answer::SlowDrip, Answer::Hang] {
        provider.answer(answer);
        let begun = std::time::Instant::now();
        let why = KeySetReport::fetch(&provider.rules()).await.unwrap_err().to_string();
        assert!(why.contains("3 s"), "{why}");
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn only_the_configured_issuer_names_a_key_set() {
    let canary = SwitchedProvider::start().await;
    let provider = SwitchedProvider::start().await;
    let jwks = format!("{}/jwks.json", canary.issuer);
    let table = [
        (format!("{}/", provider.issuer), jwks.clone(), "its issuer is"),
        (canary.issuer.clone(), jwks.clone(), "its issuer is"),
        (provider.issuer.to_uppercase(), jwks, "its issuer is"),
        (provider.issuer.clone(), "http://keys.example/jwks".to_owned(), "https://"),
        (provider.issuer.clone(), "https://169.254.169.254/latest".to_owned(), "must not be dialled"),
        (provider.issuer.clone(), "https://10.0.0.1/".to_owned(), "must not be dialled"),
        (provider.issuer.clone(), "file:///etc/passwd".to_owned(), "must not be requested"),
        (provider.issuer.clone(), "jwks.json".to_owned(), "no URL"),
    ];
    for (issuer, jwks_uri, expected) in table {
        provider.discovery(&issuer, &jwks_uri);
        let why = KeySetReport::fetch(&provider.rules()).await.unwrap_err().to_string();
        assert!(why.contains(expected), "{issuer} {jwks_uri}: {why}");
    }
    assert_eq!((canary.key_hits(), provider.key_hits()), (0, 0));
}

#[tokio::test]
async fn a_configured_url_reaches_no_address_of_the_inside() {
    let provider = SwitchedProvider::start().await;
    let mut rules = provider.rules();
    for url in [
        "https://10.0.0.1/jwks",
        "https://[::ffff:10.0.0.1]/jwks",
        "https://169.254.169.254/jwks",
        "https://[fe80::1]/jwks",
        "https://[fd00::1]/jwks",
        "https://100.64.0.1/jwks",
        "https://0.0.0.0/jwks",
        "https://0xa9fea9fe/jwks",
        "https://[64:ff9b::a9fe:a9fe]/jwks",
        "https://224.0.0.1/jwks",
        "http://idp.example/jwks",
        "https://user:password@idp.example/jwks",
    ] {
        rules.keys = KeySource::Url(url.to_owned());
        let why = KeySetReport::fetch(&rules).await.unwrap_err().to_string();
        assert!(why.contains("must not be requested"), "{url}: {why}");
    }
}

#[tokio::test]
async fn a_configured_key_set_needs_no_discovery() {
    let provider = SwitchedProvider::start().await;
    let mut rules = provider.rules();
    rules.issuer = "https://issuer.example".to_owned();
    rules.keys = KeySource::Url(format!("{}/keys", provider.issuer));
    assert_eq!(KeySetReport::fetch(&rules).await.unwrap().usable.len(), 1);
    assert_eq!((provider.discovery_hits(), provider.key_hits()), (0, 1));
}
