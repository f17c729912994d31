//! Authentication of callers, and authorisation for users.
//!
//! A token can be minted for an [`AppUser`] only, and only this module makes one: from a backend that authenticated
//! with an API key and vouches for its user, from a credential of the user that was verified, or from a session that began
//! with such a login.

mod api_keys;
mod sign_in;

use crate::domain::{
    ids::{AppName, UserId},
    refresh_token::Presented,
    sign_in::ProviderLogin,
};

pub use api_keys::{ApiKeyAuthenticator, Caller, NotScoped, Unauthenticated};
pub use sign_in::{
    Credential, CredentialRefusal, KeySetReport, NoKeySet, NotSignedIn, RefusedCredential, ReportedFault, ReportedKey,
    RuleName, SignIns, key_set_url, reads_as_jwt, unverified_issuer,
};

/// A user of an app, vouched for by an authenticated caller.
#[derive(Clone, Debug)]
pub struct AppUser {
    app: AppName,
    user: UserId,
    login: Option<ProviderLogin>,
}

impl AppUser {
    /// Returns the user of a session. The login that began the session was vouched for.
    pub fn of_session(presented: &Presented) -> Self {
        Self { app: presented.app.clone(), user: presented.user.clone(), login: None }
    }

    /// Returns the user that an operator names. Operators hold the signing keys; requests must never get here.
    pub fn named_by_operator(app: AppName, user: UserId) -> Self {
        Self { app, user, login: None }
    }

    /// Returns the app that the user belongs to.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// Returns the user's id.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Returns the login at a provider that the user's credential showed, if it showed one.
    pub fn login(&self) -> Option<&ProviderLogin> {
        self.login.as_ref()
    }
}
