//! Sign-out at the identity provider (OpenID Connect Back-Channel Logout 1.0).

use super::{Issuer, Refusal, Revocation};
use crate::{
    domain::{ids::AppName, login_record::EndedLogin, requester::Requester, sign_in::ProviderLogout},
    outage::Operation,
    store::{End, SignedOut},
};

impl Issuer {
    /// Ends the sessions of an app that a logout at the provider covers, and remembers it, so that credentials of these
    /// logins begin no session again. A logout that was carried out before changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] and [`Refusal::ClockStopped`] only: the sessions may still be live, and the provider
    /// should send the logout again.
    pub async fn sign_out(
        &self,
        app: &AppName,
        logout: &ProviderLogout,
        by: Requester<'_>,
    ) -> Result<Revocation, Refusal> {
        let outcome = self.reported(self.carry_out(app, logout, by).await);
        let result = match &outcome {
            Ok(SignedOut::Now { ended }) => {
                tracing::info!(ended, "an identity provider signed a user out");
                "accepted"
            }
            Ok(SignedOut::Before) => "repeated",
            Err(_) => "unavailable",
        };
        self.parts.metrics.signed_out(app.as_str(), result);
        outcome?;
        Ok(self.revocation().await)
    }

    async fn carry_out(&self, app: &AppName, logout: &ProviderLogout, by: Requester<'_>) -> Result<SignedOut, Refusal> {
        let now = self.parts.clock.trusted_now()?;
        let actor = by.provider(&logout.issuer);
        let logout = self.parts.user_hash.hash_logout(logout);
        let (outage, store) = (&self.parts.outage, &self.parts.store);
        let outcome = outage.ask(Operation::Write, store.sign_out(app, logout.clone(), now, &actor)).await?;
        for EndedLogin { login, issued_until } in logout.ended {
            let (app, remembered_until) = (app.clone(), logout.remembered_until);
            outage.ended.note(&End::Login { app, login, issued_until, remembered_until });
        }
        Ok(outcome)
    }
}
