//! Braze's REST API for the public keys of SDK authentication: `/app_group/sdk_authentication/…`.
//!
//! Field names, permissions and the limit of three keys follow Braze's documentation (endpoints
//! `sdk_authentication/create`, `keys`, `primary`, `delete`). Not documented, and assumed here: `create` succeeds
//! with 201, a missing permission is 401, an unknown app id is 400, an unknown key id is 404.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State as Extract},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    disconnect::disconnect,
    faults::{Fault, FaultKind, Verb},
    keys::{AppKey, KeyError, NewKey},
    local_braze::LocalBraze,
};
use crate::clock::UnixMillis;

/// Requests per hour; at Braze some fifty other endpoints share this limit.
const LIMIT: u32 = 250_000;

/// Returns the routes of the REST API. DELETE takes its arguments in the body, as at Braze.
pub(super) fn routes() -> Router<Arc<LocalBraze>> {
    let from_body = |verb: Verb| {
        async move |Extract(braze): Extract<Arc<LocalBraze>>, headers: HeaderMap, body: Bytes| {
            let arguments = serde_json::from_slice(&body).map_err(|error| format!("the body is not JSON: {error}"));
            call(&braze, verb, &headers, arguments).await
        }
    };
    let list = async |Extract(braze): Extract<Arc<LocalBraze>>, headers: HeaderMap, Query(arguments): Query<Value>| {
        call(&braze, Verb::Keys, &headers, Ok(arguments)).await
    };
    let base = "/app_group/sdk_authentication";
    Router::new()
        .route(&format!("{base}/create"), post(from_body(Verb::Create)))
        .route(&format!("{base}/keys"), get(list))
        .route(&format!("{base}/primary"), put(from_body(Verb::Primary)))
        .route(&format!("{base}/delete"), delete(from_body(Verb::Delete)))
}

/// Handles one call under the oldest fault of its verb.
async fn call(braze: &LocalBraze, verb: Verb, headers: &HeaderMap, arguments: Result<Value, String>) -> Response {
    let (fault, now) = braze.with(|state, now| (state.faults.take(verb), now));
    let outcome = match &fault {
        Some(fault) => faulty_response(braze, verb, headers, arguments, fault, now).await,
        None => Some(perform(braze, verb, headers, arguments)),
    };
    braze.emit(&json!({
        "type": "rest", "call": verb, "fault": fault.as_ref().map(|fault| fault.kind),
        "status": outcome.as_ref().map(|response| response.status.as_u16()),
    }));
    match outcome {
        Some(response) => {
            let reset = reset(&response, now);
            response.into_response(reset)
        }
        None => disconnect(),
    }
}

/// Returns the response under a fault, or `None` if the connection closes without one.
async fn faulty_response(
    braze: &LocalBraze,
    verb: Verb,
    headers: &HeaderMap,
    arguments: Result<Value, String>,
    fault: &Fault,
    now: UnixMillis,
) -> Option<RestResponse> {
    let perform = || perform(braze, verb, headers, arguments);
    let broken = RestResponse::error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error");
    match fault.kind {
        FaultKind::TimeoutAfterEffect => {
            perform();
            tokio::time::sleep(fault.delay()).await;
            None
        }
        FaultKind::TimeoutBeforeEffect => {
            tokio::time::sleep(fault.delay()).await;
            None
        }
        FaultKind::ErrorBeforeEffect => Some(broken),
        FaultKind::ErrorAfterEffect => {
            perform();
            Some(broken)
        }
        FaultKind::RateLimited => {
            let mut response = RestResponse::error(StatusCode::TOO_MANY_REQUESTS, "The rate limit has been exceeded");
            response.reset = Some(now.plus(fault.delay()));
            Some(response)
        }
        FaultKind::Slow => {
            tokio::time::sleep(fault.delay()).await;
            Some(perform())
        }
        FaultKind::Unauthorized => Some(RestResponse::error(StatusCode::UNAUTHORIZED, "Invalid API key")),
        FaultKind::NotFound => Some(RestResponse::error(StatusCode::NOT_FOUND, "Not found")),
    }
}

/// A response of the API.
struct RestResponse {
    status: StatusCode,
    body: Value,
    /// Time at which the rate limit resets, unless that is the next full hour.
    reset: Option<UnixMillis>,
}

