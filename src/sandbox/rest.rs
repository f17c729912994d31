//! Braze's REST API for the public keys of SDK authentication: `/app_group/sdk_authentication/…`.
//!
//! Field names, permissions and the limit of three keys are Braze's documentation (endpoints
//! `sdk_authentication/create`, `keys`, `primary`, `delete`). Not documented, and guessed here: the success status of
//! `create` (201), that a missing permission is 401, and that a wrong app or key id is 400 or 404.

use std::sync::Arc;

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
    faults::{Fault, Kind, Verb},
    keys::{HeldKey, KeyRefusal, NewKey},
    serve::hang_up,
    world::World,
};
use crate::clock::UnixMillis;

/// Requests per hour, shared with some fifty other endpoints at Braze.
const LIMIT: u32 = 250_000;

/// The routes of the REST API. DELETE takes its arguments in the body, as Braze has it.
pub(super) fn routes() -> Router<Arc<World>> {
    let by_body = |verb: Verb| {
        async move |Extract(world): Extract<Arc<World>>, headers: HeaderMap, body: Bytes| {
            let arguments = serde_json::from_slice(&body).map_err(|error| format!("the body is not JSON: {error}"));
            call(&world, verb, &headers, arguments).await
        }
    };
    let list = async |Extract(world): Extract<Arc<World>>, headers: HeaderMap, Query(arguments): Query<Value>| {
        call(&world, Verb::Keys, &headers, Ok(arguments)).await
    };
    let base = "/app_group/sdk_authentication";
    Router::new()
        .route(&format!("{base}/create"), post(by_body(Verb::Create)))
        .route(&format!("{base}/keys"), get(list))
        .route(&format!("{base}/primary"), put(by_body(Verb::Primary)))
        .route(&format!("{base}/delete"), delete(by_body(Verb::Delete)))
}

/// One call, with the fault that waits for it.
async fn call(world: &World, verb: Verb, headers: &HeaderMap, arguments: Result<Value, String>) -> Response {
    let (fault, now) = world.with(|state, now| (state.faults.strike(verb), now));
    let outcome = match &fault {
        Some(fault) => struck(world, verb, headers, arguments, fault, now).await,
        None => Some(perform(world, verb, headers, arguments)),
    };
    world.tell(&json!({
        "type": "rest", "call": verb, "fault": fault.as_ref().map(|fault| fault.kind),
        "status": outcome.as_ref().map(|answer| answer.status.as_u16()),
    }));
    match outcome {
        Some(answer) => {
            let reset = reset(&answer, now);
            answer.into_response(reset)
        }
        None => hang_up(),
    }
}

/// The answer under a fault; `None` where the connection closes without one.
async fn struck(
    world: &World,
    verb: Verb,
    headers: &HeaderMap,
    arguments: Result<Value, String>,
    fault: &Fault,
    now: UnixMillis,
) -> Option<Answer> {
    let perform = || perform(world, verb, headers, arguments);
    let broken = Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error");
    match fault.kind {
        Kind::TimeoutAfterEffect => {
            perform();
            tokio::time::sleep(fault.delay()).await;
            None
        }
        Kind::TimeoutBeforeEffect => {
            tokio::time::sleep(fault.delay()).await;
            None
        }
        Kind::ErrorBeforeEffect => Some(broken),
        Kind::ErrorAfterEffect => {
            perform();
            Some(broken)
        }
        Kind::RateLimited => {
            let mut answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, "The rate limit has been exceeded");
            answer.reset = Some(now.plus(fault.delay()));
            Some(answer)
        }
        Kind::Slow => {
            tokio::time::sleep(fault.delay()).await;
            Some(perform())
        }
        Kind::Unauthorized => Some(Answer::error(StatusCode::UNAUTHORIZED, "Invalid API key")),
        Kind::NotFound => Some(Answer::error(StatusCode::NOT_FOUND, "Not found")),
    }
}

/// An answer of the API.
struct Answer {
    status: StatusCode,
    body: Value,
    /// When the rate limit is renewed, where that is not the next full hour.
    reset: Option<UnixMillis>,
}

impl Answer {
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

/// When the limit is renewed, in Unix seconds.
fn reset(answer: &Answer, now: UnixMillis) -> i64 {
    match answer.reset {
        Some(at) => at.plus(std::time::Duration::from_millis(999)).seconds(),
        None => (now.seconds() / 3600 + 1) * 3600,
    }
}

/// The arguments of all calls; which of them a call needs differs.
#[derive(Deserialize)]
struct Arguments {
    app_id: String,
    rsa_public_key_str: Option<String>,
    description: Option<String>,
    #[serde(default)]
    make_primary: bool,
    key_id: Option<String>,
}

/// Authorises a call and does it.
fn perform(world: &World, verb: Verb, headers: &HeaderMap, arguments: Result<Value, String>) -> Answer {
    if let Err(refused) = authorised(world, verb, headers) {
        return refused;
    }
    let read = arguments.and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()));
    let arguments: Arguments = match read {
        Ok(arguments) => arguments,
        Err(why) => {
            let body = json!({ "message": "Invalid parameters", "errors": [why] });
            return Answer::ok(StatusCode::BAD_REQUEST, body);
        }
    };
    world.with(|state, now| {
        let Some(app) = state.apps.iter().position(|app| app.app_id == arguments.app_id) else {
            return Answer::error(StatusCode::BAD_REQUEST, format!("Invalid app_id {:?}", arguments.app_id));
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
                    Ok(id) => Answer::ok(StatusCode::CREATED, json!({ "id": id })),
                    Err(refusal) => refused(&refusal),
                };
            }
            Verb::Keys => Ok(()),
            Verb::Primary => state.apps[app].keys.make_primary(&key_id),
            Verb::Delete => state.apps[app].keys.delete(&key_id, now),
        };
        match done {
            Ok(()) => Answer::ok(StatusCode::OK, listed(state.apps[app].keys.list(), state.switches.reformat_pem)),
            Err(refusal) => refused(&refusal),
        }
    })
}

fn authorised(world: &World, verb: Verb, headers: &HeaderMap) -> Result<(), Answer> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = header.strip_prefix("Bearer ").unwrap_or_default();
    let refusal = world.with(|state, _| match state.permissions(key) {
        None => Some("Invalid API key".to_owned()),
        Some(permissions) if permissions.contains(verb.permission()) => None,
        Some(_) => Some(format!("The API key lacks the permission {}", verb.permission())),
    });
    refusal.map_or(Ok(()), |message| Err(Answer::error(StatusCode::UNAUTHORIZED, message)))
}

fn refused(refusal: &KeyRefusal) -> Answer {
    let status = match refusal {
        KeyRefusal::Unknown(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    Answer::ok(status, json!({ "message": refusal.to_string(), "errors": [refusal.to_string()] }))
}

fn listed(keys: &[HeldKey], reformat: bool) -> Value {
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
