//! The demo's site: a page, and the backend that an app would have.

use std::{path::Path, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

use super::{Shown, controls::Controls};

/// Packages that the page imports, and their files below the modules folder.
const PACKAGES: [(&str, &str); 2] = [
    ("@braze/web-sdk", "@braze/web-sdk/src/index.js"),
    ("@countersign/braze-web", "@countersign/braze-web/dist/index.js"),
];

/// Returns the packages that are not installed.
pub(super) fn missing(modules: &Path) -> Vec<&'static str> {
    PACKAGES.iter().filter(|(_, file)| !modules.join(file).is_file()).map(|(name, _)| *name).collect()
}

struct SiteState {
    shown: Shown,
    controls: Controls,
}

/// Makes the routes of the site.
pub(super) fn routes(shown: Shown, controls: Controls, modules: &Path) -> Router {
    let fresh = SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/page.js", get(script))
        .route("/demo/config", get(config))
        .route("/demo/login", post(login))
        .route("/demo/act", post(act))
        .nest_service("/modules", ServeDir::new(modules))
        .layer(fresh)
        .with_state(Arc::new(SiteState { shown, controls }))
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], include_str!("page.js"))
}

async fn config(State(site): State<Arc<SiteState>>) -> Json<Value> {
    let Shown { service, sandbox, sdk_api_key, missing, access, .. } = &site.shown;
    Json(json!({
        "app": access.app, "service": service, "sandbox": sandbox, "sdk_api_key": sdk_api_key, "missing": missing,
        "sdk": format!("/modules/{}", PACKAGES[0].1), "client": format!("/modules/{}", PACKAGES[1].1),
    }))
}

/// A login of the demo: the page names a user and is that user. A real backend checks a password first.
#[derive(Deserialize)]
struct Login {
    user_id: String,
}

async fn login(State(site): State<Arc<SiteState>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Login>(&body) {
        Ok(Login { user_id }) => answer(site.controls.login(&site.shown.access, &user_id).await),
        Err(error) => answer(Err(error.to_string())),
    }
}

/// Action of a button.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
enum DemoAction {
    /// Every token that was minted until now has expired.
    Expire,
    /// A new key signs; Braze was given it before.
    Rotate,
    /// A new key signs, and Braze does not know it.
    RotateUnpublished,
    /// Braze is given the key that signs.
    Publish,
    /// The service is unreachable, or reachable again.
    Cut { cut: bool },
}

async fn act(State(site): State<Arc<SiteState>>, body: Bytes) -> Response {
    let controls = &site.controls;
    match serde_json::from_slice::<DemoAction>(&body) {
        Ok(DemoAction::Expire) => answer(controls.expire()),
        Ok(DemoAction::Rotate) => answer(controls.rotate(true).await),
        Ok(DemoAction::RotateUnpublished) => answer(controls.rotate(false).await),
        Ok(DemoAction::Publish) => answer(controls.publish_active().await),
        Ok(DemoAction::Cut { cut }) => answer(Ok(controls.cut(cut))),
        Err(error) => answer(Err(error.to_string())),
    }
}

fn answer(outcome: Result<Value, String>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response(),
    }
}
