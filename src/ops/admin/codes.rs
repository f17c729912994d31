//! Codes of the problems of the operators' API, and the only place where an error of an operation gets its status.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use strum::{IntoStaticStr, VariantArray};

use crate::{
    domain::operator::Role,
    http::{CodeName, Problem},
    operate::{OperationError, OperationErrorKind, Repetition},
};

/// Time after which a request to an unavailable store, or to Braze, may be sent again.
const RETRY: Duration = Duration::from_secs(5);

/// Stable code of a problem of the operators' API. The codes that the public API has too mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AdminCode {
    /// The request is malformed, or asks for something impossible.
    ClientError,
    /// The operator token was refused; one answer for every cause.
    Unauthorized,
    /// The operator may not do it, or not here.
    Forbidden,
    /// There is no such key, app, ring, client or operator.
    NotFound,
    /// The state does not allow it, or changed at the same moment.
    Conflict,
    /// An earlier request with this `Idempotency-Key` did it.
    AlreadyDone,
    /// An earlier request with this `Idempotency-Key` was begun, and its outcome is not known.
    InProgress,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// Too many refused credentials.
    RateLimited,
    /// The store, Braze or custody is out of reach, or the clock is not trusted.
    Unavailable,
    /// It failed.
    Failed,
}

impl AdminCode {
    /// Code as text.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn title(self) -> &'static str {
        match self {
            Self::ClientError => "The request cannot be met",
            Self::Unauthorized => "The credential was refused",
            Self::Forbidden => "The operator may not do this",
            Self::NotFound => "There is no such thing",
            Self::Conflict => "The state does not allow it",
            Self::AlreadyDone => "It was done before",
            Self::InProgress => "It was begun before",
            Self::IdempotencyKeyReused => "The key was used for another request",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "The service cannot do it now",
            Self::Failed => "It failed",
        }
    }

    /// Makes a problem with this code.
    pub(super) fn problem(self, status: StatusCode, detail: impl Into<String>) -> Problem {
        let after = matches!(self, Self::Unavailable).then_some(RETRY);
        Problem::of_code(CodeName { code: self.as_str(), title: self.title() }, status, after, detail)
    }
}

/// Makes the problem of an error of an operation, with the same message.
pub(super) fn of_error(error: OperationError) -> Problem {
    let (code, status) = match error.kind {
        OperationErrorKind::Invalid => (AdminCode::ClientError, StatusCode::BAD_REQUEST),
        OperationErrorKind::NotFound => (AdminCode::NotFound, StatusCode::NOT_FOUND),
        OperationErrorKind::Conflict => (AdminCode::Conflict, StatusCode::CONFLICT),
        OperationErrorKind::Forbidden => (AdminCode::Forbidden, StatusCode::FORBIDDEN),
        OperationErrorKind::Unavailable => (AdminCode::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        OperationErrorKind::Failed => (AdminCode::Failed, StatusCode::INTERNAL_SERVER_ERROR),
    };
    code.problem(status, error.message)
}

/// Makes the problem of a creation that was asked for before.
pub(super) fn of_repetition(repetition: Repetition) -> Problem {
    match repetition {
        Repetition::Done { id } => AdminCode::AlreadyDone
            .problem(
                StatusCode::CONFLICT,
                format!("an earlier request with this Idempotency-Key made {id}; its secret is not shown again"),
            )
            .with_made(id),
        Repetition::Begun => AdminCode::InProgress.problem(
            StatusCode::CONFLICT,
            "an earlier request with this Idempotency-Key was begun, and its outcome is not known: look at the list",
        ),
        Repetition::OtherRequest => AdminCode::IdempotencyKeyReused
            .problem(StatusCode::CONFLICT, "this Idempotency-Key was used for another request: choose a new one"),
    }
}

/// Makes the problem of a refused credential, whatever the cause.
pub(super) fn refused_credential() -> Problem {
    AdminCode::Unauthorized
        .problem(StatusCode::UNAUTHORIZED, "send a live operator token as `Authorization: Bearer <operator token>`")
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// Makes the problem of an operator without the role.
pub(super) fn needs_role(role: Role) -> Problem {
    let detail = format!("this needs the role {}, which this operator does not have", role.as_str());
    AdminCode::Forbidden.problem(StatusCode::FORBIDDEN, detail)
}

/// Makes the problem of a route that answers on the socket only.
pub(super) fn only_on_socket() -> Problem {
    let detail = "operators are created, listed and revoked on the machine of the service only: use the command line \
        there, or the socket of the service";
    AdminCode::Forbidden.problem(StatusCode::FORBIDDEN, detail)
}

/// Makes the problem of a token that came in plain text from another machine.
pub(super) fn plaintext() -> Problem {
    let detail = "operator tokens are not taken over plain HTTP beyond loopback: put TLS in front and set \
        server.allow_plaintext, or use a tunnel to loopback";
    AdminCode::Forbidden.problem(StatusCode::FORBIDDEN, detail)
}

/// Makes the problem of an API that is off.
pub(super) fn is_off() -> Problem {
    let detail = "there is nothing at this path; the operators' API is off until an operator exists: `countersign \
        operators create`";
    AdminCode::NotFound.problem(StatusCode::NOT_FOUND, detail)
}
