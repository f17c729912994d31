//! `/healthz`: the process answers. `/readyz`: readiness of this node, on the ops listener with its conditions. Their
//! reasons name rings, files and commands, which the public listener shows to nobody.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use crate::telemetry::Readiness;

/// Answer of `/healthz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    /// Always `alive`.
    #[schema(value_type = String, example = "alive")]
    status: &'static str,
}

/// Reports that the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "Alive", body = Alive)))]
pub(super) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

/// Answer of `/readyz`.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// True where this node should get requests.
    ready: bool,
}

/// Reports whether this node should get requests. The ops listener reports the conditions too.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Ready", body = Ready),
        (status = 503, description = "Not ready", body = Ready),
    ),
)]
pub(super) async fn readyz(State(state): State<Arc<AppState>>) -> Response {
    public_readiness(&state.readiness)
}

/// Returns the answer of the public listener: no reasons.
pub(super) fn public_readiness(readiness: &Readiness) -> Response {
    let ready = readiness.report(false).ready;
    answer(ready, Ready { ready })
}

fn report(readiness: &Readiness, uri: &Uri) -> Response {
    let asks = |query: &str| query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    let report = readiness.report(uri.query().is_some_and(asks));
    answer(report.ready, report)
}

fn answer(ready: bool, body: impl Serialize) -> Response {
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, OwnBody, Json(body)).into_response()
}

/// Marker of a response that keeps its own body, although its status is an error.
#[derive(Clone, Copy)]
pub struct OwnBody;

impl axum::response::IntoResponseParts for OwnBody {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Returns the two health routes of the ops listener.
pub fn routes(readiness: Arc<Readiness>) -> Router {
    let ready = move |uri: Uri| async move { report(&readiness, &uri) };
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(ready))
}
