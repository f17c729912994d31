//! CORS (Fetch standard): exactly the origins that apps list, no wildcard, never `null`; no credentials, but for an
//! exchange with a cookie.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
};
use tower::util::MapRequestLayer;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};

use super::AppState;
use crate::domain::ids::AppName;

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
    (MapRequestLayer::new(filter), cors(state))
}

/// Returns the layer for the exchange: pages may send `Authorization` and, where an app that lists their origin takes a
/// cookie, cookies.
pub(super) fn exchange_layer(state: &Arc<AppState>) -> Layer {
    let apps = Arc::clone(state);
    let takes_cookies =
        move |origin: &HeaderValue, _: &_| is_listed(&apps, origin, |app| !apps.sign_ins.cookies(app).is_empty());
    let cors = cors(state).allow_credentials(AllowCredentials::predicate(takes_cookies));
    (MapRequestLayer::new(filter_of_exchange), cors)
}

fn cors(state: &Arc<AppState>) -> CorsLayer {
    let state = Arc::clone(state);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_listed(&state, origin, |_| true)))
        .allow_methods([Method::POST])
        // The headers that the filter leaves.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(Duration::from_mins(10))
}

/// Returns true for an origin that one of these apps lists.
fn is_listed(state: &AppState, origin: &HeaderValue, is_one: impl Fn(&AppName) -> bool) -> bool {
    origin.to_str().is_ok_and(|origin| origin != "null" && state.issuer.knows_origin(origin, is_one))
}

fn filter(request: Request) -> Request {
    without_other_headers(request, is_allowed)
}

fn filter_of_exchange(request: Request) -> Request {
    without_other_headers(request, |name| is_allowed(name) || name.eq_ignore_ascii_case("authorization"))
}

/// Removes from a preflight the headers that are not allowed.
fn without_other_headers(mut request: Request, is_allowed: fn(&str) -> bool) -> Request {
    if request.method() != Method::OPTIONS {
        return request;
    }
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
