//! Refusal of a token.

use std::time::Duration;

use crate::{domain::jws::SignError, secret::NoEntropy, store::StoreError};

/// Reason for giving no token. `http` gives each its status; a fault of ours is never a reason to log in again.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A request that cannot be met as it stands.
    #[error("{field}: {message}")]
    BadRequest {
        /// Member of the request that is at fault.
        field: &'static str,
        /// The fault, and what to do.
        message: String,
    },
    /// The app is not configured here.
    #[error("there is no such app")]
    UnknownApp,
    /// The refresh token is forged, unknown, revoked, of another app, or was replaced too long ago.
    #[error("the refresh token is not valid")]
    InvalidToken,
    /// The refresh token is authentic, and past its idle or absolute life.
    #[error("the refresh token has expired")]
    ExpiredToken,
    /// The user is opted out.
    #[error("the user is opted out")]
    OptedOut,
    /// The session is another user's.
    #[error("the session belongs to another user")]
    UserMismatch,
    /// Too many signatures wait.
    #[error("too many requests wait for a signature")]
    Overloaded(Duration),
    /// The signer, the store or the system's randomness is out of reach.
    #[error("{0}")]
    Unavailable(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<SignError> for Refusal {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Overloaded { retry_after } => Self::Overloaded(retry_after),
            SignError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<NoEntropy> for Refusal {
    fn from(error: NoEntropy) -> Self {
        Self::Unavailable(error.to_string())
    }
}
