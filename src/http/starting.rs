//! Routes of a public listener behind which there is no service yet.

use std::sync::Arc;

use axum::{Router, routing::get};

use super::{
    RequestObserver,
    health::{healthz, public_readiness},
    middleware,
    problem::Problem,
};
use crate::telemetry::Readiness;

/// Returns the routes of a public listener while the service waits for its store: health, and for everything else an
/// answer that says to try again.
pub fn starting_router(readiness: Arc<Readiness>, observer: RequestObserver) -> Router {
    let ready = move || async move { public_readiness(&readiness) };
    let routes = Router::new().route("/healthz", get(healthz)).route("/readyz", get(ready));
    middleware::wrap(routes.fallback(|| async { Problem::unavailable() }), observer)
}
