//! Middleware of every route: a request id, the span and the access line, the security headers, problem documents for all
//! errors, a deadline, and an answer even where a handler panics.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use bytes::Bytes;
use tower::Layer;

use super::{
    access::RequestObserver,
    finish::finish,
    problem::Problem,
    request_id::new_request_id,
    responding::{Observed, REQUEST_DEADLINE},
};

/// Layer of this middleware, with the observer that records the requests. Where routes have other layers too, all are
/// added in one step: for each step, a router clones what is inside for each request, and allocates a future.
#[derive(Clone)]
pub(super) struct Middleware {
    pub(super) observer: RequestObserver,
    /// Longest time for a whole request.
    pub(super) limit: Duration,
}

impl<S> Layer<S> for Middleware {
    type Service = Observed<S>;

    fn layer(&self, route: S) -> Observed<S> {
        Observed { route, observer: self.observer.clone(), limit: self.limit }
    }
}

/// Wraps a listener's routes in this middleware; `observer` records its requests.
pub fn wrap(routes: Router, observer: RequestObserver) -> Router {
    wrap_within(REQUEST_DEADLINE, routes, observer)
}

/// Wraps a listener's routes as [`wrap`] does, with another limit for the time of a request.
pub fn wrap_within(limit: Duration, routes: Router, observer: RequestObserver) -> Router {
    routes.layer(Middleware { observer, limit })
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
