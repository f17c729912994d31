//! Verification of a provider's JWTs: compact form, then issuer, then key, then claims.

mod claims;
mod compact;
mod logout;
mod own_token;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use super::{
    NotSignedIn,
    jwks::{KeysUnavailable, ProviderKeys, WantedKey},
    refused::{CredentialRefusal, RefusedCredential},
};
use crate::{
    clock::ClockGuard,
    domain::{
        ids::{UserId, UserIdRules},
        sign_in::{JwsAlgorithm, OidcRules, ProviderLogin, ProviderLogout},
    },
};

pub(super) use compact::{Unreadable, UnverifiedCredential};
pub(super) use own_token::is_own_token;

/// Longest text of a header in a message: a `kid` may be a certificate's thumbprint in hexadecimal.
const SHOWN_CHARS: usize = 80;

/// Verifier of one issuer's credentials.
pub(super) struct Verifier {
    rules: OidcRules,
    keys: Arc<ProviderKeys>,
}

impl Verifier {
    pub(super) fn new(rules: OidcRules, keys: Arc<ProviderKeys>) -> Self {
        Self { rules, keys }
    }

    /// Rules of this verifier.
    pub(super) fn rules(&self) -> &OidcRules {
        &self.rules
    }

    /// Keys of its provider.
    pub(super) fn keys(&self) -> &Arc<ProviderKeys> {
        &self.keys
    }

    /// Verifies the credential of a user.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn sign_in(
        &self,
        credential: &UnverifiedCredential<'_>,
        user_ids: UserIdRules,
        clock: &ClockGuard,
    ) -> Result<(UserId, Option<ProviderLogin>), NotSignedIn> {
        let claims = self.verified(credential, &self.rules.token_types).await?;
        // The time is read after the keys came: that may have taken seconds.
        Ok(claims::decide(claims, &self.rules, user_ids, clock.trusted_now()?)?)
    }

    /// Verifies a logout token.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn sign_out(
        &self,
        logout_token: &UnverifiedCredential<'_>,
        clock: &ClockGuard,
    ) -> Result<ProviderLogout, NotSignedIn> {
        let claims = self.verified(logout_token, &logout::TOKEN_TYPES).await?;
        Ok(logout::decide(claims, &self.rules, clock.trusted_now()?)?)
    }

    /// Claims of a credential whose header the rules allow and whose signature a key of the provider made.
    ///
    /// A signature is verified on the thread of the request: it takes less time than handing it to another thread.
    async fn verified<'c>(
        &self,
        credential: &'c UnverifiedCredential<'_>,
        types: &[impl AsRef<str>],
    ) -> Result<&'c Value, NotSignedIn> {
        let algorithm = self.check_algorithm(&credential.jws.algorithm)?;
        check_type(&credential.jws.token_type, types)?;
        let kid = credential.jws.kid.as_deref();
        let keys = self.keys.candidates(WantedKey { kid, algorithm }).await?;
        if keys.is_empty() {
            let alg = algorithm.as_str();
            let text = match kid {
                Some(kid) => format!("its kid is {}, its alg {alg}", shortened(kid)),
                None => format!("it has no kid, its alg is {alg}"),
            };
            return Err(RefusedCredential::UnknownKey.because(text).into());
        }
        if keys.iter().any(|key| signature::is_by(key, algorithm, &credential.jws)) {
            return Ok(&credential.claims);
        }
        Err(RefusedCredential::Signature.into())
    }

    /// Returns the algorithm that the header names, if the rules allow it. The name is compared exactly (RFC 7515
    /// §4.1.1).
    fn check_algorithm(&self, name: &str) -> Result<JwsAlgorithm, CredentialRefusal> {
        let allowed = &self.rules.algorithms;
        allowed.iter().copied().find(|algorithm| algorithm.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = allowed.iter().map(|algorithm| algorithm.as_str()).collect();
            let shared = ["HS256", "HS384", "HS512"].into_iter().find(|shared| *shared == name);
            let hint = shared.map(|shared| {
                format!(
                    "; this project still signs with {shared}, a secret that everybody who verifies could sign with"
                )
            });
            let (name, hint) = (shortened(name), hint.unwrap_or_default());
            RefusedCredential::Algorithm.because(format!("its alg is {name}, accepted: {}{hint}", names.join(", ")))
        })
    }
}

/// Text of a header in quotes, for a message to an operator.
fn shortened(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN_CHARS).collect::<String>())
}

fn check_type(token_type: &str, types: &[impl AsRef<str>]) -> Result<(), CredentialRefusal> {
    let types = types.iter().map(AsRef::as_ref);
    if types.clone().any(|accepted| accepted == token_type) {
        return Ok(());
    }
    let accepted: Vec<&str> = types.map(|accepted| if accepted.is_empty() { "none" } else { accepted }).collect();
    let text = format!("its typ is {}, accepted in token_types: {}", shortened(token_type), accepted.join(", "));
    Err(RefusedCredential::TokenType.because(text))
}

impl From<KeysUnavailable> for NotSignedIn {
    fn from(unavailable: KeysUnavailable) -> Self {
        Self::Unavailable { retry_after: unavailable.retry_after, why: unavailable.why }
    }
}
