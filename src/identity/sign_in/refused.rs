//! Reasons why a credential is refused: for logs, metrics and operators, never for the caller.

use std::{borrow::Cow, fmt};

use strum::{IntoStaticStr, VariantNames};

use crate::domain::sign_in::{Audience, ClaimPath};

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
    #[error("the provider or the session endpoint says that nobody is logged in with it")]
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
    /// Rule that refuses it, where the reason has several. It may be logged.
    pub rule: Option<RuleName>,
}

/// Name of a rule on credentials, such as the claim that it is about: a text of this program or of the configuration,
/// never one of the credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleName(Cow<'static, str>);

impl RuleName {
    /// Rule that this program has for every credential.
    pub(super) const fn own(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Rule of the configuration on this claim.
    pub(super) fn of_claim(claim: &ClaimPath) -> Self {
        Self(Cow::Owned(claim.0.clone()))
    }

    /// Rule on the claim that names the audience.
    pub(super) fn of_audience(audience: &Audience) -> Self {
        Self(Cow::Owned(audience.claim.clone()))
    }

    /// Rule on the status of an endpoint's answer.
    pub(super) fn of_status(status: u16) -> Self {
        Self(Cow::Owned(format!("status {status}")))
    }

    /// Name of the rule.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CredentialRefusal {
    /// The same refusal, by this rule.
    pub(super) fn by(self, rule: RuleName) -> Self {
        Self { rule: Some(rule), ..self }
    }
}

impl RefusedCredential {
    /// Refusal for this reason, with these particulars.
    pub(super) fn because(self, detail: impl Into<String>) -> CredentialRefusal {
        CredentialRefusal { reason: self, detail: Some(detail.into()), rule: None }
    }
}

impl From<RefusedCredential> for CredentialRefusal {
    fn from(reason: RefusedCredential) -> Self {
        Self { reason, detail: None, rule: None }
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
