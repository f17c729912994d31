//! Routes of the second listener, for operators' machines: metrics. Its address must not be public.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::IntoResponse,
    routing::get,
};

use crate::telemetry::Metrics;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Returns every route of the ops listener except health, which `app` adds.
pub fn router(metrics: Arc<Metrics>) -> Router {
    let scrape = move || async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.encode()).into_response() };
    Router::new().route("/metrics", get(scrape))
}
