//! `/healthz`: the process answers. `/readyz`: readiness of the service, with the conditions that fail.

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
use crate::telemetry::{Readiness, ReadinessReport};

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

/// Reports whether the service is ready for requests, and the conditions that fail.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "Adds what an operator should look at")),
    responses(
        (status = 200, description = "Ready", body = ReadinessReport),
        (status = 503, description = "Not ready", body = ReadinessReport),
    ),
)]
pub(super) async fn readyz(State(state): State<Arc<AppState>>, uri: Uri) -> Response {
    report(&state.readiness, &uri)
}

fn report(readiness: &Readiness, uri: &Uri) -> Response {
    let asks = |query: &str| query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    let report = readiness.report(uri.query().is_some_and(asks));
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, OwnBody, Json(report)).into_response()
}

/// Marker of a response that keeps its own body, although its status is an error.
#[derive(Clone, Copy)]
pub(super) struct OwnBody;

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

/// Returns the two health routes, for another listener.
pub fn routes(readiness: Arc<Readiness>) -> Router {
    let ready = move |uri: Uri| async move { report(&readiness, &uri) };
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(ready))
}
