//! CORS (Fetch standard): exactly the origins that apps list, no wildcard, never `null`; no credentials, but for an
//! exchange with a cookie.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
};
use tower::{Layer, Service};
use tower_http::cors::{self, AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};

use super::AppState;
use crate::domain::ids::AppName;

/// Request headers that pages may send. Beside the two of this API they are those that tracing libraries add to every
/// request of a page (W3C Trace Context and Baggage, Sentry); a refused one would stop the request.
const ALLOWED: [&str; 6] = ["content-type", "x-request-id", "traceparent", "tracestate", "baggage", "sentry-trace"];
/// Prefix of the headers that Datadog's library adds; their number grows with its versions.
const ALLOWED_PREFIX: &str = "x-datadog-";

/// Request headers on which an answer's CORS headers depend. Every answer names them (Fetch, "CORS protocol and HTTP
/// caches").
const VARY: &str = "origin, access-control-request-headers";

/// Layer of the routes that browsers call.
#[derive(Clone)]
pub(super) struct CrossOrigin {
    cors: Arc<CorsLayer>,
    /// Tells the request headers that a page may send.
    allows_header: fn(&str) -> bool,
}

/// Returns the layer for the routes that browsers call. A preflight does not name the app, so any app's origin passes
/// here; the handler checks it against the app's own list before anything else of the app is used.
pub(super) fn layer(state: &Arc<AppState>) -> CrossOrigin {
    CrossOrigin { cors: Arc::new(cors(state)), allows_header: is_allowed }
}

/// Returns the layer for the exchange: pages may send `Authorization` and, where an app that lists their origin takes a
/// cookie, cookies.
pub(super) fn exchange_layer(state: &Arc<AppState>) -> CrossOrigin {
    let apps = Arc::clone(state);
    let takes_cookies =
        move |origin: &HeaderValue, _: &_| is_listed(&apps, origin, |app| !apps.sign_ins.cookies(app).is_empty());
    let cors = cors(state).allow_credentials(AllowCredentials::predicate(takes_cookies));
    CrossOrigin {
        cors: Arc::new(cors),
        allows_header: |name| is_allowed(name) || name.eq_ignore_ascii_case("authorization"),
    }
}

impl<S> Layer<S> for CrossOrigin {
    type Service = OfBrowsers<S>;

    fn layer(&self, route: S) -> OfBrowsers<S> {
        OfBrowsers { route, layer: self.clone() }
    }
}

/// Route that browsers call. A request that no page sent skips the layer of CORS: there is nothing to decide, and the
/// layer would build its headers all the same.
#[derive(Clone)]
pub(super) struct OfBrowsers<S> {
    route: S,
    layer: CrossOrigin,
}

impl<S> Service<Request> for OfBrowsers<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let is_preflight = request.method() == Method::OPTIONS;
        if !is_preflight && !request.headers().contains_key(header::ORIGIN) {
            return Answer::ToOthers(self.route.call(request));
        }
        if is_preflight {
            keep_headers(&mut request, self.layer.allows_header);
        }
        Answer::ToPage(self.layer.cors.layer(&mut self.route).call(request))
    }
}

/// Answer to a page, or to a caller that is none.
pub(super) enum Answer<F> {
    ToPage(cors::ResponseFuture<F>),
    ToOthers(F),
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Answer<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::ToPage(answer) => Pin::new(answer).poll(cx),
            Self::ToOthers(answer) => {
                let mut response = ready!(Pin::new(answer).poll(cx))?;
                response.headers_mut().insert(header::VARY, HeaderValue::from_static(VARY));
                Poll::Ready(Ok(response))
            }
        }
    }
}

fn cors(state: &Arc<AppState>) -> CorsLayer {
    let state = Arc::clone(state);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_listed(&state, origin, |_| true)))
        .allow_methods([Method::POST])
        // Those that `keep_headers` leaves.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(Duration::from_mins(10))
}

/// Returns true for an origin that one of these apps lists.
fn is_listed(state: &AppState, origin: &HeaderValue, is_one: impl Fn(&AppName) -> bool) -> bool {
    origin.to_str().is_ok_and(|origin| origin != "null" && state.issuer.knows_origin(origin, is_one))
}

/// Removes the headers that are not allowed from what a preflight asks for.
fn keep_headers(preflight: &mut Request, allows: fn(&str) -> bool) {
    let headers = preflight.headers_mut();
    let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|line| line.to_str().ok());
    let asked = asked.flat_map(|line| line.split(',')).map(str::trim).filter(|name| allows(name));
    let allowed = asked.collect::<Vec<_>>().join(",");
    headers.remove(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if !allowed.is_empty()
        && let Ok(allowed) = HeaderValue::try_from(allowed)
    {
        headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, allowed);
    }
}

fn is_allowed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_datadogs =
        |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    ALLOWED.contains(&name.as_str()) || name.strip_prefix(ALLOWED_PREFIX).is_some_and(is_datadogs)
}
