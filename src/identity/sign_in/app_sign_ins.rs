//! Verifiers of one app, and the choice of the one that a credential is for.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{
    Credential, NotSignedIn,
    endpoint::Shared,
    jwks::{Provider, ProviderKeys},
    oidc::{self, Unreadable, UnverifiedCredential, is_own_token},
    opaque::OpaqueVerifiers,
    refused::{CredentialRefusal, RefusedCredential},
};
use crate::{
    clock::ClockGuard,
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::{OidcRules, ProviderLogout, SignIn},
    },
    identity::AppUser,
};

/// Verifiers of one app.
pub(super) struct AppSignIns {
    oidc: Vec<oidc::Verifier>,
    opaque: OpaqueVerifiers,
    cookies: Arc<[String]>,
}

impl AppSignIns {
    /// Makes the verifiers.
    pub(super) fn new(app: &AppName, sign_ins: &[SignIn], shared: &Shared, keys: &mut KeySets) -> Self {
        let rules = sign_ins.iter().filter_map(|sign_in| match sign_in {
            SignIn::Oidc(rules) => Some(rules.clone()),
            SignIn::Introspection(_) | SignIn::SessionEndpoint(_) => None,
        });
        let oidc = rules.map(|rules| {
            let keys = keys.get(&rules, shared);
            oidc::Verifier::new(rules, keys)
        });
        let opaque = OpaqueVerifiers::new(app, sign_ins, shared);
        Self { oidc: oidc.collect(), cookies: opaque.cookies().into(), opaque }
    }

    /// Names of the cookies that are accepted.
    pub(super) fn cookies(&self) -> &Arc<[String]> {
        &self.cookies
    }

    /// Verifies a bearer credential: a JWT by the verifier of its issuer, anything else by an endpoint.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn by_bearer(
        &self,
        app: &AppName,
        user_ids: UserIdRules,
        bearer: &str,
        source: Option<IpAddr>,
        clock: &ClockGuard,
    ) -> Result<AppUser, NotSignedIn> {
        let read = UnverifiedCredential::read(bearer);
        if !is_b64token(bearer) {
            return Err(unreadable(read).into());
        }
        let refusal = match read {
            Ok(jwt) if is_own_token(&jwt) => return Err(RefusedCredential::OwnToken.into()),
            Ok(jwt) => match self.verifier_of(&jwt) {
                Ok(verifier) => {
                    let (user, login) = verifier.sign_in(&jwt, user_ids, clock).await?;
                    return Ok(AppUser { app: app.clone(), user, login });
                }
                Err(refusal) => refusal,
            },
            Err(Unreadable::Refused(refusal)) => return Err(refusal.into()),
            Err(Unreadable::Opaque(refusal)) => refusal,
        };
        if self.opaque.take_bearers() {
            return self.by_endpoint(user_ids, Credential::Bearer(bearer), source).await;
        }
        Err(refusal.into())
    }

    /// Asks an endpoint about an opaque credential.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn by_endpoint(
        &self,
        user_ids: UserIdRules,
        credential: Credential<'_>,
        source: Option<IpAddr>,
    ) -> Result<AppUser, NotSignedIn> {
        self.opaque.sign_in(user_ids, credential, source).await
    }

    /// Verifies a logout token by the verifier of its issuer.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn sign_out(&self, logout_token: &str, clock: &ClockGuard) -> Result<ProviderLogout, NotSignedIn> {
        let jwt = UnverifiedCredential::read(logout_token).map_err(|unreadable| match unreadable {
            Unreadable::Opaque(refusal) | Unreadable::Refused(refusal) => refusal,
        })?;
        self.verifier_of(&jwt)?.sign_out(&jwt, clock).await
    }

    /// Chooses a verifier by the claim `iss`, byte for byte, before any key is looked at: a key is one of an issuer.
    fn verifier_of(&self, jwt: &UnverifiedCredential<'_>) -> Result<&oidc::Verifier, CredentialRefusal> {
        let issuer = jwt.issuer();
        self.oidc.iter().find(|verifier| Some(verifier.rules().issuer.as_str()) == issuer).ok_or_else(|| {
            let accepted: Vec<&str> = self.oidc.iter().map(|verifier| verifier.rules().issuer.as_str()).collect();
            let text = match issuer {
                Some(issuer) => {
                    let issuer: String = issuer.chars().take(200).collect();
                    format!("its iss is {issuer:?}, accepted: {}", accepted.join(", "))
                }
                None => "it has no iss".to_owned(),
            };
            RefusedCredential::UnknownIssuer.because(text)
        })
    }
}

/// Refusal of a text that no bearer credential is, in the words of its look where it has one.
fn unreadable(read: Result<UnverifiedCredential<'_>, Unreadable>) -> CredentialRefusal {
    match read {
        Err(Unreadable::Opaque(refusal) | Unreadable::Refused(refusal)) => refusal,
        Ok(_) => {
            RefusedCredential::Malformed.because("it has a character that no bearer credential has (RFC 6750 §2.1)")
        }
    }
}

/// Tells whether a text is a bearer credential by its characters (RFC 6750 §2.1, `b64token`).
fn is_b64token(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Key sets by their provider: verifiers that fetch the same keys by the same rules share one set.
pub(super) struct KeySets(HashMap<Provider, Arc<ProviderKeys>>);

impl KeySets {
    /// Key sets that these verifiers have.
    pub(super) fn of<'a>(apps: impl Iterator<Item = &'a AppSignIns>) -> Self {
        let verifiers = apps.flat_map(|app| &app.oidc);
        Self(verifiers.map(|verifier| (Provider::of(verifier.rules()), Arc::clone(verifier.keys()))).collect())
    }

    fn get(&mut self, rules: &OidcRules, shared: &Shared) -> Arc<ProviderKeys> {
        let provider = Provider::of(rules);
        let made = || ProviderKeys::new(provider.clone(), shared.outbound.clone(), shared.clock.clone());
        Arc::clone(self.0.entry(provider.clone()).or_insert_with(|| Arc::new(made())))
    }
}
