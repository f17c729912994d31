//! A provider on a loopback address: discovery document, key set, and the rules that accept its tokens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, routing::get};
use countersign::domain::sign_in::{Audience, ClaimPath, JwsAlgorithm, KeySource, OidcRules, UserIdSource};
use serde_json::{Value, json};

use super::{AUDIENCE, ProviderKey};

/// A provider; its server ends with the test's runtime.
pub struct TestProvider {
    pub issuer: String,
    requests: Arc<AtomicUsize>,
}

impl TestProvider {
    /// A provider that publishes these keys.
    pub async fn start(keys: &[&ProviderKey]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        let keys = json!({ "keys": keys });
        let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks.json") });
        let counted = Arc::clone(&requests);
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(|| async { Json(discovery) }))
            .route("/jwks.json", get(|| async { Json(keys) }))
            .layer(axum::middleware::map_request(move |request: axum::extract::Request| {
                counted.fetch_add(1, Ordering::Relaxed);
                async { request }
            }));
        tokio::spawn(async { axum::serve(listener, routes).await });
        Self { issuer, requests }
    }

    /// Requests that it got.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Rules that accept its ID tokens.
    pub fn rules(&self) -> OidcRules {
        OidcRules {
            issuer: self.issuer.clone(),
            keys: KeySource::Discovery,
            algorithms: vec![JwsAlgorithm::RS256, JwsAlgorithm::ES256, JwsAlgorithm::ES384, JwsAlgorithm::EdDSA],
            audience: Audience { claim: "aud".to_owned(), accepted: vec![AUDIENCE.to_owned()] },
            token_types: vec!["jwt".to_owned(), String::new()],
            user_id: UserIdSource { claim: ClaimPath("sub".to_owned()), prefix: String::new(), verified_email: false },
            required_claims: Vec::new(),
            refused_claims: Vec::new(),
            max_age: None,
            leeway: Duration::from_secs(10),
            jwks_max_stale: Duration::from_hours(24),
            allow_private_addresses: true,
        }
    }

    /// Setting of an app that accepts its ID tokens as those of one user-id space with other providers.
    pub fn config(&self, app: &str) -> String {
        let algorithms = r#"["RS256", "ES256", "ES384", "EdDSA"]"#;
        format!(
            "\n[[apps.{app}.sign_in]]\nkind = \"oidc\"\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\n\
             algorithms = {algorithms}\ntoken_types = [\"JWT\"]\nshared_user_ids = true\n",
            self.issuer
        )
    }

    /// Claims of an ID token of an hour.
    pub fn claims(&self, user: &str, now_seconds: i64) -> Value {
        json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": user, "sid": "s-1", "nonce": "n-1",
            "iat": now_seconds, "exp": now_seconds + 3600,
        })
    }

    /// Claims of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
    pub fn logout_claims(&self, user: &str, now_seconds: i64) -> Value {
        json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": user, "sid": "s-1", "jti": "l-1",
            "iat": now_seconds, "exp": now_seconds + 120,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        })
    }
}
