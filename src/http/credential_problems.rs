//! Problems of credentials: API keys of backends, and session credentials of an app's users.

use std::time::Duration;

use axum::http::{HeaderValue, header};

use super::{
    problem::{Problem, Retry},
    problem_code::ProblemCode,
};
use crate::identity::{NotScoped, NotSignedIn, Unauthenticated};

impl Problem {
    /// Makes the problem of a refused API key, whatever the cause.
    fn api_key_refused() -> Self {
        Self::unauthorized("send a live API key of this service as `Authorization: Bearer <API key>`")
    }

    /// Makes the problem of a refused session credential, whatever the cause.
    pub(super) fn sign_in_refused() -> Self {
        Self::unauthorized(
            "send a live credential of the app's own session, which a sign_in of the app accepts, as `Authorization: Bearer <credential>`",
        )
    }

    fn unauthorized(detail: &'static str) -> Self {
        Self::new(ProblemCode::Unauthorized, Retry::Never, detail)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// Makes the problem of a credential that cannot be verified now. The details are in the log only.
    fn unverifiable(wait: Duration) -> Self {
        let detail = "the credential cannot be verified now; nothing changed, try again";
        Self::later(ProblemCode::Unavailable, wait, detail)
    }
}

impl From<Unauthenticated> for Problem {
    fn from(reason: Unauthenticated) -> Self {
        match reason {
            Unauthenticated::Refused => Self::api_key_refused(),
            Unauthenticated::Undecided(_) => Self::clock_stopped(),
        }
    }
}

impl From<NotSignedIn> for Problem {
    fn from(reason: NotSignedIn) -> Self {
        match reason {
            NotSignedIn::Refused(_) => Self::sign_in_refused(),
            NotSignedIn::Unavailable { retry_after, why: _ } => Self::unverifiable(retry_after),
            NotSignedIn::ClockStopped(_) => Self::clock_stopped(),
        }
    }
}

impl From<NotScoped> for Problem {
    fn from(_: NotScoped) -> Self {
        Self::new(ProblemCode::Forbidden, Retry::Never, "the API key is not scoped to an app of that name")
    }
}
