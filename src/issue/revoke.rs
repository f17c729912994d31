//! Revoke at logout (RFC 7009).

use super::{Issuer, Refusal};
use crate::domain::{refresh_token::Presented, session::Ended};

impl Issuer {
    /// Ends the session of a refresh token, old or new. A session that has ended already is no error.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] and [`Refusal::ClockStopped`] only: the session may still be live, and the app should try
    /// again.
    pub async fn revoke(&self, presented: &Presented) -> Result<(), Refusal> {
        self.reported(self.end(presented).await)
    }

    async fn end(&self, presented: &Presented) -> Result<(), Refusal> {
        let now = self.parts.clock.trusted_now()?;
        self.parts.store.end_session(presented.session, Ended::Logout, now).await?;
        Ok(())
    }
}
