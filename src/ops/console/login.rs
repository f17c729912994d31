//! Login by operator token, and logout.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    ConsoleState,
    page::{Page, StateSentence, render_as},
    transport::Protection,
    visit::{see_other, stranger_notice},
};
use crate::{domain::operator::ConsoleSecret, operate::OperationErrorKind};

/// Page that asks for a token.
#[derive(askama::Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: Page,
    error: Option<&'static str>,
}

/// Shows the form.
pub(super) fn form(status: StatusCode, error: Option<&'static str>) -> Response {
    let sentence =
        "The console of this signing server. A session ends after 30 minutes without use, and after 8 hours.";
    let page = Page { title: "Log in".to_owned(), section: "", state: StateSentence::neutral(sentence), who: None };
    render_as(status, &LoginPage { page, error })
}

/// Begins a session.
pub(super) async fn begin(state: &Arc<ConsoleState>, way: Protection, token: &str, request_id: &str) -> Response {
    match state.operator.console_sessions().begin(token.trim(), request_id).await {
        Ok(Some((secret, _))) => with_cookie(see_other("/console"), &way.set_cookie(&secret.reveal())),
        Ok(None) => form(
            StatusCode::UNAUTHORIZED,
            Some(
                "This token is not accepted: it is mistyped, revoked or expired. `countersign operators list` shows which are live.",
            ),
        ),
        Err(error) => {
            let is_outage = error.kind == OperationErrorKind::Unavailable;
            let status = if is_outage { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
            stranger_notice(status, "Not logged in", error.message)
        }
    }
}

/// Ends the session of the cookie.
pub(super) async fn end(state: &Arc<ConsoleState>, way: Protection, headers: &HeaderMap) -> Response {
    if let Some(secret) = way.cookie(headers).and_then(ConsoleSecret::parse)
        && let Err(error) = state.operator.console_sessions().end(&secret).await
    {
        return stranger_notice(StatusCode::SERVICE_UNAVAILABLE, "Not logged out", error.message);
    }
    with_cookie(see_other("/console/login"), &way.set_cookie(""))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
