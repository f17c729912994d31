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
    Issuer, Refusal,
    refresh::{Attempt, Progress},
    token::Issued,
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
        let issued = self.mint_alone_degraded(app_user, policy, (now, lifetime), why).await?;
        let contents = Contents { unwritten: true, ..contents };
        let refresh = Some(self.issue_refresh_token(&contents, now, degraded(lifetime))?);
        Ok(Issued { refresh, ..issued })
    }

    /// Mints without the store and without a session; `times` are now and the policy's lifetime.
    pub(super) async fn mint_alone_degraded(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        (now, lifetime): (UnixMillis, Duration),
        why: &StoreError,
    ) -> Result<Issued, Refusal> {
        self.admit_user(app_user, now, why)?;
        let (token, expires) = self.sign(app_user, policy, (now, degraded(lifetime))).await?;
        self.parts.metrics.answered_degraded(app_user.app().as_str(), "mint");
        Ok(Issued { token, now, expires, refresh: None, degraded: true })
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
        let lifetime = degraded(attempt.lifetime);
        let (token, expires) = self.sign(&attempt.app_user, &attempt.policy, (attempt.now, lifetime)).await?;
        let refresh = self.issue_refresh_token(presented, attempt.now, lifetime)?;
        self.parts.metrics.answered_degraded(presented.app.as_str(), "refresh");
        Ok(Issued { token, now: attempt.now, expires, refresh: Some(refresh), degraded: true })
    }

    fn admit_outage(&self, now: UnixMillis, why: &StoreError) -> Result<(), Refusal> {
        let refused = |not_served| Refusal::Unavailable(format!("{not_served} ({why})"));
        self.parts.outage.admit(now).map_err(refused)
    }
}

fn unknown_standing(why: &StoreError) -> Refusal {
    Refusal::Unavailable(format!("without the store it is not known whether the session has ended ({why})"))
}
