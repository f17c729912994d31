//! The sandbox inside the test process: its real routes, with a clock that the test moves.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::sandbox::{AppSpec, LocalBraze, REST_API_KEY, Switches, router};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    Answer,
    domain::{NOW, RsaKey},
    test_service::TestClock,
};

pub const SDK_API_KEY: &str = "00000000-0000-4000-8000-000000000001";
pub const APP_ID: &str = "00000000-0000-4000-9000-000000000001";

/// A sandbox with the app `web`, enforcement `Required`, and no keys.
pub struct TestBraze {
    pub clock: Arc<TestClock>,
    /// Every event that the sandbox emitted.
    pub emitted: Arc<Mutex<Vec<Value>>>,
    routes: Router,
}

impl TestBraze {
    pub fn new() -> Self {
        let clock = Arc::new(TestClock::at(NOW));
        let emitted: Arc<Mutex<Vec<Value>>> = Arc::default();
        let events = Arc::clone(&emitted);
        let braze = LocalBraze::new(clock.clone(), Switches::default(), move |event| {
            events.lock().unwrap().push(event.clone());
        });
        braze.add_app(AppSpec::named("web")).unwrap();
        Self { clock, emitted, routes: router(Arc::new(braze)) }
    }

    /// Makes one whose app `web` has this key.
    pub async fn holding(key: &RsaKey) -> Self {
        let braze = Self::new();
        braze.control("POST", "apps/web/keys", json!({ "public_key": key.public_pem() })).await.ok();
        braze
    }

    pub async fn send(&self, request: Request<String>) -> Answer {
        let response = self.routes.clone().oneshot(request.map(Body::from)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn control(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(Request::builder().method(method).uri(format!("/sandbox/v1/{path}")).body(body).unwrap()).await
    }

    pub async fn switch(&self, switches: Value) {
        self.control("PATCH", "switches", switches).await.ok();
    }

    pub async fn enforce(&self, state: &str) {
        self.control("PATCH", "apps/web", json!({ "enforcement": state })).await.ok();
    }

    /// Returns the state of the app.
    pub async fn app(&self) -> Value {
        self.control("GET", "state", Value::Null).await.json()["apps"][0].clone()
    }

    /// Posts to `/data/` as the Web SDK does, with this body and the API key.
    pub async fn data(&self, token: Option<&str>, body: Value) -> Answer {
        self.post("/api/v3/data/", token, body).await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, mut body: Value) -> Answer {
        body["api_key"] = SDK_API_KEY.into();
        let mut request = Request::post(path).header("X-Braze-Api-Key", SDK_API_KEY);
        if let Some(token) = token {
            request = request.header("X-Braze-Auth-Signature", token);
        }
        self.send(request.body(body.to_string()).unwrap()).await
    }

    /// Calls the REST API with the key that has every permission.
    pub async fn rest(&self, method: &str, verb: &str, body: Value) -> Answer {
        self.rest_as(REST_API_KEY, method, verb, body).await
    }

    pub async fn rest_as(&self, key: &str, method: &str, verb: &str, body: Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/app_group/sdk_authentication/{verb}"))
            .header("Authorization", format!("Bearer {key}"));
        self.send(request.body(body.to_string()).unwrap()).await
    }
}

/// Returns a token with these claims, signed by this key.
pub fn token(key: &RsaKey, claims: &Value) -> String {
    token_with(key, &json!({ "alg": "RS256", "typ": "JWT" }), &claims.to_string())
}

/// Returns a token with this header and payload, signed by this key.
pub fn token_with(key: &RsaKey, header: &Value, payload: &str) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).0))
}

/// Returns a good token for this user, valid for an hour.
pub fn good(key: &RsaKey, user: &str) -> String {
    token(key, &json!({ "sub": user, "exp": NOW.seconds() + 3600 }))
}

/// Returns a batch of one event of this user.
pub fn event(user: &str, name: &str) -> Value {
    json!({
        "events": [{ "name": "ce", "time": 1.5, "data": { "n": name }, "session_id": "s", "user_id": user }],
        "respond_with": { "user_id": user },
    })
}
