//! Endpoints that the SDKs call: `POST /api/v3/…`.
//!
//! The order of the checks is the most likely one: API key, user ids, enforcement, token. Sources: the Web SDK's
//! requests and its treatment of answers, and Braze's page "Set up SDK authentication".

mod endpoint;
mod judgement;
mod request;
mod response;

use std::sync::Arc;

use axum::{
    Router,
    extract::State as Extract,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;

use super::{
    disconnect::disconnect,
    journal::{Journal, Received, Unregistered},
    local_braze::LocalBraze,
    push_tokens::PushToken,
    switches::{Connection, Outage},
};
use crate::domain::verdict::{ErrorCode, Unverified};
use endpoint::Endpoint;
use judgement::judge_request;
use request::SdkRequest;

/// Returns the routes of the SDK endpoints.
pub(super) fn routes() -> Router<Arc<LocalBraze>> {
    Endpoint::ALL.into_iter().fold(Router::new(), |router, endpoint| {
        let handle = async move |Extract(braze): Extract<Arc<LocalBraze>>, headers: HeaderMap, body: Bytes| {
            with_cors(receive(&braze, endpoint, &headers, &body), &headers)
        };
        let preflight = async |Extract(braze): Extract<Arc<LocalBraze>>, headers: HeaderMap| {
            let response = outage(&braze).unwrap_or_else(|| StatusCode::NO_CONTENT.into_response());
            with_cors(response, &headers)
        };
        router.route(&format!("/api/v3{}", endpoint.path()), post(handle).options(preflight))
    })
}

/// Adds the CORS headers that let a page of any origin call and read. The set of the SDK's request headers differs by
/// its version, so every requested header is allowed.
fn with_cors(mut response: Response, request: &HeaderMap) -> Response {
    let requested = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS");
    set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After");
    if let Some(requested) = requested {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested);
    }
    response
}

/// Returns the response during an outage, or `None` if there is no outage.
fn outage(braze: &LocalBraze) -> Option<Response> {
    let switches = braze.with(|state, _| state.switches.clone());
    switches.outage.map(|outage| match outage {
        Outage::Connection(Connection::Drop) => disconnect(),
        Outage::Status(status) => response::outage(&switches, status),
    })
}

fn receive(braze: &LocalBraze, endpoint: Endpoint, headers: &HeaderMap, body: &[u8]) -> Response {
    if let Some(response) = outage(braze) {
        return response;
    }
    let switches = braze.with(|state, _| state.switches.clone());
    let Some(request) = SdkRequest::read(headers, body) else {
        return response::not_json();
    };
    let Some(app) = app_of(braze, &request) else {
        return response::invalid_api_key();
    };
    let judgement = judge_request(braze, app, &request, &switches);
    let accepted = judgement.is_accepted();
    let record = braze.with(|state, now| {
        let name = state.apps[app].name.clone();
        let push = unregistered(&state.journal, &name, endpoint, &request);
        if accepted {
            keep(&mut state.journal, &name, &request, push.as_ref());
        }
        let received = Received {
            seq: 0,
            time: now,
            app: name,
            path: format!("/api/v3{}", endpoint.path()),
            user_ids: request.user_ids(),
            attempt: request.attempt,
            has_token: request.token.is_some(),
            claims: request.token.as_deref().and_then(|token| Unverified::read(token).ok()).map(|token| token.claims),
            accepted,
            code: judgement.code.map(ErrorCode::number),
            reason: judgement.code.map(ErrorCode::reason),
            text: judgement.text.clone(),
            events: request.events().len(),
            push,
        };
        serde_json::to_value(state.journal.receive(received, judgement.code)).unwrap_or_default()
    });
    braze.emit(&serde_json::json!({ "type": "request", "request": record }));
    let config_time = braze.with(|state, _| state.config_time);
    response::response(endpoint, &request, &judgement, &switches, config_time)
}

/// Returns the push token that a request is to unregister.
fn unregistered(journal: &Journal, app: &str, endpoint: Endpoint, request: &SdkRequest) -> Option<Unregistered> {
    let token = request.push_token().filter(|_| endpoint == Endpoint::PushUnregister)?;
    let user_id = journal.push_tokens.user_of(app, token).map(str::to_owned);
    Some(Unregistered { token: token.to_owned(), user_id })
}

/// Puts on record what an accepted request brings: its events, and what becomes of push tokens.
fn keep(journal: &mut Journal, app: &str, request: &SdkRequest, push: Option<&Unregistered>) {
    request.events().iter().for_each(|event| journal.deliver(app, event));
    let device_id = request.device_id();
    for (user, token) in request.push_attributes() {
        match token {
            None => journal.push_tokens.withdraw(app, device_id),
            Some(token) => journal.push_tokens.register(PushToken {
                app: app.to_owned(),
                token: token.to_owned(),
                user_id: user.map(str::to_owned),
                device_id: device_id.map(str::to_owned),
            }),
        }
    }
    if let Some(push) = push {
        journal.push_tokens.unregister(app, &push.token);
    }
}

/// Returns the index of the app whose SDK API key the request carries; header and body must agree.
fn app_of(braze: &LocalBraze, request: &SdkRequest) -> Option<usize> {
    let key = request.api_key()?;
    braze.with(|state, _| state.apps.iter().position(|app| app.sdk_api_key == key))
}
