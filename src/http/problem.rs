//! Problem documents (RFC 9457), and the only place where an error gets its HTTP status.

use std::{
    borrow::Cow,
    mem::take,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem_code::{CodeName, ProblemCode};
use crate::{identity::NotScoped, issue::Refusal};

/// Largest number of headers that the program itself adds to a problem.
const MOST_HEADERS: usize = 12;

/// Time after which a request to a node whose clock is stopped may be repeated; another node can answer it at once.
const CLOCK_RETRY: Duration = Duration::from_secs(10);

/// Advice on repeating the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// The same request will never succeed.
    Never,
    /// After the user has logged in again.
    AfterLogin,
    /// After this time.
    After(Duration),
}

impl Serialize for Retry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_str("never"),
            Self::AfterLogin => serializer.serialize_str("after_login"),
            Self::After(wait) => serializer.serialize_u64(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// Member of the request that is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// Name of the member.
    pub field: String,
    /// The fault, and what to do.
    pub message: String,
}

impl FieldError {
    /// Makes the error of a member; a client may have named it.
    pub(super) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.chars().take(64).collect(), message: message.into() }
    }
}

/// Error, before [`super::middleware`] adds the request id and encodes the document.
#[derive(Clone, Debug)]
pub struct Problem {
    pub code: CodeName,
    status: StatusCode,
    detail: Cow<'static, str>,
    retry: Retry,
    /// Rare members, apart: every handler returns a result with a problem, which must be small.
    members: Option<Box<RareMembers>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Members that few problems have.
#[derive(Clone, Debug)]
struct RareMembers {
    errors: Vec<FieldError>,
    /// Id of what an earlier request made.
    made: Option<String>,
}

/// Problem document, with the members that RFC 9457 §3.1 names, and our own.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:countersign:problem:client_error",
    "title": "The request cannot be met",
    "status": 400,
    "detail": "user_id must be a string: \"123\"",
    "code": "client_error",
    "retry": "never",
    "request_id": "0ccddde8cc44cd9b",
    "errors": [{ "field": "user_id", "message": "must be a string: \"123\"" }],
}))]
pub(super) struct ProblemDocument<'a> {
    /// Kind of the problem, e.g. `urn:countersign:problem:invalid_token`.
    r#type: String,
    /// Summary of the problem, the same for every problem of its kind.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Description of this occurrence, and what to do.
    detail: &'a str,
    /// The stable code.
    #[schema(value_type = ProblemCode)]
    code: &'static str,
    /// `"never"`, `"after_login"`, or milliseconds.
    #[schema(value_type = RetrySchema)]
    retry: Retry,
    /// The request's id, also in `X-Request-Id`.
    request_id: &'a str,
    /// The members at fault, where there are any.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    /// Id of what an earlier request made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    id: Option<&'a str>,
}

/// Schema of `retry` in the OpenAPI document.
#[derive(ToSchema)]
#[schema(as = Retry)]
#[expect(dead_code, reason = "only describes")]
#[serde(untagged)]
pub(super) enum RetrySchema {
    /// `never` or `after_login`.
    Text(String),
    /// Milliseconds to wait.
    Milliseconds(u64),
}

impl Problem {
    pub(super) fn new(code: ProblemCode, retry: Retry, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = code.status();
        Self { code: code.into(), status, detail: detail.into(), retry, members: None, headers: Vec::new() }
    }

    /// Makes a problem with a code of another set than the public one; `after` is the time after which the same request
    /// may succeed.
    pub fn of_code(code: CodeName, status: StatusCode, after: Option<Duration>, detail: impl Into<String>) -> Self {
        let problem = match after {
            Some(after) => Self::later(ProblemCode::Unavailable, after, ""),
            None => Self::new(ProblemCode::ClientError, Retry::Never, ""),
        };
        Self { code, status, detail: Cow::Owned(detail.into()), ..problem }
    }

    /// Adds the id of what an earlier request made.
    #[must_use]
    pub fn with_made(self, id: String) -> Self {
        Self { members: Some(Box::new(RareMembers { made: Some(id), errors: Vec::new() })), ..self }
    }

    /// Returns true where the problem has this code.
    pub(super) fn is(&self, code: ProblemCode) -> bool {
        self.code == code.into()
    }

    /// Makes the problem of a request that cannot succeed as it is; for each 4xx status that has no code of its own. One
    /// that did not arrive in time (408) may be sent again.
    pub fn client(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let is_late = status == StatusCode::REQUEST_TIMEOUT;
        let retry = if is_late { Retry::After(Duration::from_secs(1)) } else { Retry::Never };
        Self { status, ..Self::new(ProblemCode::ClientError, retry, detail) }
    }

