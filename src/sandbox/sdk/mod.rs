//! What the SDKs talk to: `POST /api/v3/…`.
//!
//! The order of checks is the likeliest one: API key, user ids, enforcement, then the token. Sources: the Web SDK's
//! requests and its treatment of answers, and Braze's page "Set up SDK authentication".

mod answer;
mod request;

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
    journal::Received,
    serve::hang_up,
    switches::{Connection, Outage, Switches},
    world::{Enforcement, World},
};
use crate::domain::verdict::{Against, ErrorCode, Unverified, Verdict, judge};
use request::SdkRequest;

/// What the SDKs post to, below `/api/v3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Data,
    ContentCards,
    FeatureFlags,
    Banners,
    /// Endpoints whose answers the SDK reads for errors only.
    Other(&'static str),
}

impl Endpoint {
    const ALL: [Self; 9] = [
        Self::Data,
        Self::ContentCards,
        Self::FeatureFlags,
        Self::Banners,
        Self::Other("/template"),
        Self::Other("/push/unregister"),
        Self::Other("/dust/config"),
        Self::Other("/conversational_chat/config"),
        Self::Other("/conversational_chat/message"),
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Data => "/data/",
            Self::ContentCards => "/content_cards/sync",
            Self::FeatureFlags => "/feature_flags/sync",
            Self::Banners => "/banners/sync",
            Self::Other(path) => path,
        }
    }
}

/// The SDKs' routes.
pub(super) fn routes() -> Router<Arc<World>> {
    Endpoint::ALL.into_iter().fold(Router::new(), |router, endpoint| {
        let take = async move |Extract(world): Extract<Arc<World>>, headers: HeaderMap, body: Bytes| {
            with_cors(receive(&world, endpoint, &headers, &body), &headers)
        };
        let preflight = async |Extract(world): Extract<Arc<World>>, headers: HeaderMap| {
            let answer = outage(&world).unwrap_or_else(|| StatusCode::NO_CONTENT.into_response());
            with_cors(answer, &headers)
        };
        router.route(&format!("/api/v3{}", endpoint.path()), post(take).options(preflight))
    })
}

/// The headers by which a page of any origin may call and read. The SDK asks for a dozen of its own headers, other ones in
/// each version: what it asks for is granted.
fn with_cors(mut response: Response, request: &HeaderMap) -> Response {
    let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS");
    set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After");
    if let Some(asked) = asked {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    response
}

/// What everybody gets while the endpoints are out of order.
fn outage(world: &World) -> Option<Response> {
    let switches = world.with(|state, _| state.switches.clone());
    switches.outage.map(|outage| match outage {
        Outage::Connection(Connection::Drop) => hang_up(),
        Outage::Status(status) => answer::outage(&switches, status),
    })
}

fn receive(world: &World, endpoint: Endpoint, headers: &HeaderMap, body: &[u8]) -> Response {
    if let Some(answer) = outage(world) {
        return answer;
    }
    let switches = world.with(|state, _| state.switches.clone());
    let Some(request) = SdkRequest::read(headers, body) else {
        return answer::not_json();
    };
    let Some(app) = app_of(world, &request) else {
        return answer::invalid_api_key();
    };
    let judged = judge_request(world, app, &request, &switches);
    let accepted = judged.is_accepted();
    let line = world.with(|state, now| {
        let name = state.apps[app].name.clone();
        if accepted {
            request.events().iter().for_each(|event| state.journal.deliver(&name, event));
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
            code: judged.code.map(ErrorCode::number),
            reason: judged.code.map(ErrorCode::reason),
            text: judged.text.clone(),
            events: request.events().len(),
        };
        serde_json::to_value(state.journal.receive(received, judged.code)).unwrap_or_default()
    });
    world.tell(&serde_json::json!({ "type": "request", "request": line }));
    let config_time = world.with(|state, _| state.config_time);
    answer::answer(endpoint, &request, &judged, &switches, config_time)
}

/// The app whose SDK API key the request carries. Header and body must say the same.
fn app_of(world: &World, request: &SdkRequest) -> Option<usize> {
    let key = request.api_key()?;
    world.with(|state, _| state.apps.iter().position(|app| app.sdk_api_key == key))
}

/// What is wrong with a request, and what the app's enforcement makes of it.
struct Judged {
    enforcement: Enforcement,
    code: Option<ErrorCode>,
    text: Option<String>,
}

impl Judged {
    fn is_accepted(&self) -> bool {
        self.code.is_none() || self.enforcement != Enforcement::Required
    }
}

fn judge_request(world: &World, app: usize, request: &SdkRequest, switches: &Switches) -> Judged {
    let (enforcement, keys, sdk_api_key, now) = world.with(|state, now| {
        let app = &state.apps[app];
        (app.enforcement, app.keys.verifying(now, switches.propagation()), app.sdk_api_key.clone(), now)
    });
    if enforcement == Enforcement::Disabled {
        return Judged { enforcement, code: None, text: None };
    }
    let against = Against {
        public_keys: Some(&keys),
        user: None,
        sdk_api_key: Some(&sdk_api_key),
        now: switches.time_of_check(now),
    };
    match judge(request.token.as_deref(), &request.claimed(), &against) {
        Verdict::Accepted => Judged { enforcement, code: None, text: None },
        Verdict::Rejected { code: ErrorCode::NoMatchingPublicKeys, text } if switches.decoding_error_for_no_match => {
            Judged { enforcement, code: Some(ErrorCode::DecodingError), text: Some(text) }
        }
        Verdict::Rejected { code, text } => Judged { enforcement, code: Some(code), text: Some(text) },
    }
}
