//! Revoke at logout (RFC 7009).

use super::{Issuer, Refusal, Revocation};
use crate::{
    domain::{refresh_token::Presented, requester::Requester, session::Ended},
    outage::Operation,
    store::End,
};

impl Issuer {
    /// Ends the session of a refresh token, old or new. A session that has ended already is no error. While the store is
    /// out of reach nothing is promised.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] and [`Refusal::ClockStopped`] only: the session may still be live, and the app should try
    /// again.
    pub async fn revoke(&self, presented: &Presented, by: Requester<'_>) -> Result<Revocation, Refusal> {
        self.reported(self.end(presented, by).await)?;
        Ok(self.revocation().await)
    }

    async fn end(&self, presented: &Presented, by: Requester<'_>) -> Result<(), Refusal> {
        let now = self.parts.clock.trusted_now()?;
        let actor = by.presenter(&presented.app);
        let (outage, store) = (&self.parts.outage, &self.parts.store);
        if presented.unwritten && now < presented.expires {
            // Its row would else be born live at a later refresh. A refresh at this moment may put a live row on record
            // first; so the end follows in any case.
            let ended = self.unwritten_row(presented, Some(Ended::Logout));
            outage.ask(Operation::Write, store.adopt_session(ended, presented.login, &actor)).await?;
        }
        outage.ask(Operation::Write, store.end_session(presented.session, Ended::Logout, now, &actor)).await?;
        let known = End::Session { id: presented.session, why: Ended::Logout, expires: presented.expires };
        outage.ended.note(&known);
        Ok(())
    }
}
