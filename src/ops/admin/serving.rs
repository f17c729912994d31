//! Way of a request: authentication, permission, body, repetition, handler, answer.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use super::{
    AdminState,
    codes::{self, AdminCode},
    route::{AdminRoute, Answer, Call, Fault},
};
use crate::{
    domain::{audit::Actor, operator::Role},
    http::{Problem, RequestId, RequestText, bearer},
    listener::{LocalAddress, SocketPeer},
    operate::{
        Authentication, Operator, RepeatableRequest,
        wire::{self, PATIENCE},
    },
};

/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 64;

/// Answers a request to this route.
pub(super) async fn serve(
    route: &'static AdminRoute,
    state: Arc<AdminState>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let operator = permitted(route, &state, &mut parts).await?;
    let repeatable = if route.creates { idempotency_key(&parts.headers)? } else { None };
    let (path, query) = (path(&mut parts).await?, query(route, &mut parts).await?);
    let target = parts.uri.path().to_owned();
    let body = match route.body {
        Some(_) => RequestText::from_request(Request::from_parts(parts, body), &()).await?.0,
        None => Bytes::new(),
    };
    let operations = Arc::new(operator.clone());
    let call = Call { operations, path, query, body: body.clone() };
    let answered = if route.changes {
        let act = AdminCall { route, operator, key: repeatable, path: target, body };
        act.done_whoever_waits(call).await?
    } else {
        tokio::time::timeout(PATIENCE, (route.handler)(call)).await.map_err(|_| reads_too_long())??
    };
    let status = if answered.made.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    let json = HeaderValue::from_static("application/json");
    Ok((status, [(header::CONTENT_TYPE, json)], answered.json).into_response())
}

/// Makes the problem of a question that takes too long; nothing goes on.
fn reads_too_long() -> Problem {
    let detail = format!(
        "there is no answer within {} s: Braze or the store answers slowly, or the audit log is long (`countersign audit \
         export` reads it in parts)",
        PATIENCE.as_secs()
    );
    AdminCode::Unavailable.problem(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// Authenticates the operator, and checks that he may use the route.
async fn permitted(route: &AdminRoute, state: &Arc<AdminState>, parts: &mut Parts) -> Result<Operator, Problem> {
    let on_socket = parts.extensions.get::<SocketPeer>().is_some();
    let operator = authenticated(state, parts).await?;
    if route.on_socket_only && !on_socket {
        return Err(codes::only_on_socket());
    }
    if operator.role < route.role {
        return Err(codes::needs_role(route.role));
    }
    Ok(operator)
}

/// Authenticates the operator: by the user of the process at the other end of the socket, or by a token.
pub(super) async fn authenticated(state: &Arc<AdminState>, parts: &mut Parts) -> Result<Operator, Problem> {
    let Ok(id) = RequestId::from_request_parts(parts, &()).await;
    let operator = state.operator.load_full();
    if let Some(SocketPeer { uid }) = parts.extensions.get() {
        let actor = Actor::of_request(format!("uid {uid} through the socket"), id.as_str());
        return Ok(operator.acting(actor, Role::Operator));
    }
    let is_loopback =
        parts.extensions.get::<LocalAddress>().is_some_and(|local| local.0.ip().to_canonical().is_loopback());
    let takes_tokens = state.allow_plaintext || is_loopback;
    let presented = if takes_tokens { bearer(&parts.headers) } else { None };
    match operator.authenticate(presented).await.map_err(codes::of_error)? {
        Authentication::NobodyOnRecord => Err(codes::is_off()),
        Authentication::Accepted(record) => {
            let actor = Actor::of_request(format!("operator {}", record.name), id.as_str());
            Ok(operator.acting(actor, record.role))
        }
        Authentication::Refused if !takes_tokens => Err(codes::plaintext()),
        Authentication::Refused => {
            let address = address(parts);
            if bearer(&parts.headers).is_some() {
                state.refused.record((*operator).clone(), address, id.as_str()).await;
            }
            state.refused.limit(address)?;
            Err(codes::refused_credential())
        }
    }
}

/// Address of the other end; no proxy is trusted on this listener.
fn address(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip().to_canonical())
}

/// Value of `Idempotency-Key`: 1 to 64 visible ASCII characters.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(wire::IDEMPOTENCY_KEY).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let is_absent = headers.get(wire::IDEMPOTENCY_KEY).is_none();
        return if is_absent { Ok(None) } else { Err(bad_key()) };
    };
    let key = value.to_str().map_err(|_| bad_key())?;
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && (1..=MAX_KEY).contains(&key.len()) { Ok(Some(key.to_owned())) } else { Err(bad_key()) }
}

fn bad_key() -> Problem {
    let detail = "Idempotency-Key must be one header of 1 to 64 visible ASCII characters";
    AdminCode::ClientError.problem(StatusCode::BAD_REQUEST, detail)
}

async fn path(parts: &mut Parts) -> Result<HashMap<String, String>, Problem> {
    let malformed = |_| Problem::client(StatusCode::BAD_REQUEST, "the path is not UTF-8");
    Path::from_request_parts(parts, &()).await.map(|Path(path)| path).map_err(malformed)
}

/// Members of the query string: exactly those that the route has, each once.
async fn query(route: &AdminRoute, parts: &mut Parts) -> Result<HashMap<String, String>, Problem> {
    let malformed = |_| Problem::client(StatusCode::BAD_REQUEST, "the query string is malformed");
    let Query(pairs): Query<Vec<(String, String)>> = Query::from_request_parts(parts, &()).await.map_err(malformed)?;
    let mut members = HashMap::new();
    for (name, value) in pairs {
        let Some(member) = route.query.iter().find(|member| member.name == name) else {
            return Err(Problem::field(&name, "is not a member of this query string"));
        };
        let number = value.parse::<u64>().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some((least, most)) = member.range
            && !number.is_some_and(|number| (least..=most).contains(&number))
        {
            return Err(Problem::field(&name, format!("must be a whole number, at least {least}, at most {most}")));
        }
        if members.insert(name, value).is_some() {
            return Err(Problem::field(member.name, "is given twice"));
        }
    }
    let missing = route.query.iter().find(|member| member.required && !members.contains_key(member.name));
    missing.map_or(Ok(members), |member| Err(Problem::field(member.name, "is missing")))
}

/// Call of an operator.
struct AdminCall {
    route: &'static AdminRoute,
    operator: Operator,
    /// Value of `Idempotency-Key`.
    key: Option<String>,
    path: String,
    body: Bytes,
}

impl AdminCall {
    /// Does it, also where the client goes away or the request's time ends.
    async fn done_whoever_waits(self, call: Call) -> Result<Answer, Problem> {
        let task = tokio::spawn(self.done(call).in_current_span());
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Problem::panicked()),
            Err(_) => Err(AdminCode::Unavailable.problem(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "it takes longer than {} s, and goes on: look at its outcome before you ask again",
                    PATIENCE.as_secs()
                ),
            )),
        }
    }

    async fn done(self, call: Call) -> Result<Answer, Problem> {
        let Some(key) = &self.key else { return Ok((self.route.handler)(call).await?) };
        let request = RepeatableRequest { key, method: self.route.method, path: &self.path, body: &self.body };
        if let Some(repetition) = self.operator.begin_creation(request).await.map_err(codes::of_error)? {
            return Err(codes::of_repetition(repetition));
        }
        let outcome = (self.route.handler)(call).await;
        let id = outcome.as_ref().map(|answer| answer.made.as_deref().unwrap_or_default()).map_err(Fault::kind);
        self.operator.end_creation(key, id).await;
        Ok(outcome?)
    }
}
