//! Controls: what the page's buttons do to the service and to the local Braze.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::requests::{Failure, call_json};
use crate::{
    app::{Access, Wiring},
    domain::key::KeyState,
    operate::Operator,
    sandbox::{self, LocalBraze, REST_API_KEY},
};

/// Switch that makes the service unreachable.
#[derive(Clone, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// Wraps routes: while the switch is set they answer 502 without CORS headers, so that the page sees a network
    /// error.
    pub(super) fn over(&self, routes: Router) -> Router {
        let cut = Arc::clone(&self.0);
        routes.layer(from_fn(move |request: Request, next: Next| {
            let is_cut = cut.load(Ordering::Relaxed);
            async move { if is_cut { StatusCode::BAD_GATEWAY.into_response() } else { next.run(request).await } }
        }))
    }
}

/// The parts that the buttons change.
pub(super) struct Controls {
    pub(super) wiring: Arc<Wiring>,
    pub(super) operator: Operator,
    pub(super) braze: Arc<LocalBraze>,
    pub(super) cut: Cut,
}

impl Controls {
    /// Mints as the app's backend would: one call with the API key.
    pub(super) async fn login(&self, access: &Access, user: &str) -> Result<Value, Failure> {
        let body = json!({ "app": access.app, "user_id": user });
        let bearer = format!("Bearer {}", *access.api_key.reveal());
        let headers = [(header::AUTHORIZATION, &*bearer)];
        call_json(&self.wiring.routes(), Method::POST, "/v1/token/generate", &headers, &body).await
    }

    /// Makes Braze treat every token that was minted until now as expired.
    pub(super) fn expire(&self) -> Result<Value, Failure> {
        let life = self.operator.rings.iter().map(|ring| ring.config.longest_life).max().unwrap_or_default();
        // A token of the present second is not affected, because the next one must be valid.
        let until = self.operator.clock.untrusted_now().plus(life).seconds() - 1;
        self.braze.switch(&json!({ "expire_until": until })).map(|_| json!({}))
    }

    /// Replaces the key that signs by a new one, which is published at Braze first only if `publish` is true.
    pub(super) async fn rotate(&self, publish: bool) -> Result<Value, Failure> {
        let ceremony = self.operator.keys();
        let ring = self.operator.rings.first().ok_or("there is no key ring")?.name.clone();
        let key = ceremony.generate(ring, 2048).await.map_err(|error| error.to_string())?;
        if publish {
            self.publish(&key.public_key).await?;
        }
        ceremony.activate(&key.kid).await.map_err(|error| error.to_string())?;
        self.wiring.reload_keys().await.map_err(|error| error.to_string())?;
        Ok(json!({ "kid": key.kid, "published": publish }))
    }

    /// Publishes the active key at Braze.
    pub(super) async fn publish_active(&self) -> Result<Value, Failure> {
        let keys = self.operator.keys().list().await.map_err(|error| error.to_string())?;
        let active = keys.into_iter().rfind(|key| key.state == KeyState::Active);
        let active = active.ok_or("no key signs")?;
        self.publish(&active.public_key).await?;
        Ok(json!({ "kid": active.kid }))
    }

    /// Adds a key at Braze as the primary one; where Braze holds three keys, the oldest that is not primary is deleted.
    async fn publish(&self, public_key: &str) -> Result<(), Failure> {
        let app = self.braze.app_id("web").ok_or("the sandbox has no such app")?;
        let keys = self.rest(Method::GET, &format!("keys?app_id={app}"), &Value::Null).await?;
        let keys = keys["keys"].as_array().cloned().unwrap_or_default();
        if let Some(oldest) = keys.iter().find(|key| key["is_primary"] == false).filter(|_| keys.len() == 3) {
            self.rest(Method::DELETE, "delete", &json!({ "app_id": app, "key_id": oldest["id"] })).await?;
        }
        let key = json!({
            "app_id": app, "rsa_public_key_str": public_key, "description": "published by the demo", "make_primary": true,
        });
        self.rest(Method::POST, "create", &key).await.map(drop)
    }

    /// Makes the service unreachable, or reachable again.
    pub(super) fn cut(&self, cut: bool) -> Value {
        self.cut.0.store(cut, Ordering::Relaxed);
        json!({ "cut": cut })
    }

    async fn rest(&self, method: Method, verb: &str, body: &Value) -> Result<Value, Failure> {
        let path = format!("/app_group/sdk_authentication/{verb}");
        let bearer = format!("Bearer {REST_API_KEY}");
        let headers = [(header::AUTHORIZATION, &*bearer)];
        call_json(&sandbox::router(Arc::clone(&self.braze)), method, &path, &headers, body).await
    }
}
