//! What the tests have in common: a service in a process of its own, one inside the test with its own clock, a client.

pub mod cluster;
pub mod devices;
pub mod domain;
pub mod endpoint;
pub mod jwt;
pub mod postgres;
#[cfg(feature = "sandbox")]
pub mod rotation;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod service;
pub mod session_model;
pub mod starting_service;
pub mod switched_provider;
pub mod switched_store;
pub mod terminal;
pub mod test_service;

use std::time::{Duration, Instant};

use serde_json::Value;

/// Secret of an API key or operator token, `<prefix>_<id>_<secret>`. It may have further underscores.
pub fn secret_of(credential: &str) -> &str {
    credential.splitn(3, '_').last().filter(|secret| secret.len() == 43).expect("32 bytes as base64url")
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header as text, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member of the JSON body as text.
    #[track_caller]
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.json())).to_owned()
    }

    /// Checks that this is a success, and passes it on.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Checks that this is a problem document (RFC 9457) of this status and code, and passes it on.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:countersign:problem:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        self
    }
}

/// Returns what an attempt saw that took less than a second since the time it gives: a limit of one a second let no further
/// request pass meanwhile. A machine that has other work may need several attempts.
pub async fn in_less_than_a_second<T>(mut attempt: impl AsyncFnMut() -> (Instant, T)) -> T {
    for _ in 0..30 {
        let (begun, seen) = attempt().await;
        if begun.elapsed() < Duration::from_secs(1) {
            return seen;
        }
    }
    panic!("each attempt took longer than a second");
}

/// Repeats a test that also measures, where a measurement was worse than it should be: other work of the machine makes some
/// worse, and a fault of the product makes all of them worse.
pub async fn measured(mut test: impl AsyncFnMut() -> Result<(), String>) {
    for attempt in 1.. {
        match test().await {
            Ok(()) => return,
            Err(measured) if attempt < 4 => println!("attempt {attempt}: {measured}; again"),
            Err(measured) => panic!("{measured}, at the last of {attempt} attempts"),
        }
    }
}

/// The claims of a JWT, unverified.
#[track_caller]
pub fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims
}

/// The claims of a JWT, once jsonwebtoken, which did not make it, has verified it with this public key.
#[track_caller]
pub fn verified_claims(token: &str, public_key: &str) -> Value {
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(public_key.as_bytes()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    (rules.validate_exp, rules.validate_aud) = (false, false);
    jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims
}

/// Files of private keys in the key folder of an installation.
pub fn key_files(installation: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(installation.join("keys")).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|ending| ending == "pem")).collect()
}
