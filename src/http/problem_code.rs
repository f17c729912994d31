//! Codes of problems, with their titles and statuses.

use axum::http::StatusCode;
use serde::Serialize;
use strum::IntoStaticStr;
use utoipa::ToSchema;

/// Stable code of a problem: the closed set that clients branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[schema(as = Code)]
pub enum ProblemCode {
    /// The request is malformed, or asks for something that does not exist.
    ClientError,
    /// The API key, or the credential of the app's user, was refused; one answer for every cause.
    Unauthorized,
    /// The refresh token is forged, unknown, revoked, or was replaced too long ago; one answer for every cause.
    InvalidToken,
    /// The refresh token is authentic, and has expired.
    ExpiredToken,
    /// The API key, or the page's origin, is not allowed for that app.
    Forbidden,
    /// The user is opted out.
    OptedOut,
    /// The session belongs to another user.
    UserMismatch,
    /// Too many requests.
    RateLimited,
    /// Too many requests wait for a signature.
    Overloaded,
    /// The signer or the store is unavailable.
    Unavailable,
}

impl ProblemCode {
    /// Returns the code as text, as documents and metrics have it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ClientError => "The request cannot be met",
            Self::Unauthorized => "The credential was refused",
            Self::InvalidToken => "The refresh token is not valid",
            Self::ExpiredToken => "The refresh token has expired",
            Self::Forbidden => "Not allowed for this app",
            Self::OptedOut => "The user is opted out",
            Self::UserMismatch => "The session belongs to another user",
            Self::RateLimited => "Too many requests",
            Self::Overloaded => "Too much work is waiting",
            Self::Unavailable => "The service cannot answer now",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::ClientError => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::InvalidToken | Self::ExpiredToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::OptedOut => StatusCode::FORBIDDEN,
            Self::UserMismatch => StatusCode::CONFLICT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Code of a problem with its title: of the public set, or of the set of another listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeName {
    /// Stable code.
    pub code: &'static str,
    /// Summary, the same for every problem with the code.
    pub title: &'static str,
}

impl From<ProblemCode> for CodeName {
    fn from(code: ProblemCode) -> Self {
        Self { code: code.as_str(), title: code.title() }
    }
}
