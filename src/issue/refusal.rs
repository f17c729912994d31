//! Reasons why no token is issued.

use std::time::Duration;

use crate::{clock::ClockStopped, domain::jws::SignError, secret::NoEntropy, store::StoreError};

/// Reason why no token is issued. `http` gives each its status; a fault of the service never makes the user log in
/// again.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request cannot succeed as it is.
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
    /// The refresh token is authentic, and its idle or absolute lifetime is over.
    #[error("the refresh token has expired")]
    ExpiredToken,
    /// The user is opted out.
    #[error("the user is opted out")]
    OptedOut,
    /// The login that the credential shows has ended at its provider.
    #[error("the provider signed the user out")]
    SignedOut,
    /// The session is another user's.
    #[error("the session belongs to another user")]
    UserMismatch,
    /// Too many signatures wait.
    #[error("too many requests wait for a signature")]
    Overloaded(Duration),
    /// The clock of this node is stopped.
    #[error(transparent)]
    ClockStopped(#[from] ClockStopped),
    /// The signer, the store or the system's randomness is unavailable.
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

/// Reason why a request was not answered with the store.
pub(super) enum Failure {
    /// The store is out of reach: the request may be answered without it.
    Outage(StoreError),
    /// The request is refused.
    Refused(Refusal),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_outage() { Self::Outage(error) } else { Self::Refused(error.into()) }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Outage(why) => why.into(),
            Failure::Refused(refusal) => refusal,
        }
    }
}
