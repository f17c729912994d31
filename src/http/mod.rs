//! The public listener's routes: parse, one call, encode.

mod access;
mod body;
mod body_faults;
mod caller;
mod cors;
mod credential_problems;
mod exchange;
mod failures;
mod finish;
mod generate;
mod health;
mod jwks;
mod limits;
pub mod middleware;
mod openapi;
mod openapi_refusals;
mod presented_token;
mod problem;
mod problem_code;
mod proxies;
mod refresh;
mod refused_credentials;
mod reported_failure;
mod request_id;
mod responding;
mod response;
mod revocation;
mod revoke;
mod sign_in;
mod sign_out;
mod starting;
mod traceparent;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::middleware::Middleware;
use crate::{
    clock::ClockGuard,
    failures::Reports,
    identity::{ApiKeyAuthenticator, SignIns},
    issue::Issuer,
    telemetry::{Metrics, Readiness, RequestLog},
};

pub use access::RequestObserver;
pub use body::{BODY_DEADLINE, RequestText, Strict};
pub use body_faults::RequestBody;
pub use caller::bearer;
pub use health::{OwnBody, routes as health_routes};
pub use jwks::{Jwks, JwksConfig};
pub use limits::{LimitConfig, Limits, Quota};
pub use problem::Problem;
pub use problem_code::{CodeName, ProblemCode};
pub use proxies::Proxies;
pub use refused_credentials::{RefusedKeys, RefusedSignIns};
pub use request_id::RequestId;
pub use responding::REQUEST_DEADLINE;
pub use starting::starting_router;

/// State that the handlers share.
pub struct AppState {
    pub issuer: Issuer,
    pub api_keys: ApiKeyAuthenticator,
    pub sign_ins: SignIns,
    pub refused_keys: RefusedKeys,
    pub refused_sign_ins: RefusedSignIns,
    pub limits: ArcSwap<Limits>,
    pub proxies: Proxies,
    pub jwks: Jwks,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    /// Intake of failures that apps report.
    pub reports: Reports,
    /// Requests that have an access line.
    pub request_log: RequestLog,
    pub clock: Arc<ClockGuard>,
}

/// Returns true where any token route would accept this body; for fuzzing.
pub fn accepts_body(bytes: &[u8]) -> bool {
    body::decode::<generate::GenerateRequest>(bytes).is_ok()
        || body::decode::<exchange::ExchangeRequest>(bytes).is_ok()
        || body::decode::<refresh::RefreshRequest>(bytes).is_ok()
        || body::decode::<revoke::RevokeRequest>(bytes).is_ok()
        || body::decode::<failures::FailureRequest>(bytes).is_ok()
}

/// Returns every public route.
pub fn router(state: &Arc<AppState>) -> Router {
    let observer = RequestObserver { metrics: Some(Arc::clone(&state.metrics)), log: state.request_log };
    let middleware = Middleware { observer: observer.clone(), limit: REQUEST_DEADLINE };
    let exchange = OpenApiRouter::new()
        .routes(routes!(exchange::exchange))
        .layer((middleware.clone(), cors::exchange_layer(state)));
    let of_browsers = OpenApiRouter::new()
        .routes(routes!(refresh::refresh))
        .routes(routes!(revoke::revoke))
        .routes(routes!(failures::report))
        .layer((middleware.clone(), cors::layer(state)));
    let of_others = OpenApiRouter::new()
        .routes(routes!(generate::generate))
        .routes(routes!(sign_out::backchannel))
        .routes(routes!(jwks::jwks))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .layer(middleware);
    let api = OpenApiRouter::with_openapi(openapi::frame()).merge(of_others).merge(exchange).merge(of_browsers);
    let (api, document) = api.split_for_parts();
    let nothing = || async { Problem::not_found("/docs shows what there is") };
    let pages = middleware::wrap(openapi::pages(document).fallback(nothing), observer);
    pages.merge(api.with_state(Arc::clone(state)))
}
