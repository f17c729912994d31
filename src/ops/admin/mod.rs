//! Operators' API, `/admin/v1/`: every operation of the trait `Operations` as a route.
//!
//! A request passes `serving` (authentication, permission, body, repetition), one handler of `routes` (parse, one call,
//! encode), and `codes`, where an error gets its status. `document` describes all of it.

mod codes;
mod document;
mod refused;
mod route;
mod routes;
mod serving;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::Request,
    routing::{MethodFilter, get, on},
};

use crate::{
    http::Problem,
    operate::{Operator, wire},
};

pub use codes::AdminCode;
pub use refused::RefusedCredentials;
pub use route::{AdminRoute, QueryMember};
pub use routes::ROUTES;

/// State that the routes share.
pub struct AdminState {
    /// Operations on the service, by the settings in force.
    operator: Arc<ArcSwap<Operator>>,
    /// True where tokens may come in plain text from other machines: TLS is terminated in front.
    allow_plaintext: bool,
    refused: Arc<RefusedCredentials>,
}

impl AdminState {
    /// Makes the state of a listener.
    pub fn new(operator: Arc<ArcSwap<Operator>>, allow_plaintext: bool, refused: Arc<RefusedCredentials>) -> Self {
        Self { operator, allow_plaintext, refused }
    }
}

/// Returns the routes of the API.
pub fn router(state: &Arc<AdminState>) -> Router {
    let mut router = Router::new();
    for route in ROUTES.iter().copied().flatten() {
        let state = Arc::clone(state);
        let handler = move |request: Request| serving::serve(route, Arc::clone(&state), request);
        let method = if route.method == "POST" { MethodFilter::POST } else { MethodFilter::GET };
        router = router.route(&format!("{}{}", wire::BASE, route.path), on(method, handler));
    }
    let state = Arc::clone(state);
    let document = move |request: Request| async move {
        let (mut parts, _) = request.into_parts();
        serving::authenticated(&state, &mut parts).await?;
        Ok::<_, Problem>(Json(document::document()))
    };
    router.route(&format!("{}/openapi.json", wire::BASE), get(document))
}
