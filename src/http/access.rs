//! Record of each request: its span, its access line, its metrics.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    response::Response,
};
use tracing::{Level, Span};

use super::{problem::Problem, problem_code::CodeName, traceparent::trace_id};
use crate::telemetry::{Alarm, Metrics, RequestLog, Stopwatch, request_span};

/// Routes whose successes have an access line too.
const TOKEN_ROUTES: &str = "/v1/token/";

/// Label of a request that no route matches: its path is the client's, and may hold a secret.
const UNMATCHED: &str = "unmatched";

/// Label of a method that HTTP does not define (RFC 9110 §9.3, RFC 5789).
const OTHER: &str = "other";

/// Status of a request whose client, or the listener's deadline, closed the connection before the answer.
const CLOSED: u16 = 499;

/// Observer of a listener's requests.
#[derive(Clone)]
pub struct RequestObserver {
    /// Counters of requests and refusals; the public listener has them only.
    pub metrics: Option<Arc<Metrics>>,
    /// Requests that have an access line.
    pub log: RequestLog,
}

impl RequestObserver {
    /// Begins the record of a request.
    pub(super) fn begin(&self, request: &Request, id: &str) -> RequestRecord {
        let route = request.extensions().get::<MatchedPath>().cloned();
        self.record(id, trace_id(request.headers()), known(request.method()), route)
    }

    /// Begins the record of a request that the listener refuses without reading it.
    pub(super) fn begin_unread(&self, id: &str) -> RequestRecord {
        self.record(id, None, OTHER, None)
    }

    fn record(
        &self,
        id: &str,
        trace_id: Option<&str>,
        method: &'static str,
        route: Option<MatchedPath>,
    ) -> RequestRecord {
        RequestRecord {
            span: request_span(id, trace_id, method, label(route.as_ref())),
            observer: self.clone(),
            method,
            route,
            watch: Stopwatch::start(),
            ended: false,
        }
    }

    fn writes_line(&self, route: &str, status: u16) -> bool {
        match self.log {
            RequestLog::All => status >= 400 || route.starts_with(TOKEN_ROUTES),
            RequestLog::Refusals => status >= 400,
            RequestLog::None => false,
        }
    }
}

/// Record of a request under way. Where it is dropped before its end, the request was given up.
pub(super) struct RequestRecord {
    span: Span,
    observer: RequestObserver,
    method: &'static str,
    route: Option<MatchedPath>,
    watch: Stopwatch,
    ended: bool,
}

impl RequestRecord {
    /// Span for all work on the request.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Counts an alarm that the request caused.
    pub(super) fn alarm(&self, alarm: Alarm) {
        if let Some(metrics) = &self.observer.metrics {
            metrics.alarm(alarm);
        }
    }

    /// Ends the record with the request's answer.
    pub(super) fn end(mut self, answer: &Response) {
        self.close(answer.status().as_u16(), answer.extensions().get::<Arc<Problem>>().map(|problem| problem.code));
    }

    fn close(&mut self, status: u16, code: Option<CodeName>) {
        self.ended = true;
        let took = self.watch.elapsed();
        let code = code.map(|name| name.code);
        let route = label(self.route.as_ref());
        if let Some(metrics) = &self.observer.metrics {
            metrics.request(route, self.method, status, took);
            if let Some(code) = code {
                metrics.refused(code);
            }
        }
        // The fields of a line that the level hides are not formatted.
        let is_visible = || tracing::enabled!(target: "countersign::access", Level::INFO);
        if self.observer.writes_line(route, status) && is_visible() {
            let latency_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
            tracing::record_all!(self.span, status = status, latency_ms = latency_ms);
            self.span.in_scope(|| tracing::info!(target: "countersign::access", code, "request"));
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if !self.ended {
            self.close(CLOSED, None);
        }
    }
}

/// Returns the label of a matched route.
fn label(route: Option<&MatchedPath>) -> &str {
    route.map_or(UNMATCHED, MatchedPath::as_str)
}

/// Returns the name of a method, of a closed set.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => OTHER,
    }
}
