//! Revoke at logout (RFC 7009).

use super::{Issuer, Refusal};
use crate::domain::{refresh_token::Presented, session::Ended};

impl Issuer {
    /// Ends the session of a refresh token, old or new. It may be ended twice.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] only: then it may still be alive, and the app should ask again.
    pub async fn revoke(&self, presented: &Presented) -> Result<(), Refusal> {
        let now = self.parts.clock.now();
        let ended = self.parts.store.end_session(presented.session, Ended::Logout, now).await;
        self.reported(ended.map(drop).map_err(Refusal::from))
    }
}
