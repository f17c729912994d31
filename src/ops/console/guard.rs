//! Checks of every request to the console: TLS or loopback, session, our own origin, the form's token, the role.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use super::{
    ConsoleState,
    form::{self, Fields, csrf_token, is_token},
    kept::Key,
    login,
    page::Reader,
    transport::Protection,
    visit::{Visit, see_other, stranger_notice},
};
use crate::{
    domain::{
        audit::Actor,
        operator::{ConsoleSecret, Role},
    },
    http::RequestId,
    operate::{OperationError, OperationErrorKind},
};

/// Rights that a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteRights {
    /// None: it makes a session.
    Nobody,
    /// A session.
    Reading,
    /// A session of an operator with [`Role::Operator`].
    Changing,
}

/// Route as the guard knows it.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) state: Arc<ConsoleState>,
    pub(super) rights: RouteRights,
    pub(super) section: &'static str,
}

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Adds the headers of every answer of the console.
pub(super) async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    // `no-referrer` would make browsers send our own forms with the origin `null`.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Answers 404 while there is no live operator.
pub(super) async fn open_for_operators(state: Arc<ConsoleState>, request: Request, next: Next) -> Response {
    match state.operator().has_operators().await {
        Ok(false) => StatusCode::NOT_FOUND.into_response(),
        // Without the store, pages that were kept may be shown; the guard decides.
        Ok(true) | Err(_) => next.run(request).await,
    }
}

impl Guard {
    /// Checks a request, and runs its handler in the operator's name.
    pub(super) async fn run(self, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        let way = self.state.protection(&parts);
        if way == Protection::None {
            return stranger_notice(StatusCode::FORBIDDEN, "No TLS", NO_TLS.to_owned());
        }
        if parts.method == Method::POST && !way.is_own_origin(&parts.headers) {
            return stranger_notice(StatusCode::FORBIDDEN, "Foreign origin", FOREIGN_ORIGIN.to_owned());
        }
        let form = match form::read(body).await {
            Ok(body) => Fields::parse(&body),
            Err((status, title, sentence)) => return stranger_notice(status, title, sentence.to_owned()),
        };
        if self.rights == RouteRights::Nobody {
            return self.without_session(way, &parts, &form).await;
        }
        let Some(secret) = way.cookie(&parts.headers).and_then(ConsoleSecret::parse) else {
            return no_session(&parts.method);
        };
        match self.visit(&secret, &parts, form).await {
            Ok(Some(visit)) => self.admitted(visit, secret, way, parts, next).await,
            Ok(None) => {
                self.state.kept.forget(&secret);
                no_session(&parts.method)
            }
            Err(error) => self.unreachable(&secret, &parts, &error),
        }
    }

    async fn without_session(&self, way: Protection, parts: &Parts, form: &Fields) -> Response {
        if parts.method == Method::POST {
            let login = login::Login { state: &self.state, way, request_id: request_id().await };
            return login.begin(form.text("token"), self.state.address(parts)).await;
        }
        login::form(StatusCode::OK, None)
    }

    async fn visit(
        &self,
        secret: &ConsoleSecret,
        parts: &Parts,
        form: Fields,
    ) -> Result<Option<Visit>, OperationError> {
        // A page that looks for news by itself keeps no session alive.
        let is_use = !parts.headers.contains_key("x-live");
        let sessions = self.state.operator().console_sessions();
        let Some(record) = sessions.operator(secret, is_use).await? else { return Ok(None) };
        let actor = Actor::of_request(format!("operator {}", record.name), request_id().await);
        let reader = Reader { name: record.name, role: record.role, csrf: csrf_token(secret) };
        Ok(Some(Visit {
            console: Arc::clone(&self.state),
            operations: self.state.operations_of(actor, record.role),
            reader,
            section: self.section,
            query: Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            form,
            now: self.state.now(),
        }))
    }

    async fn admitted(
        &self,
        visit: Visit,
        secret: ConsoleSecret,
        way: Protection,
        mut parts: Parts,
        next: Next,
    ) -> Response {
        let is_form = parts.method == Method::POST;
        if is_form && !is_token(visit.form.text("csrf"), &visit.reader.csrf) {
            return stranger_notice(StatusCode::FORBIDDEN, "Not our form", NO_TOKEN.to_owned());
        }
        if self.rights == RouteRights::Changing && visit.reader.role != Role::Operator {
            return visit.forbidden();
        }
        // Other methods on its path reach the router, which refuses them: a foreign page may send a GET.
        if is_form && parts.uri.path() == LOGOUT {
            self.state.kept.forget(&secret);
            return login::end(&self.state, way, &parts.headers).await;
        }
        let (key, now, shown) = (Key::of(&secret, &parts.uri), visit.now, visit.clone());
        parts.extensions.insert(visit);
        let answer = next.run(Request::from_parts(parts, Body::empty()));
        if is_form {
            done_whoever_waits(answer, shown).await
        } else {
            self.state.kept.keep(key, now, answer.await).await
        }
    }

    /// Answers while the store is out of reach: with a page that this session has seen lately.
    fn unreachable(&self, secret: &ConsoleSecret, parts: &Parts, error: &OperationError) -> Response {
        let kept = if parts.method == Method::GET {
            self.state.kept.find(&Key::of(secret, &parts.uri), self.state.now())
        } else {
            None
        };
        let is_outage = error.kind == OperationErrorKind::Unavailable;
        let status = if is_outage { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        kept.unwrap_or_else(|| stranger_notice(status, "Out of reach", error.message.clone()))
    }
}

/// Does an act to its end, also where nobody waits for it any more: half of it is worse than all of it.
async fn done_whoever_waits(answer: impl Future<Output = Response> + Send + 'static, visit: Visit) -> Response {
    match tokio::time::timeout(PATIENCE, tokio::spawn(answer.in_current_span())).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => visit.failed(&OperationError::new(
            OperationErrorKind::Failed,
            "It failed: look at the log of the service, and at what was done.",
        )),
        Err(_) => visit.failed(&OperationError::new(
            OperationErrorKind::Unavailable,
            "It takes longer than 14 s, and goes on: look at its outcome before you send the form again.",
        )),
    }
}

/// Longest time for which a form waits for its act: a rotation waits some 12 s for nodes.
const PATIENCE: Duration = Duration::from_secs(14);

/// Path of the logout, which the guard itself does.
pub(super) const LOGOUT: &str = "/console/logout";

const NO_TLS: &str = "The console was asked for over plain HTTP from another machine. Put TLS in front, and name the \
     proxy in server.trusted_proxies (it must send X-Forwarded-Proto: https); or use a tunnel to loopback.";
const FOREIGN_ORIGIN: &str = "Nothing was done: the form was not sent by a page of this console (its Origin is missing \
     or another one). Behind a proxy, name it in server.trusted_proxies, and let it keep Host.";
const NO_TOKEN: &str = "Nothing was done: the form does not have the token of this session. Open the page again, and \
     send it from there.";

/// Answer to somebody whose session is over.
fn no_session(method: &Method) -> Response {
    if method == Method::POST {
        let sentence = "Nothing was done: this session is over. Log in again, and repeat it.";
        return stranger_notice(StatusCode::UNAUTHORIZED, "Logged out", sentence.to_owned());
    }
    see_other("/console/login")
}

/// Id of the request that is being answered.
async fn request_id() -> String {
    let (mut parts, ()) = axum::http::Request::new(()).into_parts();
    let Ok(id) = RequestId::from_request_parts(&mut parts, &()).await;
    id.as_str().to_owned()
}