    /// Makes the problem of a request with a faulty member.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(field, message)])
    }

    /// Makes the problem of a request with these faulty members.
    pub(super) fn fields(errors: Vec<FieldError>) -> Self {
        let faults: Vec<String> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        let members = Some(Box::new(RareMembers { errors, made: None }));
        Self { members, ..Self::client(StatusCode::BAD_REQUEST, faults.join("; ")) }
    }

    /// Makes the problem of a page whose origin is not in the app's list.
    pub fn origin_not_allowed() -> Self {
        Self::new(ProblemCode::Forbidden, Retry::Never, "this origin is not in the app's allowed_origins")
    }

    /// Makes the problem of a cookie that no page sent, as far as the request says.
    pub(super) fn origin_missing() -> Self {
        let detail = "there is no Origin header: a cookie is taken from a page of the app's allowed_origins only";
        Self::new(ProblemCode::Forbidden, Retry::Never, detail)
    }

    /// Makes the problem of too many requests; the next one passes after `wait`.
    pub fn rate_limited(wait: Duration, limit: &'static str, policy: HeaderValue) -> Self {
        let seconds = at_least_a_second(wait);
        Self::new(ProblemCode::RateLimited, Retry::After(wait), "asked too often; wait as long as `retry` says")
            .with(header::RETRY_AFTER, HeaderValue::from(seconds))
            .with(RATE_LIMIT, header_text(&format!("\"{limit}\";r=0;t={seconds}")))
            .with(RATE_LIMIT_POLICY, policy)
    }

    /// Makes the problem of too many requests that wait for a signature.
    pub fn overloaded(wait: Duration) -> Self {
        Self::later(ProblemCode::Overloaded, wait, "too many requests wait for a signature; try again")
    }

    /// Makes the problem of an unavailable signer or store. The details are in the log only.
    pub fn unavailable() -> Self {
        Self::later(
            ProblemCode::Unavailable,
            Duration::ZERO,
            "the service cannot answer now; the request changed nothing that matters, try again",
        )
    }

    /// Makes the problem of a node whose clock is stopped. The details are in the log and in `/readyz`.
    pub fn clock_stopped() -> Self {
        Self::later(
            ProblemCode::Unavailable,
            CLOCK_RETRY,
            "this node does not trust its clock and judges nothing; nothing changed, try again",
        )
    }

    /// Makes the problem of a handler that panicked.
    pub fn panicked() -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::unavailable() }
    }

    /// Makes the problem of a path at which a listener has nothing; `hint` says what it has.
    pub fn not_found(hint: &str) -> Self {
        Self::client(StatusCode::NOT_FOUND, format!("there is nothing at this path; {hint}"))
    }

    /// Makes the problem of a status that did not come from a handler.
    pub fn of_status(status: StatusCode) -> Self {
        let detail = match status {
            StatusCode::NOT_FOUND => "there is nothing at this path",
            StatusCode::METHOD_NOT_ALLOWED => "this path does not take that method; `Allow` says which it takes",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                "the headers are too large or too many: send fewer or shorter ones; cookies are the usual cause"
            }
            StatusCode::BAD_REQUEST => "this is not a well-formed HTTP/1.1 request with exactly one valid `Host`",
            StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
            StatusCode::NOT_IMPLEMENTED => {
                "`chunked` is the only `Transfer-Encoding` that is read; send the body without others"
            }
            StatusCode::REQUEST_TIMEOUT => "the request did not arrive in time; send it again",
            _ if status.is_server_error() => return Self { status, ..Self::unavailable() },
            _ => "the request cannot be met",
        };
        Self::client(status, detail)
    }

    pub(super) fn later(code: ProblemCode, wait: Duration, detail: &'static str) -> Self {
        let wait = wait.max(Duration::from_secs(1)) + spread();
        Self::new(code, Retry::After(wait), detail)
            .with(header::RETRY_AFTER, HeaderValue::from(at_least_a_second(wait)))
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the bytes of the document.
    pub(super) fn document(&self, request_id: &str) -> Vec<u8> {
        let members = self.members.as_deref();
        let document = ProblemDocument {
            r#type: ["urn:countersign:problem:", self.code.code].concat(),
            title: self.code.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code.code,
            retry: self.retry,
            request_id,
            errors: members.map_or(&[], |members| &members.errors),
            id: members.and_then(|members| members.made.as_deref()),
        };
        let mut bytes = Vec::with_capacity(512);
        if serde_json::to_writer(&mut bytes, &document).is_err() {
            unreachable!("strings and numbers always serialise");
        }
        bytes
    }
}

/// `RateLimit` and `RateLimit-Policy`: draft-ietf-httpapi-ratelimit-headers.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Makes a header of text of our own.
pub(super) fn header_text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

pub(super) fn at_least_a_second(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
}

/// Returns up to a second, evenly spread over successive answers, so that clients refused together do not return
/// together.
fn spread() -> Duration {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    // Multiples of the golden ratio, modulo one, fill an interval evenly.
    let spread = ANSWERS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Duration::from_millis(((spread >> 32) * 1000) >> 32)
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.status;
        // The headers of a problem, of CORS and of the middleware: a map that grows hashes each of them again.
        let headers = response.headers_mut();
        headers.reserve(MOST_HEADERS);
        // Moved: a copy of a header's text is counted, and that takes an allocation.
        headers.extend(take(&mut self.headers));
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadRequest { field, message } => Self::field(field, message),
            Refusal::UnknownApp => NotScoped.into(),
            Refusal::InvalidToken => Self::new(
                ProblemCode::InvalidToken,
                Retry::AfterLogin,
                "let the user log in again, then mint a new token",
            ),
            Refusal::ExpiredToken => Self::new(
                ProblemCode::ExpiredToken,
                Retry::AfterLogin,
                "the session's life is over: let the user log in again",
            ),
            Refusal::OptedOut => Self::new(
                ProblemCode::OptedOut,
                Retry::Never,
                "no token is given out for this user until opted in again",
            ),
            // One answer for every refused credential.
            Refusal::SignedOut => Self::sign_in_refused(),
            Refusal::UserMismatch => Self::new(
                ProblemCode::UserMismatch,
                Retry::Never,
                "user_id is not the session's user: the app has switched users, drop this answer",
            ),
            Refusal::Overloaded(wait) => Self::overloaded(wait),
            Refusal::ClockStopped(_) => Self::clock_stopped(),
            // The issuer has logged why.
            Refusal::Unavailable(_) => Self::unavailable(),
        }
    }
}