impl RestResponse {
    fn ok(status: StatusCode, body: Value) -> Self {
        Self { status, body, reset: None }
    }

    fn error(status: StatusCode, message: impl Into<String>) -> Self {
        Self::ok(status, json!({ "message": message.into() }))
    }

    fn into_response(self, reset: i64) -> Response {
        let remaining = if self.status == StatusCode::TOO_MANY_REQUESTS { 0 } else { LIMIT - 1 };
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", HeaderValue::from(LIMIT));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(remaining));
        headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
        response
    }
}

/// Returns the time at which the limit resets, in Unix seconds, rounded up.
fn reset(response: &RestResponse, now: UnixMillis) -> i64 {
    match response.reset {
        Some(at) => at.plus(Duration::from_millis(999)).seconds(),
        None => (now.seconds() / 3600 + 1) * 3600,
    }
}

/// Arguments of all four calls; each call reads its own.
#[derive(Deserialize)]
struct Arguments {
    app_id: String,
    rsa_public_key_str: Option<String>,
    description: Option<String>,
    #[serde(default)]
    make_primary: bool,
    key_id: Option<String>,
}

/// Authorises and executes a call.
fn perform(braze: &LocalBraze, verb: Verb, headers: &HeaderMap, arguments: Result<Value, String>) -> RestResponse {
    if let Err(response) = authorised(braze, verb, headers) {
        return response;
    }
    let read = arguments.and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()));
    let arguments: Arguments = match read {
        Ok(arguments) => arguments,
        Err(why) => {
            let body = json!({ "message": "Invalid parameters", "errors": [why] });
            return RestResponse::ok(StatusCode::BAD_REQUEST, body);
        }
    };
    braze.with(|state, now| {
        let Some(app) = state.apps.iter().position(|app| app.app_id == arguments.app_id) else {
            return RestResponse::error(StatusCode::BAD_REQUEST, format!("Invalid app_id {:?}", arguments.app_id));
        };
        let key_id = arguments.key_id.unwrap_or_default();
        let done = match verb {
            Verb::Create => {
                let key = NewKey {
                    rsa_public_key: arguments.rsa_public_key_str.unwrap_or_default(),
                    description: arguments.description.unwrap_or_default(),
                    make_primary: arguments.make_primary,
                };
                return match state.create_key(app, key, now) {
                    Ok(id) => RestResponse::ok(StatusCode::CREATED, json!({ "id": id })),
                    Err(error) => key_error(&error),
                };
            }
            Verb::Keys => Ok(()),
            Verb::Primary => state.apps[app].keys.make_primary(&key_id, now),
            Verb::Delete => state.apps[app].keys.delete(&key_id, now),
        };
        match done {
            Ok(()) => {
                // A change answers with its own effect; only the list lags.
                let lag = if verb == Verb::Keys { state.switches.list_lag() } else { Duration::ZERO };
                let keys = state.apps[app].keys.list_at(now.minus(lag));
                RestResponse::ok(StatusCode::OK, listed(keys, state.switches.reformat_pem))
            }
            Err(error) => key_error(&error),
        }
    })
}

fn authorised(braze: &LocalBraze, verb: Verb, headers: &HeaderMap) -> Result<(), RestResponse> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = header.strip_prefix("Bearer ").unwrap_or_default();
    let message = braze.with(|state, _| match state.permissions(key) {
        None => Some("Invalid API key".to_owned()),
        Some(permissions) if permissions.contains(&verb) => None,
        Some(_) => Some(format!("The API key lacks the permission {}", verb.permission())),
    });
    message.map_or(Ok(()), |message| Err(RestResponse::error(StatusCode::UNAUTHORIZED, message)))
}

fn key_error(error: &KeyError) -> RestResponse {
    let status = match error {
        KeyError::Unknown(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    RestResponse::ok(status, json!({ "message": error.to_string(), "errors": [error.to_string()] }))
}

fn listed(keys: &[AppKey], reformat: bool) -> Value {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            let pem =
                if reformat { key.rsa_public_key.trim().replace('\n', "\r\n") } else { key.rsa_public_key.clone() };
            json!({ "id": key.id, "rsa_public_key": pem, "description": key.description, "is_primary": key.is_primary })
        })
        .collect();
    json!({ "keys": keys })
}
