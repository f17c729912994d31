//! What tests and people steer the sandbox by: `/sandbox/v1/…`, and a page at `/`.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State as Extract},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    faults::{Fault, Verb},
    keys::NewKey,
    world::{App, AppSpec, Enforcement, State, World},
};
use crate::clock::UnixMillis;

/// The routes of the control API.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
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
        .route("/sandbox/v1/reset", post(reset))
}

/// Why the sandbox does not do as it was told.
enum Refusal {
    Malformed(String),
    NoSuchApp(String),
    Conflict(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, why),
            Self::NoSuchApp(name) => (StatusCode::NOT_FOUND, format!("there is no app {name:?} in the sandbox")),
            Self::Conflict(why) => (StatusCode::CONFLICT, why),
        };
        (status, Json(json!({ "error": why }))).into_response()
    }
}

type Answer = Result<Json<Value>, Refusal>;

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// Works on one app, and tells the witness how it stands afterwards.
fn with_app<T>(
    world: &World,
    name: &str,
    work: impl FnOnce(&mut State, usize, UnixMillis) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let (outcome, now_is) = world.with(|state, now| {
        let Some(at) = state.apps.iter().position(|app| app.name == name) else {
            return Err(Refusal::NoSuchApp(name.to_owned()));
        };
        let outcome = work(state, at, now)?;
        Ok((outcome, app_json(state, &state.apps[at])))
    })?;
    world.tell(&json!({ "type": "app", "app": now_is }));
    Ok(outcome)
}

fn app_json(state: &State, app: &App) -> Value {
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
    let figures = serde_json::to_value(state.journal.of_app(&app.name)).unwrap_or_default();
    if let (Value::Object(value), Value::Object(figures)) = (&mut value, figures) {
        value.extend(figures);
    }
    value
}

async fn state(Extract(world): Extract<Arc<World>>) -> Json<Value> {
    Json(world.with(|state, now| {
        json!({
            "time": now,
            "switches": state.switches,
            "faults": state.faults.waiting(),
            "apps": state.apps.iter().map(|app| app_json(state, app)).collect::<Vec<_>>(),
        })
    }))
}

async fn add_app(Extract(world): Extract<Arc<World>>, body: Bytes) -> Answer {
    let spec: AppSpec = parsed(&body)?;
    if spec.name.is_empty() {
        return Err(Refusal::Malformed("name must not be empty".to_owned()));
    }
    world.add_app(spec).map(Json).map_err(|clash| Refusal::Conflict(clash.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    enforcement: Enforcement,
}

async fn change_app(Extract(world): Extract<Arc<World>>, Path(name): Path<String>, body: Bytes) -> Answer {
    let change: AppChange = parsed(&body)?;
    with_app(&world, &name, |state, app, _| {
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

async fn add_key(Extract(world): Extract<Arc<World>>, Path(name): Path<String>, body: Bytes) -> Answer {
    let key: KeyToAdd = parsed(&body)?;
    with_app(&world, &name, |state, app, now| {
        let key = NewKey {
            rsa_public_key: key.public_key,
            description: key.description.unwrap_or_else(|| "added by hand".to_owned()),
            make_primary: key.make_primary,
        };
        let id = state.create_key(app, key, now).map_err(|refusal| Refusal::Conflict(refusal.to_string()))?;
        Ok(Json(json!({ "id": id })))
    })
}

async fn delete_key(Extract(world): Extract<Arc<World>>, Path((name, id)): Path<(String, String)>) -> Answer {
    with_app(&world, &name, |state, app, now| {
        let deleted = state.apps[app].keys.delete(&id, now);
        deleted.map(|()| Json(json!({}))).map_err(|refusal| Refusal::Conflict(refusal.to_string()))
    })
}

async fn switch(Extract(world): Extract<Arc<World>>, body: Bytes) -> Answer {
    let change: Value = parsed(&body)?;
    let switches = world.switch(&change).map_err(Refusal::Malformed)?;
    Ok(Json(json!(switches)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestKeyToAdd {
    permissions: Vec<String>,
}

async fn add_rest_key(Extract(world): Extract<Arc<World>>, body: Bytes) -> Answer {
    let RestKeyToAdd { permissions } = parsed(&body)?;
    let known = |word: &String| Verb::ALL.into_iter().map(Verb::permission).find(|permission| permission == word);
    if let Some(unknown) = permissions.iter().find(|word| known(word).is_none()) {
        let all = Verb::ALL.map(Verb::permission).join(", ");
        return Err(Refusal::Malformed(format!("{unknown:?} is none of {all}")));
    }
    let permissions: BTreeSet<&'static str> = permissions.iter().filter_map(known).collect();
    Ok(Json(json!({ "rest_api_key": world.with(|state, _| state.add_rest_key(permissions)) })))
}

async fn add_fault(Extract(world): Extract<Arc<World>>, body: Bytes) -> Answer {
    let fault: Fault = parsed(&body)?;
    Ok(Json(world.with(|state, _| {
        state.faults.add(fault);
        json!({ "faults": state.faults.waiting() })
    })))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn requests(Extract(world): Extract<Arc<World>>, Query(After { after }): Query<After>) -> Json<Value> {
    Json(world.with(|state, _| json!({ "requests": state.journal.requests_after(after) })))
}

async fn events(Extract(world): Extract<Arc<World>>) -> Json<Value> {
    Json(world.with(|state, _| json!({ "events": state.journal.events() })))
}

async fn reset(Extract(world): Extract<Arc<World>>) -> Json<Value> {
    world.with(|state, _| state.journal.reset());
    Json(json!({}))
}
