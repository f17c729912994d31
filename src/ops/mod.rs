//! Routes of the second listener, for operators' machines: metrics, and the operators' API. Its address must not be public.

pub mod admin;
mod allowed_hosts;
mod exposition;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    middleware,
    response::IntoResponse,
    routing::get,
};

pub use self::allowed_hosts::AllowedHosts;

use self::{allowed_hosts::check_host, exposition::Exposition};
use crate::{http::Problem, telemetry::Metrics};

/// Returns every route of the ops listener, with those of the operators' API, except health, which `app` adds: load balancers and supervisors ask for it by
/// whatever name they have. All others answer only to the names of this listener.
pub fn router(metrics: Arc<Metrics>, hosts: Arc<AllowedHosts>, admin: Router) -> Router {
    let scrape = move |headers: HeaderMap| async move {
        let exposition = Exposition::asked_for(&headers);
        let own =
            [(header::CONTENT_TYPE, exposition.content_type()), (header::VARY, HeaderValue::from_static("accept"))];
        (own, exposition.encode(&metrics)).into_response()
    };
    let nothing = || async { Problem::not_found("this listener has /metrics, /healthz, /readyz and /admin/v1/") };
    let routes = Router::new().route("/metrics", get(scrape)).merge(admin).fallback(nothing);
    routes.layer(middleware::from_fn_with_state(hosts, check_host))
}
