//! Braze's REST API (endpoints `sdk_authentication/*`): one workspace, one API key.
//!
//! What can be repeated without harm is repeated a few times. What cannot, `create`, is sent once: whether it happened is
//! for a list to tell. While a rate limit is used up, nothing is sent at all.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Client, Method, RequestBuilder, redirect::Policy};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use super::{
    BrazeError, Config, KeyDirectory, Listed,
    answer::{Created, Keys, no_answer, read},
};
use crate::{
    clock::{Clock, UnixMillis},
    secret::Secret,
};

/// The longest that a call may take.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a call that does no harm is tried, and how long is waited before the second time; twice as long each time.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// One workspace.
pub(super) struct RestDirectory {
    client: Client,
    base: String,
    api_key: Secret<String>,
    clock: Arc<dyn Clock>,
    /// Until when the rate limit is used up.
    limited: Mutex<Option<UnixMillis>>,
}

impl RestDirectory {
    pub(super) fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, BrazeError> {
        // A redirect would carry the API key to wherever it points.
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|why| BrazeError::Setup(why.to_string()))?;
        let base = format!("{}/app_group/sdk_authentication", config.rest_url.trim_end_matches('/'));
        Ok(Self { client, base, api_key: config.api_key, clock, limited: Mutex::new(None) })
    }

    fn request(&self, method: Method, verb: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{verb}", self.base)).bearer_auth(self.api_key.expose())
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, BrazeError> {
        let limited = *self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = limited.filter(|until| self.clock.now() < *until) {
            return Err(BrazeError::RateLimited { until });
        }
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        let answer = read(response, self.clock.now()).await;
        if let Err(BrazeError::RateLimited { until }) = &answer {
            *self.limited.lock().unwrap_or_else(PoisonError::into_inner) = Some(*until);
        }
        answer
    }

    /// Sends what may be sent again.
    async fn repeat<T: DeserializeOwned>(&self, request: impl Fn() -> RequestBuilder) -> Result<T, BrazeError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.send(request()).await {
                Err(error) if error.is_ambiguous() => tracing::debug!(%error, "asking Braze once more"),
                done => return done,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.send(request()).await
    }

    async fn change(&self, method: Method, verb: &str, body: &Value) -> Result<(), BrazeError> {
        self.repeat::<IgnoredAny>(|| self.request(method.clone(), verb).json(body)).await.map(drop)
    }
}

#[async_trait]
impl KeyDirectory for RestDirectory {
    async fn list(&self, app_id: &str) -> Result<Vec<Listed>, BrazeError> {
        let keys: Keys = self.repeat(|| self.request(Method::GET, "keys").query(&[("app_id", app_id)])).await?;
        Ok(keys.listed())
    }

    async fn create(&self, app_id: &str, public_key: &str, description: &str) -> Result<String, BrazeError> {
        let body = json!({ "app_id": app_id, "rsa_public_key_str": public_key, "description": description });
        let created: Created = self.send(self.request(Method::POST, "create").json(&body)).await?;
        Ok(created.id)
    }

    async fn make_primary(&self, app_id: &str, key_id: &str) -> Result<(), BrazeError> {
        self.change(Method::PUT, "primary", &json!({ "app_id": app_id, "key_id": key_id })).await
    }

    async fn delete(&self, app_id: &str, key_id: &str) -> Result<(), BrazeError> {
        let deleted = self.change(Method::DELETE, "delete", &json!({ "app_id": app_id, "key_id": key_id })).await;
        match deleted {
            // It was there a moment ago: an answer before this one was lost.
            Err(BrazeError::Refused { status: 404, .. }) if self.is_gone(app_id, key_id).await? => Ok(()),
            done => done,
        }
    }
}

impl RestDirectory {
    async fn is_gone(&self, app_id: &str, key_id: &str) -> Result<bool, BrazeError> {
        Ok(self.list(app_id).await?.iter().all(|key| key.id != key_id))
    }
}
