//! Answers while the store is out of reach.
//!
//! A login gives a token, and a refresh token whose session is put on record at its first use after the outage. A
//! refresh gives a token, and the presented refresh token sealed again, unchanged: nothing moves on without the store, so
//! that afterwards it judges the refresh token like any other. No such token lives longer than [`DEGRADED_LIFETIME`].
//! Nothing is written here.
//!
//! A request that finds out that the store is out of reach may have a signature for the policy's lifetime already: it is
//! dropped, and a second one made. That costs one signature for each request under way at that moment, and none later.

use std::time::Duration;

use super::{
    IssuedRefreshToken, Issuer, Refusal,
    refresh::{Attempt, Progress},
    token::{Issued, Signed},
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::SessionId,
        policy::AppPolicy,
        refresh_token::Contents,
        session::{Decision, Ended},
    },
    identity::AppUser,
    outage::{DEGRADED_LIFETIME, Standing},
    secret::random,
    store::StoreError,
};

/// Lifetime of a token that is issued without the store, where the policy allows `lifetime`.
fn degraded(lifetime: Duration) -> Duration {
    lifetime.min(DEGRADED_LIFETIME)
}

impl Issuer {
    /// Mints without the store, with the first refresh token of a session that is not on record.
    pub(super) async fn mint_degraded(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        lifetime: Duration,
        contents: Contents,
        why: &StoreError,
    ) -> Result<Issued, Refusal> {
        let now = contents.issued;
        let signed = self.sign_degraded(app_user, policy, (now, lifetime), why).await?;
        let contents = Contents { unwritten: true, ..contents };
        let refresh = self.issue_refresh_token(&contents, signed.with, (now, degraded(lifetime)))?;
        Ok(issued_degraded(signed, now, Some(refresh)))
    }

    /// Mints without the store and without a session; `times` are now and the policy's lifetime.
    pub(super) async fn mint_alone_degraded(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        times: (UnixMillis, Duration),
        why: &StoreError,
    ) -> Result<Issued, Refusal> {
        let signed = self.sign_degraded(app_user, policy, times, why).await?;
        Ok(issued_degraded(signed, times.0, None))
    }

    async fn sign_degraded(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        (now, lifetime): (UnixMillis, Duration),
        why: &StoreError,
    ) -> Result<Signed, Refusal> {
        self.admit_user(app_user, now, why)?;
        let signed = self.sign(app_user, policy, (now, degraded(lifetime))).await?;
        self.parts.metrics.answered_degraded(app_user.app().as_str(), "mint");
        Ok(signed)
    }

    /// Checks without the store that a user may begin a session at `now`.
    fn admit_user(&self, app_user: &AppUser, now: UnixMillis, why: &StoreError) -> Result<(), Refusal> {
        match self.standing_of_user(app_user, now, why)? {
            Standing::Live => Ok(()),
            Standing::Ended(Ended::OptedOut) => Err(Refusal::OptedOut),
            Standing::Ended(Ended::Logout) => Err(Refusal::SignedOut),
            // An end by another node's clock, which is a little ahead of this one: the login succeeds in a moment.
            Standing::Ended(_) | Standing::Unsure => Err(unknown_standing(why)),
        }
    }

    /// Returns the standing of a session that the user would begin at `now`, without the store.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where nothing is answered without the store.
    pub(super) fn standing_of_user(
        &self,
        app_user: &AppUser,
        now: UnixMillis,
        why: &StoreError,
    ) -> Result<Standing, Refusal> {
        self.admit_outage(now, why)?;
        let session = SessionId::new(now, random(&*self.parts.entropy)?);
        let login = self.login_record(app_user);
        Ok(self.parts.outage.standing(session, self.user_hash(app_user), app_user.app(), login.as_ref()))
    }

    /// Refreshes without the store, or without the write that it does not take.
    pub(super) async fn refresh_degraded(
        &self,
        attempt: &Attempt<'_>,
        progress: &Progress,
        why: &StoreError,
    ) -> Result<Issued, Refusal> {
        if attempt.is_over() {
            return Err(self.refused(attempt, Decision::Expired));
        }
        self.admit_outage(attempt.now, why)?;
        let presented = &attempt.presented;
        let user = self.user_hash(&attempt.app_user);
        match self.parts.outage.standing(presented.session, user, &presented.app, presented.login.as_ref()) {
            Standing::Ended(Ended::OptedOut) => return Err(self.refused(attempt, Decision::OptedOut)),
            Standing::Ended(_) => return Err(self.refused(attempt, Decision::Revoked)),
            // The store could be read: its row says that the session is live.
            Standing::Unsure if !progress.row_is_live => return Err(unknown_standing(why)),
            Standing::Unsure | Standing::Live => {}
        }
        let times = (attempt.now, degraded(attempt.lifetime));
        let signed = self.sign(&attempt.app_user, &attempt.policy, times).await?;
        let refresh = self.issue_refresh_token(presented, signed.with, times)?;
        self.parts.metrics.answered_degraded(presented.app.as_str(), "refresh");
        Ok(issued_degraded(signed, attempt.now, Some(refresh)))
    }

    fn admit_outage(&self, now: UnixMillis, why: &StoreError) -> Result<(), Refusal> {
        let refused = |not_served| Refusal::Unavailable(format!("{not_served} ({why})"));
        self.parts.outage.admit(now).map_err(refused)
    }
}

fn issued_degraded(signed: Signed, now: UnixMillis, refresh: Option<IssuedRefreshToken>) -> Issued {
    let Signed { token, expires, .. } = signed;
    Issued { token, now, expires, refresh, degraded: true }
}

fn unknown_standing(why: &StoreError) -> Refusal {
    Refusal::Unavailable(format!("without the store it is not known whether the session has ended ({why})"))
}
