//! Routes of the second listener, for operators' machines: metrics, and the operators' API. Its address must not be public.

pub mod admin;
mod exposition;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    response::IntoResponse,
    routing::get,
};

use self::exposition::Exposition;
use crate::telemetry::Metrics;

/// Returns every route of the ops listener except health, which `app` adds.
pub fn router(metrics: Arc<Metrics>) -> Router {
    let scrape = move |headers: HeaderMap| async move {
        let exposition = Exposition::asked_for(&headers);
        let own =
            [(header::CONTENT_TYPE, exposition.content_type()), (header::VARY, HeaderValue::from_static("accept"))];
        (own, exposition.encode(&metrics)).into_response()
    };
    Router::new().route("/metrics", get(scrape))
}
