//! Middleware of every route: a request id, the span and the access line, the security headers, problem documents for all
//! errors, a deadline, and an answer even where a handler panics.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use super::{access::RequestObserver, health::OwnBody, problem::Problem};
use crate::{
    secret::{SystemEntropy, random},
    telemetry::Alarm,
};

/// Longest time for a whole request.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Wraps a listener's routes in this middleware; `observer` records its requests.
pub fn wrap(routes: Router, observer: RequestObserver) -> Router {
    let alarms = observer.metrics.clone();
    let panicked = move |_: Box<dyn Any + Send>| {
        // The panic hook has printed the place. The panic's text may hold what a client sent: it is not passed on.
        tracing::error!("a handler panicked: the request is answered with 500");
        if let Some(metrics) = &alarms {
            metrics.alarm(Alarm::Panic);
        }
        Problem::panicked().into_response()
    };
    routes.layer(CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(observer, respond))
}

/// Makes the response to a request that the listener refuses (400, 408, 413, 431, 501, 503), for the listener to send.
pub fn refused_unread(status: StatusCode, observer: &RequestObserver) -> (HeaderMap, Bytes) {
    let id = new_request_id();
    let record = observer.begin_unread(id.to_str().unwrap_or_default());
    let problem = Problem::of_status(status);
    let response = finish(problem.clone().into_response(), &id);
    record.end(&response);
    (response.headers().clone(), Bytes::from(problem.document(id.to_str().unwrap_or_default())))
}

async fn respond(State(observer): State<RequestObserver>, request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_request_id);
    let record = observer.begin(&request, id.to_str().unwrap_or_default());
    let response = tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).instrument(record.span()).await;
    let response = finish(response.unwrap_or_else(|_| Problem::unavailable().into_response()), &id);
    record.end(&response);
    response
}

fn finish(mut response: Response, id: &HeaderValue) -> Response {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if is_error && response.extensions().get::<OwnBody>().is_none() {
        response = to_problem(response, id);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Replaces the body of an error by a problem document: the handler's own problem, or the general one of its status.
fn to_problem(response: Response, id: &HeaderValue) -> Response {
    let status = response.status();
    let own = response.extensions().get::<Arc<Problem>>().cloned();
    let problem = own.unwrap_or_else(|| Arc::new(Problem::of_status(status)));
    let (mut parts, _) = response.into_parts();
    parts.extensions.insert(problem.code);
    parts.headers.extend(problem.headers());
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(problem.document(id.to_str().unwrap_or_default())))
}

/// Returns true where a caller's request id may be echoed: it is short, and safe in a log and in a header.
fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn new_request_id() -> HeaderValue {
    let bytes: [u8; 8] = random(&SystemEntropy).unwrap_or_default();
    HeaderValue::from_str(&hex::encode(bytes)).unwrap_or(HeaderValue::from_static("0"))
}
