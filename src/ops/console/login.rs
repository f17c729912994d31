//! Login by operator token, and logout.

use std::{net::IpAddr, sync::Arc};

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
use crate::{
    domain::operator::ConsoleSecret,
    operate::{Authentication, OperationErrorKind, Operator},
};

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

/// Attempt to log in.
pub(super) struct Login<'a> {
    pub(super) state: &'a ConsoleState,
    pub(super) way: Protection,
    pub(super) request_id: String,
}

impl Login<'_> {
    /// Begins a session, where the token is the one of a live operator.
    pub(super) async fn begin(&self, token: &str, address: IpAddr) -> Response {
        let operator = self.state.operator();
        let authenticated = match operator.authenticate(Some(token.trim())).await {
            Ok(Authentication::Accepted(record)) => operator.console_sessions().begin(&record, &self.request_id).await,
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        match authenticated {
            Ok(Some(secret)) => with_cookie(see_other("/console"), &self.way.set_cookie(&secret.reveal())),
            Ok(None) => self.refused((*operator).clone(), address).await,
            Err(error) => {
                let is_outage = error.kind == OperationErrorKind::Unavailable;
                let status =
                    if is_outage { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
                stranger_notice(status, "Not logged in", error.message)
            }
        }
    }

    async fn refused(&self, operator: Operator, address: IpAddr) -> Response {
        self.state.refused.record(operator, address, &self.request_id).await;
        if self.state.refused.limit(address).is_err() {
            return form(
                StatusCode::TOO_MANY_REQUESTS,
                Some("Too many refused tokens from this address: wait a minute."),
            );
        }
        form(StatusCode::UNAUTHORIZED, Some(REFUSED))
    }
}

const REFUSED: &str = "This token is not accepted: it is mistyped, revoked or expired. `countersign operators list` shows \
     which are live.";

/// Ends the session of the cookie.
pub(super) async fn end(state: &Arc<ConsoleState>, way: Protection, headers: &HeaderMap) -> Response {
    if let Some(secret) = way.cookie(headers).and_then(ConsoleSecret::parse)
        && let Err(error) = state.operator().console_sessions().end(&secret).await
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
