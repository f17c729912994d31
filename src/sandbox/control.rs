//! Control API of the sandbox for tests and people: `/sandbox/v1/…`, and a page at `/`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State as Extract},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use strum::VariantArray as _;

use super::{
    app::{AppSpec, Enforcement, SandboxApp},
    faults::{Fault, Verb},
    keys::NewKey,
    local_braze::{LocalBraze, State},
};
use crate::clock::UnixMillis;

/// Returns the routes of the control API.
pub(super) fn routes() -> Router<Arc<LocalBraze>> {
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route(
            "/palette.css",
            get(async || ([(header::CONTENT_TYPE, "text/css")], include_str!("../ops/console/assets/palette.css"))),
        )
        .route("/sandbox/v1/state", get(state))
        .route("/sandbox/v1/apps", post(add_app))
        .route("/sandbox/v1/apps/{name}", patch(change_app))
        .route("/sandbox/v1/apps/{name}/keys", post(add_key))
        .route("/sandbox/v1/apps/{name}/keys/{id}", delete(delete_key))
        .route("/sandbox/v1/switches", patch(switch))
        .route("/sandbox/v1/rest-keys", post(add_rest_key))
        .route("/sandbox/v1/faults", post(add_fault))
        .route("/sandbox/v1/requests", get(requests))
        .route("/sandbox/v1/events", get(events))
        .route("/sandbox/v1/push-tokens", get(push_tokens))
        .route("/sandbox/v1/reset", post(reset))
}

/// Errors of the control API.
enum ControlError {
    Malformed(String),
    NoSuchApp(String),
    Conflict(String),
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, why),
            Self::NoSuchApp(name) => (StatusCode::NOT_FOUND, format!("there is no app {name:?} in the sandbox")),
            Self::Conflict(why) => (StatusCode::CONFLICT, why),
        };
        (status, Json(json!({ "error": why }))).into_response()
    }
}

type ControlResult = Result<Json<Value>, ControlError>;

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::Malformed(error.to_string()))
}

/// Runs `work` on one app, and emits the app's state after it.
fn with_app<T>(
    braze: &LocalBraze,
    name: &str,
    work: impl FnOnce(&mut State, usize, UnixMillis) -> Result<T, ControlError>,
) -> Result<T, ControlError> {
    let (outcome, changed) = braze.with(|state, now| {
        let Some(at) = state.apps.iter().position(|app| app.name == name) else {
            return Err(ControlError::NoSuchApp(name.to_owned()));
        };
        let outcome = work(state, at, now)?;
        Ok((outcome, app_json(state, &state.apps[at])))
    })?;
    braze.emit(&json!({ "type": "app", "app": changed }));
    Ok(outcome)
}

fn app_json(state: &State, app: &SandboxApp) -> Value {
    let mut value = json!({
        "name": app.name,
        "app_id": app.app_id,
        "sdk_api_key": app.sdk_api_key,
        "enforcement": app.enforcement,
    });
    let keys = app.keys.list().iter().map(|key| {
        let live_from = key.created.plus(state.switches.propagation());
        json!({
            "id": key.id, "description": key.description, "rsa_public_key": key.rsa_public_key,
            "is_primary": key.is_primary, "live_from": live_from,
        })
    });
    value["keys"] = keys.collect();
    let counts = serde_json::to_value(state.journal.counts(&app.name)).unwrap_or_default();
    if let (Value::Object(value), Value::Object(counts)) = (&mut value, counts) {
        value.extend(counts);
    }
    value
}

async fn state(Extract(braze): Extract<Arc<LocalBraze>>) -> Json<Value> {
    Json(braze.with(|state, now| {
        json!({
            "time": now,
            "switches": state.switches,
            "faults": state.faults.pending(),
            "apps": state.apps.iter().map(|app| app_json(state, app)).collect::<Vec<_>>(),
        })
    }))
}

