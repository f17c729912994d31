//! Span of one request: every event of the request carries its fields. Rooms add to it what they learn.

use std::fmt::Display;

use tracing::{
    Span,
    field::{Empty, display},
};

/// Target of the span, which no filter removes.
pub(super) const TARGET: &str = "countersign::request";

/// Makes the span of a request. `method` and `route` come from closed sets: what a client sends may be secret.
pub fn request_span(request_id: &str, trace_id: Option<&str>, method: &str, route: &str) -> Span {
    tracing::error_span!(
        target: TARGET,
        "request",
        request_id,
        trace_id,
        method,
        route,
        client = Empty,
        app = Empty,
        session = Empty,
        status = Empty,
        latency_ms = Empty,
    )
}

/// Adds the authenticated client to the span of the current request.
pub fn record_client(client: &impl Display) {
    Span::current().record("client", display(client));
}

/// Adds the app to the span of the current request.
pub fn record_app(app: &impl Display) {
    Span::current().record("app", display(app));
}

/// Adds the session and its app to the span of the current request, at once: it is searched for each record.
pub fn record_session_of(app: &impl Display, session: &impl Display) {
    tracing::record_all!(Span::current(), app = display(app), session = display(session));
}

/// Adds the session to the span of the current request.
pub fn record_session(session: &impl Display) {
    Span::current().record("session", display(session));
}
