//! Sign-out at the identity provider (OpenID Connect Back-Channel Logout 1.0).

use super::{Issuer, Refusal};
use crate::{
    domain::{ids::AppName, sign_in::ProviderLogout},
    store::SignedOut,
};

impl Issuer {
    /// Ends the sessions of an app that a logout at the provider covers, and remembers it, so that credentials of these
    /// logins begin no session again. Returns the number of live sessions that were ended; `None` where the same logout
    /// was carried out before.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] and [`Refusal::ClockStopped`] only: the sessions may still be live, and the provider
    /// should send the logout again.
    pub async fn sign_out(&self, app: &AppName, logout: &ProviderLogout) -> Result<Option<u64>, Refusal> {
        self.reported(self.carry_out(app, logout).await)
    }

    async fn carry_out(&self, app: &AppName, logout: &ProviderLogout) -> Result<Option<u64>, Refusal> {
        let now = self.parts.clock.trusted_now()?;
        let logout = self.parts.user_hash.hash_logout(logout);
        match self.parts.store.sign_out(app, logout, now).await? {
            SignedOut::Now { ended } => Ok(Some(ended)),
            SignedOut::Before => Ok(None),
        }
    }
}
