//! End of every response: the headers that all have, and a problem document for each error.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{health::OwnBody, problem::Problem, request_id::REQUEST_ID};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Adds the headers that every response has, and makes an error a problem document.
pub(super) fn finish(mut response: Response, id: &HeaderValue) -> Response {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if is_error && response.extensions().get::<OwnBody>().is_none() {
        response = to_problem(response, id);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Pages with forms have another one: under `no-referrer`, browsers send forms with the origin `null`.
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    response
}

/// Replaces the body of an error by a problem document: the handler's own problem, or the general one of its status.
fn to_problem(response: Response, id: &HeaderValue) -> Response {
    let (mut parts, _) = response.into_parts();
    if parts.extensions.get::<Arc<Problem>>().is_none() {
        let (general, _) = Problem::of_status(parts.status).into_response().into_parts();
        parts.headers.extend(general.headers);
        parts.extensions.extend(general.extensions);
    }
    let problem = parts.extensions.get::<Arc<Problem>>();
    let document = problem.map(|problem| problem.document(id.to_str().unwrap_or_default()));
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(document.unwrap_or_default()))
}
