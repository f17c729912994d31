//! Requests to routes of this process.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderName, Method, header},
    response::Response,
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// Text of a failed action.
pub(super) type Failure = String;

/// Calls a route with a JSON body and these headers, as somebody on this machine does.
pub(super) async fn call_json(
    routes: &Router,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: &Value,
) -> Result<Value, Failure> {
    let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 0))));
    let body = Body::from(if body.is_null() { String::new() } else { body.to_string() });
    call(routes, request.body(body).map_err(|error| error.to_string())?).await
}

/// Calls routes of this process; a status other than 2xx is a failure. An empty body is `null`.
async fn call(routes: &Router, request: Request) -> Result<Value, Failure> {
    let Ok(response): Result<Response, std::convert::Infallible> = routes.clone().oneshot(request).await;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    match status.is_success() {
        true if body.is_empty() => Ok(Value::Null),
        true => serde_json::from_slice(&body).map_err(|error| error.to_string()),
        false => Err(String::from_utf8_lossy(&body).into_owned()),
    }
}
