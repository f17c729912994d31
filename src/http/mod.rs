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
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

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
    let cors = cors::layer(state);
    let (api, document) = OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(generate::generate))
        .routes(routes!(exchange::exchange).layer(cors::exchange_layer(state)))
        .routes(routes!(refresh::refresh).layer(cors.clone()))
        .routes(routes!(revoke::revoke).layer(cors.clone()))
        .routes(routes!(failures::report).layer(cors))
        .routes(routes!(sign_out::backchannel))
        .routes(routes!(jwks::jwks))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .split_for_parts();
    let nothing = || async { Problem::not_found("/docs shows what there is") };
    let routes = api.with_state(Arc::clone(state)).merge(openapi::pages(document)).fallback(nothing);
    middleware::wrap(routes, RequestObserver { metrics: Some(Arc::clone(&state.metrics)), log: state.request_log })
}
