//! Verifiers of one app for opaque credentials: somebody is asked about them.

use std::net::IpAddr;

use super::{Credential, NotSignedIn, RefusedCredential, endpoint::Shared, introspection, session_endpoint};
use crate::{
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::SignIn,
    },
    identity::AppUser,
};

/// Verifiers of one app for opaque credentials, at most one of a kind.
pub(super) struct OpaqueVerifiers {
    introspection: Option<introspection::Verifier>,
    session_endpoint: Option<session_endpoint::Verifier>,
}

impl OpaqueVerifiers {
    /// Makes the verifiers of an app. The configuration has at most one of a kind.
    pub(super) fn new(app: &AppName, sign_ins: &[SignIn], shared: &Shared) -> Self {
        let mut made = Self { introspection: None, session_endpoint: None };
        for sign_in in sign_ins {
            match sign_in.clone() {
                SignIn::Oidc(_) => {}
                SignIn::Introspection(rules) => {
                    made.introspection = Some(introspection::Verifier::new(app.clone(), rules, shared.clone()));
                }
                SignIn::SessionEndpoint(rules) => {
                    made.session_endpoint = Some(session_endpoint::Verifier::new(app.clone(), rules, shared.clone()));
                }
            }
        }
        made
    }

    /// Names of the cookies that are accepted.
    pub(super) fn cookies(&self) -> &[String] {
        self.session_endpoint.as_ref().map_or(&[], |verifier| &verifier.rules().cookies)
    }

    /// Tells whether bearer credentials are asked about.
    pub(super) fn take_bearers(&self) -> bool {
        self.introspection.is_some() || self.session_endpoint.as_ref().is_some_and(|verifier| verifier.rules().bearer)
    }

    /// Asks about a credential. A bearer credential goes to the introspection endpoint where there is one: it is shown
    /// to one endpoint only.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn sign_in(
        &self,
        user_ids: UserIdRules,
        credential: Credential<'_>,
        source: Option<IpAddr>,
    ) -> Result<AppUser, NotSignedIn> {
        match (credential, &self.introspection, &self.session_endpoint) {
            (Credential::Bearer(bearer), Some(introspection), _) => {
                introspection.sign_in(user_ids, bearer, source).await
            }
            (credential, _, Some(session_endpoint)) => session_endpoint.sign_in(user_ids, credential, source).await,
            _ => Err(RefusedCredential::NotEnabled.into()),
        }
    }
}
