//! Client of Braze's REST API (endpoints `sdk_authentication/*`): one workspace, one API key.
//!
//! Idempotent calls are repeated a few times. `create` is not idempotent, so it is sent once; its caller finds out
//! the outcome from the list of keys. No call is sent while the rate limit is used up.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Client, Method, RequestBuilder, redirect::Policy};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use super::{
    BrazeError, KeyDirectory, Listed,
    response::{Created, KeyList, LONGEST_PAUSE, no_answer, read},
};
use crate::{
    clock::{Clock, UnixMillis},
    secret::Secret,
};

/// Time limit of a call.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of tries of an idempotent call.
const TRIES: u32 = 3;
/// Pause before the second try; each further pause is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Key directory of one workspace.
pub(super) struct RestDirectory {
    client: Client,
    base: String,
    api_key: Secret<String>,
    clock: Arc<dyn Clock>,
    /// The time at which a used-up rate limit resets.
    limited_until: Mutex<Option<UnixMillis>>,
}

impl RestDirectory {
    /// Makes the HTTP client.
    pub(super) fn open(rest_url: &str, api_key: Secret<String>, clock: Arc<dyn Clock>) -> Result<Self, BrazeError> {
        // Redirects are not followed: they would send the API key to another host.
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|why| BrazeError::Setup(why.to_string()))?;
        let base = format!("{}/app_group/sdk_authentication", rest_url.trim_end_matches('/'));
        Ok(Self { client, base, api_key, clock, limited_until: Mutex::new(None) })
    }

    fn request(&self, method: Method, verb: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{verb}", self.base)).bearer_auth(self.api_key.expose())
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, BrazeError> {
        let limited = *self.limited_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        // A limit that lies further ahead is from before a step of the clock.
        if let Some(until) = limited.filter(|until| now < *until && *until <= now.plus(LONGEST_PAUSE)) {
            return Err(BrazeError::RateLimited { until });
        }
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        let result = read(response, self.clock.now()).await;
        if let Err(BrazeError::RateLimited { until }) = &result {
            *self.limited_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(*until);
        }
        result
    }

    /// Sends an idempotent call, again after each transient error until its tries are used up.
    async fn repeat<T: DeserializeOwned>(&self, request: impl Fn() -> RequestBuilder) -> Result<T, BrazeError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.send(request()).await {
                Err(error) if error.is_transient() => tracing::debug!(%error, "repeating the call to Braze"),
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
        let keys: KeyList = self.repeat(|| self.request(Method::GET, "keys").query(&[("app_id", app_id)])).await?;
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
            // An earlier try deleted the key and its answer was lost.
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
