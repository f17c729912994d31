//! Reasons why a credential is refused: for logs, metrics and operators, never for the caller.

use std::fmt;

use strum::{IntoStaticStr, VariantNames};

/// Reason why a credential is refused; a closed set, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum RefusedCredential {
    #[error("the request has no credential, or more than one")]
    Missing,
    #[error("the app has no sign_in that takes such a credential")]
    NotEnabled,
    #[error("it is no JWT in compact form")]
    Malformed,
    #[error("it is a token for Braze, which is no credential")]
    OwnToken,
    #[error("no sign_in of the app has its issuer")]
    UnknownIssuer,
    #[error("its algorithm is not allowed")]
    Algorithm,
    #[error("its header has a parameter that is never accepted")]
    Header,
    #[error("its typ is not allowed")]
    TokenType,
    #[error("the provider has no such key")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("it is older than max_age")]
    TooOld,
    #[error("it is for another audience")]
    Audience,
    #[error("a required claim is missing or different")]
    RequiredClaim,
    #[error("a refused claim is there")]
    RefusedClaim,
    #[error("it has no user id that the app accepts")]
    UserId,
    #[error("the provider says that it is not active")]
    Inactive,
    #[error("the provider signed its user out")]
    SignedOut,
}

impl RefusedCredential {
    /// Name of the reason in metrics and logs; all of them are [`VariantNames::VARIANTS`].
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Refusal of a credential: the reason, and the particulars for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CredentialRefusal {
    pub reason: RefusedCredential,
    /// Sentence with the values that differ. It quotes the credential's claims, which nobody may have verified; it is
    /// for the operator's command only.
    pub detail: Option<String>,
}

impl RefusedCredential {
    /// Refusal for this reason, with these particulars.
    pub(super) fn because(self, detail: impl Into<String>) -> CredentialRefusal {
        CredentialRefusal { reason: self, detail: Some(detail.into()) }
    }
}

impl From<RefusedCredential> for CredentialRefusal {
    fn from(reason: RefusedCredential) -> Self {
        Self { reason, detail: None }
    }
}

impl fmt::Display for CredentialRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}
