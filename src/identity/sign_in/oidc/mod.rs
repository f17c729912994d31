//! Verification of a provider's JWTs: compact form, then issuer, then key, then claims.

use crate::domain::sign_in::OidcRules;

/// Verifier of one issuer's credentials.
pub(super) struct Verifier {
    rules: OidcRules,
}

impl Verifier {
    /// Rules of this verifier.
    pub(super) fn rules(&self) -> &OidcRules {
        &self.rules
    }
}
