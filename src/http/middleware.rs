//! What every answer has in common: a request id, the security headers, problem documents for all errors, a deadline,
//! and an answer even where a handler panics.

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

use super::{health::Verbatim, problem::Problem};
use crate::{
    secret::{SystemEntropy, random},
    telemetry::{Alarm, Metrics},
};

/// The longest a whole request may take.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Puts the edge round a listener's routes; `metrics` counts its requests and refusals.
pub fn wrap(routes: Router, metrics: Option<Arc<Metrics>>) -> Router {
    let rung = metrics.clone();
    let panicked = move |_: Box<dyn Any + Send>| {
        // The panic hook has logged where; its text may hold what a client sent and goes no further.
        if let Some(metrics) = &rung {
            metrics.alarm(Alarm::Panic);
        }
        Problem::panicked().into_response()
    };
    routes.layer(CatchPanicLayer::custom(panicked)).layer(from_fn_with_state(metrics, edge))
}

/// The answer to a request that HTTP itself refuses (431, 400), for the listener to send.
pub fn refused_unread(status: StatusCode) -> (HeaderMap, Bytes) {
    let id = new_request_id();
    let response = finish(Problem::of_status(status).into_response(), &id, None);
    let problem = Problem::of_status(status);
    (response.headers().clone(), Bytes::from(problem.document(id.to_str().unwrap_or_default())))
}

async fn edge(State(metrics): State<Option<Arc<Metrics>>>, request: Request, next: Next) -> Response {
    if let Some(metrics) = &metrics {
        metrics.request();
    }
    let id = request.headers().get(REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_request_id);
    let response = tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await;
    let response = response.unwrap_or_else(|_| Problem::unavailable().into_response());
    finish(response, &id, metrics.as_deref())
}

fn finish(mut response: Response, id: &HeaderValue, metrics: Option<&Metrics>) -> Response {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if is_error && response.extensions().get::<Verbatim>().is_none() {
        response = to_problem(response, id, metrics);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Gives an error its document: the handler's own, or one for the bare status.
fn to_problem(response: Response, id: &HeaderValue, metrics: Option<&Metrics>) -> Response {
    let status = response.status();
    let own = response.extensions().get::<Arc<Problem>>().cloned();
    let problem = own.unwrap_or_else(|| Arc::new(Problem::of_status(status)));
    if let Some(metrics) = metrics {
        metrics.refused(problem.code.as_str());
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.extend(problem.headers());
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(problem.document(id.to_str().unwrap_or_default())))
}

/// Whether a caller's id may be echoed: short, and nothing a log or a header could trip over.
fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn new_request_id() -> HeaderValue {
    let bytes: [u8; 8] = random(&SystemEntropy).unwrap_or_default();
    HeaderValue::from_str(&format!("{:016x}", u64::from_be_bytes(bytes))).unwrap_or(HeaderValue::from_static("0"))
}
