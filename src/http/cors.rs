//! CORS (Fetch standard): exactly the origins that apps list, no wildcard, no credentials, never `null`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
};
use tower::util::MapRequestLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::AppState;

/// Request headers that pages may send. Beside the two of this API they are those that tracing libraries add to every
/// request of a page (W3C Trace Context and Baggage, Sentry); a refused one would stop the request.
const ALLOWED: [&str; 6] = ["content-type", "x-request-id", "traceparent", "tracestate", "baggage", "sentry-trace"];
/// Prefix of the headers that Datadog's library adds; their number grows with its versions.
const ALLOWED_PREFIX: &str = "x-datadog-";

/// CORS of a route, behind the filter of what a preflight asks for.
type Layer = (MapRequestLayer<fn(Request) -> Request>, CorsLayer);

/// Returns the layer for the routes that browsers call. A preflight does not name the app, so any app's origin passes
/// here; the handler checks it against the app's own list before anything else of the app is used.
pub(super) fn layer(state: &Arc<AppState>) -> Layer {
    let state = Arc::clone(state);
    let listed = move |origin: &HeaderValue, _: &_| {
        origin.to_str().is_ok_and(|origin| origin != "null" && state.issuer.knows_origin(origin, |_| true))
    };
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(listed))
        .allow_methods([Method::POST])
        // The headers that the filter leaves.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(Duration::from_mins(10));
    (MapRequestLayer::new(without_other_headers), cors)
}

/// Removes from a preflight the headers that are not allowed.
fn without_other_headers(mut request: Request) -> Request {
    let headers = request.headers_mut();
    let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|line| line.to_str().ok());
    let asked = asked.flat_map(|line| line.split(',')).map(str::trim).filter(|name| is_allowed(name));
    let allowed = asked.collect::<Vec<_>>().join(",");
    headers.remove(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if !allowed.is_empty()
        && let Ok(allowed) = HeaderValue::try_from(allowed)
    {
        headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, allowed);
    }
    request
}

fn is_allowed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_datadogs =
        |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    ALLOWED.contains(&name.as_str()) || name.strip_prefix(ALLOWED_PREFIX).is_some_and(is_datadogs)
}
