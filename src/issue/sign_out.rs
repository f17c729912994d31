//! Sign-out at the identity provider (OpenID Connect Back-Channel Logout 1.0).

use super::{Issuer, Refusal};
use crate::{
    domain::{ids::AppName, sign_in::ProviderLogout},
    outage::Operation,
    store::SignedOut,
};

impl Issuer {
    /// Ends the sessions of an app that a logout at the provider covers, and remembers it, so that credentials of these
    /// logins begin no session again. A logout that was carried out before changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] and [`Refusal::ClockStopped`] only: the sessions may still be live, and the provider
    /// should send the logout again.
    pub async fn sign_out(&self, app: &AppName, logout: &ProviderLogout) -> Result<(), Refusal> {
        let outcome = self.reported(self.carry_out(app, logout).await);
        let result = match &outcome {
            Ok(SignedOut::Now { ended }) => {
                tracing::info!(ended, "an identity provider signed a user out");
                "accepted"
            }
            Ok(SignedOut::Before) => "repeated",
            Err(_) => "unavailable",
        };
        self.parts.metrics.signed_out(app.as_str(), result);
        outcome.map(drop)
    }

    async fn carry_out(&self, app: &AppName, logout: &ProviderLogout) -> Result<SignedOut, Refusal> {
        let now = self.parts.clock.trusted_now()?;
        let logout = self.parts.user_hash.hash_logout(logout);
        Ok(self.parts.outage.ask(Operation::Write, self.parts.store.sign_out(app, logout, now)).await?)
    }
}