async fn add_app(Extract(braze): Extract<Arc<LocalBraze>>, body: Bytes) -> ControlResult {
    let spec: AppSpec = parsed(&body)?;
    if spec.name.is_empty() {
        return Err(ControlError::Malformed("name must not be empty".to_owned()));
    }
    braze.add_app(spec).map(Json).map_err(|clash| ControlError::Conflict(clash.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    enforcement: Enforcement,
}

async fn change_app(Extract(braze): Extract<Arc<LocalBraze>>, Path(name): Path<String>, body: Bytes) -> ControlResult {
    let change: AppChange = parsed(&body)?;
    with_app(&braze, &name, |state, app, _| {
        state.apps[app].enforcement = change.enforcement;
        Ok(Json(app_json(state, &state.apps[app])))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyToAdd {
    public_key: String,
    description: Option<String>,
    #[serde(default)]
    make_primary: bool,
}

async fn add_key(Extract(braze): Extract<Arc<LocalBraze>>, Path(name): Path<String>, body: Bytes) -> ControlResult {
    let key: KeyToAdd = parsed(&body)?;
    with_app(&braze, &name, |state, app, now| {
        let key = NewKey {
            rsa_public_key: key.public_key,
            description: key.description.unwrap_or_else(|| "added by hand".to_owned()),
            make_primary: key.make_primary,
        };
        let id = state.create_key(app, key, now).map_err(|error| ControlError::Conflict(error.to_string()))?;
        Ok(Json(json!({ "id": id })))
    })
}

async fn delete_key(
    Extract(braze): Extract<Arc<LocalBraze>>,
    Path((name, id)): Path<(String, String)>,
) -> ControlResult {
    with_app(&braze, &name, |state, app, now| {
        let deleted = state.apps[app].keys.delete(&id, now);
        deleted.map(|()| Json(json!({}))).map_err(|error| ControlError::Conflict(error.to_string()))
    })
}

async fn switch(Extract(braze): Extract<Arc<LocalBraze>>, body: Bytes) -> ControlResult {
    let change: Value = parsed(&body)?;
    let switches = braze.switch(&change).map_err(ControlError::Malformed)?;
    Ok(Json(json!(switches)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestKeyToAdd {
    permissions: Vec<String>,
}

async fn add_rest_key(Extract(braze): Extract<Arc<LocalBraze>>, body: Bytes) -> ControlResult {
    let RestKeyToAdd { permissions } = parsed(&body)?;
    let permissions = permissions.iter().map(|permission| verb_of(permission)).collect::<Result<_, _>>()?;
    Ok(Json(json!({ "rest_api_key": braze.with(|state, _| state.add_rest_key(permissions)) })))
}

fn verb_of(permission: &str) -> Result<Verb, ControlError> {
    let known = Verb::VARIANTS.iter().copied();
    known.clone().find(|verb| verb.permission() == permission).ok_or_else(|| {
        let all = known.map(Verb::permission).collect::<Vec<_>>().join(", ");
        ControlError::Malformed(format!("{permission:?} is none of {all}"))
    })
}

async fn add_fault(Extract(braze): Extract<Arc<LocalBraze>>, body: Bytes) -> ControlResult {
    let fault: Fault = parsed(&body)?;
    Ok(Json(braze.with(|state, _| {
        state.faults.add(fault);
        json!({ "faults": state.faults.pending() })
    })))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn requests(Extract(braze): Extract<Arc<LocalBraze>>, Query(After { after }): Query<After>) -> Json<Value> {
    Json(braze.with(|state, _| json!({ "requests": state.journal.requests_after(after) })))
}

async fn events(Extract(braze): Extract<Arc<LocalBraze>>) -> Json<Value> {
    Json(braze.with(|state, _| json!({ "events": state.journal.events() })))
}

async fn push_tokens(Extract(braze): Extract<Arc<LocalBraze>>) -> Json<Value> {
    Json(braze.with(|state, _| json!({ "push_tokens": state.journal.push_tokens.list() })))
}

async fn reset(Extract(braze): Extract<Arc<LocalBraze>>) -> Json<Value> {
    braze.with(|state, _| state.journal.reset());
    Json(json!({}))
}
