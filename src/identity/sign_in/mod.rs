//! Sign-in: an app's client presents the credential of a session that it already has. The user id comes from what was
//! verified, and from nothing else.

mod answers;
mod app_sign_ins;
mod claim_rules;
mod endpoint;
mod introspection;
mod jwks;
mod oidc;
mod opaque;
mod outbound;
mod refused;
mod session_endpoint;
mod strict_json;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use self::{
    app_sign_ins::{AppSignIns, KeySets},
    endpoint::Shared,
    outbound::Outbound,
};
use super::AppUser;
use crate::{
    clock::{ClockGuard, ClockStopped},
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::{ProviderLogout, SignIn},
    },
};

pub use jwks::{KeySetReport, NoKeySet, ReportedFault, ReportedKey, key_set_url};
pub use refused::{CredentialRefusal, RefusedCredential, RuleName};

/// Credential that a client presents. `Debug` is not derived: it is a secret.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Bearer credential of the header `Authorization` (RFC 6750 §2.1).
    Bearer(&'a str),
    /// Cookie, for session endpoints that accept one of this name.
    Cookie { name: &'a str, value: &'a str },
}

/// Reason why nobody is signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSignedIn {
    /// The credential is refused. The caller must not learn the reason; logs and metrics have
    /// [`CredentialRefusal::reason`], the operator's command has all of it.
    #[error("the credential was refused: {}", .0.reason)]
    Refused(CredentialRefusal),
    /// The credential cannot be judged now: its provider's keys or its endpoint are out of reach.
    #[error("the credential cannot be verified now")]
    Unavailable {
        /// Time after which another attempt makes sense.
        retry_after: Duration,
        /// Sentence of the verifier that was asked: for operators only, as it names its URL.
        why: String,
    },
    /// The clock of this node is stopped, so no lifetime can be judged.
    #[error(transparent)]
    ClockStopped(#[from] ClockStopped),
}

impl From<CredentialRefusal> for NotSignedIn {
    fn from(refusal: CredentialRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<RefusedCredential> for NotSignedIn {
    fn from(reason: RefusedCredential) -> Self {
        Self::Refused(reason.into())
    }
}

/// Verifiers of all apps.
pub struct SignIns {
    shared: Shared,
    apps: ArcSwap<HashMap<AppName, Arc<AppSignIns>>>,
}

impl SignIns {
    /// Makes the verifiers of these apps.
    pub fn new(apps: HashMap<AppName, Vec<SignIn>>, clock: Arc<ClockGuard>) -> Self {
        let shared = Shared { answers: Arc::default(), outbound: Arc::new(Outbound::new()), clock };
        let made = Self { shared, apps: ArcSwap::default() };
        made.replace(apps);
        made
    }

    /// Replaces the verifiers. Key sets of providers that stay are kept.
    pub fn replace(&self, apps: HashMap<AppName, Vec<SignIn>>) {
        let mut keys = KeySets::of(self.apps.load().values().map(Arc::as_ref));
        let enabled = apps.into_iter().filter(|(_, sign_ins)| !sign_ins.is_empty());
        let verifiers = enabled.map(|(app, sign_ins)| {
            let verifiers = AppSignIns::new(&app, &sign_ins, &self.shared, &mut keys);
            (app, Arc::new(verifiers))
        });
        self.apps.store(Arc::new(verifiers.collect()));
    }

    /// Returns true where the app's users can sign in with a credential of their own.
    pub fn is_enabled(&self, app: &AppName) -> bool {
        self.apps.load().contains_key(app)
    }

    /// Names of the cookies that the app's verifiers accept.
    pub fn cookies(&self, app: &AppName) -> Arc<[String]> {
        self.apps.load().get(app).map(|verifiers| Arc::clone(verifiers.cookies())).unwrap_or_default()
    }

    /// Verifies the credential of a user of this app. `source` is the client network that presents it; `None`: an
    /// operator does.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub async fn sign_in(
        &self,
        app: &AppName,
        user_ids: UserIdRules,
        credential: Credential<'_>,
        source: Option<IpAddr>,
    ) -> Result<AppUser, NotSignedIn> {
        let verifiers = self.app(app)?;
        match credential {
            // A token for Braze is a credential nowhere, and shown to nobody.
            Credential::Cookie { value, .. } if is_own_token(value) => Err(RefusedCredential::OwnToken.into()),
            Credential::Cookie { .. } => verifiers.by_endpoint(user_ids, credential, source).await,
            Credential::Bearer(bearer) => verifiers.by_bearer(app, user_ids, bearer, source, &self.shared.clock).await,
        }
    }

    /// Verifies a logout token that a provider sends for this app (OpenID Connect Back-Channel Logout 1.0 §2.6).
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub async fn sign_out(&self, app: &AppName, logout_token: &str) -> Result<ProviderLogout, NotSignedIn> {
        let verifiers = self.app(app)?;
        verifiers.sign_out(logout_token, &self.shared.clock).await
    }

    fn app(&self, app: &AppName) -> Result<Arc<AppSignIns>, CredentialRefusal> {
        self.apps.load().get(app).cloned().ok_or_else(|| RefusedCredential::NotEnabled.into())
    }
}

/// Tells whether a text is a token of this service, by its form.
fn is_own_token(text: &str) -> bool {
    oidc::UnverifiedCredential::read(text).is_ok_and(|jwt| oidc::is_own_token(&jwt))
}

/// Returns the claim `iss` of a JWT, unverified: it chooses the verifier. `None` where the text is no JWT, or has none.
pub fn unverified_issuer(text: &str) -> Option<String> {
    oidc::UnverifiedCredential::read(text).ok()?.issuer().map(str::to_owned)
}

/// Returns true where a text is read as a JWT, whoever signed it; for fuzzing.
pub fn reads_as_jwt(text: &str) -> bool {
    oidc::UnverifiedCredential::read(text).is_ok()
}
