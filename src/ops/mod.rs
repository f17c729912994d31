//! Routes of the second listener, for operators' machines: metrics, the operators' API, and the console. Its address must
//! not be public.

pub mod admin;
mod allowed_hosts;
pub mod console;
mod exposition;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    middleware,
    response::IntoResponse,
    routing::get,
};

pub use self::allowed_hosts::AllowedHosts;

use self::{allowed_hosts::check_host, exposition::Exposition};
use crate::{http::Problem, operate::wire, telemetry::Metrics};

/// Longest time for a whole request: operators wait for Braze, and for nodes.
pub const DEADLINE: Duration = wire::DEADLINE;

/// Returns every route of the ops listener, with those of `operators` (the operators' API and the console), except health,
/// which `app` adds: load balancers and supervisors ask for it by whatever name they have. All others answer only to the
/// names of this listener.
pub fn router(metrics: Arc<Metrics>, hosts: Arc<AllowedHosts>, operators: Router) -> Router {
    let scrape = move |headers: HeaderMap| async move {
        let exposition = Exposition::asked_for(&headers);
        let own =
            [(header::CONTENT_TYPE, exposition.content_type()), (header::VARY, HeaderValue::from_static("accept"))];
        (own, exposition.encode(&metrics)).into_response()
    };
    let nothing =
        || async { Problem::not_found("this listener has /metrics, /healthz, /readyz, /admin/v1/ and /console") };
    let routes = Router::new().route("/metrics", get(scrape)).merge(operators).fallback(nothing);
    routes.layer(middleware::from_fn_with_state(hosts, check_host))
}
