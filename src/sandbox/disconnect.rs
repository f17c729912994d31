//! Closing of a connection without an answer, as broken networks do.

use axum::{body::Body, response::Response};

/// Marker of a response that is never sent: the listener closes the connection instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the sandbox was asked to close the connection")]
pub(super) struct Disconnect;

/// Returns a response that closes the connection.
pub(super) fn disconnect() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Disconnect);
    response
}
