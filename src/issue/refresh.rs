//! Refresh from the auth-failure callback, or from `refresh_from` on.

use std::{sync::Arc, time::Duration};

use super::{Issuer, Refusal, token::Issued};
use crate::{
    clock::UnixMillis,
    domain::{
        jws::SignedToken,
        policy::{AppPolicy, RefreshPolicy},
        refresh_token::{Contents, Presented},
        session::{Decision, Ended, Session, decide},
    },
    identity::AppUser,
    store::{Advance, StoreError},
};

/// Refresh that gave a new token.
#[derive(Debug)]
pub struct Refreshed {
    pub issued: Issued,
    pub decision: Decision,
}

/// Refresh that gave no token.
#[derive(Debug)]
pub struct RefreshError {
    /// Answer for the app.
    pub refusal: Refusal,
    /// Decision on the session, where the session was read.
    pub decision: Option<Decision>,
}

impl From<Refusal> for RefreshError {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, decision: None }
    }
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        Refusal::from(error).into()
    }
}

/// Signed token and its expiry, kept for a second attempt.
type Signed = (SignedToken, UnixMillis);

/// Everything about a refresh but the session, which may be read twice.
struct Attempt {
    app_user: AppUser,
    presented: Presented,
    policy: Arc<AppPolicy>,
    rules: RefreshPolicy,
    lifetime: Duration,
    now: UnixMillis,
}

impl Issuer {
    /// Trades a refresh token for the next token and its refresh token.
    ///
    /// `guard` is the user that the app believes to be logged in: where it is not the session's user, nothing changes.
    ///
    /// # Errors
    /// [`RefreshError`]; after a fault of the service the refresh token is still valid.
    pub async fn refresh(&self, presented: Presented, guard: Option<&str>) -> Result<Refreshed, RefreshError> {
        if guard.is_some_and(|user| user != presented.user.as_str()) {
            return Err(Refusal::UserMismatch.into());
        }
        let attempt = self.attempt(presented)?;
        let mut signed = None;
        // Where another request advanced the counter first, the session is read again, once: it has the new counter
        // then.
        for _ in 0..2 {
            if let Some(refreshed) = self.try_once(&attempt, &mut signed).await? {
                return Ok(refreshed);
            }
        }
        Err(Refusal::Unavailable("the session changes too fast, try again".to_owned()).into())
    }

    fn attempt(&self, presented: Presented) -> Result<Attempt, Refusal> {
        let policy = self.policy(&presented.app).ok_or(Refusal::InvalidToken)?;
        let rules = policy.refresh().ok_or(Refusal::InvalidToken)?;
        let lifetime = policy.lifetime(presented.shortened);
        let now = self.parts.clock.now();
        Ok(Attempt { app_user: AppUser::of_session(&presented), presented, policy, rules, lifetime, now })
    }

    /// Reads the session and acts on the decision; `None` where another request advanced the session meanwhile.
    async fn try_once(
        &self,
        attempt: &Attempt,
        signed: &mut Option<Signed>,
    ) -> Result<Option<Refreshed>, RefreshError> {
        let Some(session) = self.parts.store.session(attempt.presented.session).await? else {
            return Err(attempt.unknown());
        };
        let decision = decide(&session, &attempt.presented, attempt.now, attempt.rules);
        match decision {
            Decision::Rotate { to } | Decision::Ahead { to } => {
                self.rotate(attempt, &session, decision, to, signed).await
            }
            Decision::Repeat => {
                let (token, expires) = self.signed(attempt, signed).await?;
                let issued = self.issued(attempt, (token, expires), &attempt.newest_contents(&session))?;
                Ok(Some(Refreshed { issued, decision }))
            }
            Decision::Reused => {
                self.parts.store.end_session(session.id, Ended::Reused, attempt.now).await?;
                let (session, app) = (session.id, &session.app);
                tracing::warn!(%session, %app, "a replaced refresh token was presented again: the session is ended");
                Err(refused(Refusal::InvalidToken, decision))
            }
            Decision::Expired => Err(refused(Refusal::ExpiredToken, decision)),
            Decision::OptedOut => Err(refused(Refusal::OptedOut, decision)),
            Decision::Revoked | Decision::Superseded => Err(refused(Refusal::InvalidToken, decision)),
        }
    }

    /// Signs first, then advances the session: an unavailable signer must not use up the refresh token.
    async fn rotate(
        &self,
        attempt: &Attempt,
        session: &Session,
        decision: Decision,
        to: u64,
        signed: &mut Option<Signed>,
    ) -> Result<Option<Refreshed>, RefreshError> {
        let token = self.signed(attempt, signed).await?;
        let step = attempt.step(session, to);
        if !self.parts.store.advance_session(step).await? {
            *signed = Some(token);
            return Ok(None);
        }
        if let Decision::Ahead { .. } = decision {
            tracing::error!(session = %session.id, app = %session.app, stored = session.counter, to,
                "a refresh token is newer than the store: the store lost writes");
        }
        let next = Session { counter: to, rotated: step.rotated, idle_expires: step.idle_expires, ..session.clone() };
        Ok(Some(Refreshed { issued: self.issued(attempt, token, &attempt.newest_contents(&next))?, decision }))
    }

    async fn signed(&self, attempt: &Attempt, signed: &mut Option<Signed>) -> Result<Signed, Refusal> {
        match signed.take() {
            Some(token) => Ok(token),
            None => self.sign(&attempt.app_user, &attempt.policy, attempt.now, attempt.lifetime).await,
        }
    }

    fn issued(&self, attempt: &Attempt, (token, expires): Signed, contents: &Contents) -> Result<Issued, Refusal> {
        let refresh = self.issue_refresh_token(contents, attempt.now, attempt.lifetime)?;
        Ok(Issued { token, now: attempt.now, expires, refresh: Some(refresh) })
    }
}

impl Attempt {
    /// Refuses a refresh whose session is not in the store: it ended and was purged, or the store lost it.
    fn unknown(&self) -> RefreshError {
        let over = self.now >= self.presented.expires || self.now >= self.presented.idle_expires;
        if over {
            refused(Refusal::ExpiredToken, Decision::Expired)
        } else {
            refused(Refusal::InvalidToken, Decision::Revoked)
        }
    }

    /// Returns the session's advance to counter `to`.
    fn step(&self, session: &Session, to: u64) -> Advance {
        let idle_expires = self.now.plus(self.rules.idle).min(session.expires);
        Advance { id: session.id, from: session.counter, to, rotated: self.now, idle_expires }
    }

    /// Returns the contents of the newest refresh token of the session's chain.
    fn newest_contents(&self, session: &Session) -> Contents {
        Contents {
            session: session.id,
            app: session.app.clone(),
            user: self.presented.user.clone(),
            counter: session.counter,
            issued: session.rotated,
            idle_expires: session.idle_expires,
            expires: session.expires,
            shortened: self.presented.shortened,
        }
    }
}

fn refused(refusal: Refusal, decision: Decision) -> RefreshError {
    RefreshError { refusal, decision: Some(decision) }
}
