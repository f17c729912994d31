//! The demo's site: a page, and the backend that an app would have.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

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

use super::{Shown, controls::Controls, sample::SampleConsole};

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
    console: Arc<SampleConsole>,
    modules: PathBuf,
}

/// Returns the policy of the page: scripts and styles are files of the site; the SDK calls the local Braze, whose page
/// stands in a frame, and the client calls the service.
fn content_security_policy(shown: &Shown) -> HeaderValue {
    let Shown { service, sandbox, .. } = shown;
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self' {service} {sandbox}; frame-src {sandbox}; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'",
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Style sheet, with the palette that all pages share.
const STYLE: &str = concat!(include_str!("../ops/console/assets/palette.css"), include_str!("page.css"));

/// Makes the routes of the site.
pub(super) fn routes(shown: Shown, controls: Controls, console: Arc<SampleConsole>, modules: &Path) -> Router {
    let fresh = SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, content_security_policy(&shown));
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/page.css", get(async || file("text/css", STYLE)))
        .route("/page.js", get(async || file("text/javascript", include_str!("page.js"))))
        .route("/traffic.js", get(async || file("text/javascript", include_str!("traffic.js"))))
        .route("/view.js", get(async || file("text/javascript", include_str!("view.js"))))
        .route("/demo/config", get(config))
        .route("/demo/console", get(async |State(site): State<Arc<SiteState>>| Json(site.console.state())))
        .route("/demo/login", post(login))
        .route("/demo/act", post(act))
        .nest_service("/modules", ServeDir::new(modules))
        .layer(fresh)
        .layer(policy)
        .with_state(Arc::new(SiteState { shown, controls, console, modules: modules.to_owned() }))
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn config(State(site): State<Arc<SiteState>>) -> Json<Value> {
    let Shown { service, sandbox, sdk_api_key, access, .. } = &site.shown;
    let modules = std::path::absolute(&site.modules).unwrap_or_else(|_| site.modules.clone());
    Json(json!({
        "app": access.app, "service": service, "sandbox": sandbox, "sdk_api_key": sdk_api_key,
        // Looked up anew: packages that were installed meanwhile need no other start.
        "missing": missing(&site.modules), "modules": modules,
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
