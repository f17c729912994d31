//! CORS (Fetch standard): exactly the origins that apps list, no wildcard, no credentials, never `null`.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::AppState;

/// Returns the layer for the routes that browsers call. A preflight does not name the app, so any app's origin passes
/// here; the handler checks it against the app's own list before anything else of the app is used.
pub(super) fn layer(state: &Arc<AppState>) -> CorsLayer {
    let state = Arc::clone(state);
    let listed = move |origin: &HeaderValue, _: &_| {
        origin.to_str().is_ok_and(|origin| origin != "null" && state.issuer.knows_origin(origin))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(listed))
        .allow_methods([Method::POST])
        .allow_headers([
            header::CONTENT_TYPE,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("traceparent"),
        ])
        .expose_headers([header::RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(Duration::from_mins(10))
}
