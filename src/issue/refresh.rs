//! Refresh from the auth-failure callback, or from `refresh_from` on.

use std::{sync::Arc, time::Duration};

use super::{
    Issuer, Refusal,
    order::Order,
    token::{Issued, Signed},
};
use crate::{
    clock::UnixMillis,
    domain::{
        policy::{AppPolicy, RefreshPolicy},
        refresh_token::{Contents, Presented},
        session::{Decision, Ended, Session, decide},
    },
    identity::AppUser,
    store::Advance,
    telemetry::Alarm,
};

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
    /// [`Refusal`]; after a fault of the service the refresh token is still valid.
    pub async fn refresh(&self, presented: Presented, guard: Option<&str>) -> Result<Issued, Refusal> {
        self.reported(self.trade(presented, guard).await)
    }

    async fn trade(&self, presented: Presented, guard: Option<&str>) -> Result<Issued, Refusal> {
        if guard.is_some_and(|user| user != presented.user.as_str()) {
            return Err(Refusal::UserMismatch);
        }
        let Some(policy) = self.policy(&presented.app) else { return Err(self.without_policy(&presented).await) };
        let attempt = self.attempt(presented, policy)?;
        let mut signed = None;
        // Where another request advanced the counter first, the session is read again, once: it has the new counter
        // then.
        for _ in 0..2 {
            if let Some(issued) = self.try_once(&attempt, &mut signed).await? {
                return Ok(issued);
            }
        }
        Err(Refusal::Unavailable("the session changes too fast, try again".to_owned()))
    }

    /// Returns the answer where the app is not in the configuration. It may be missing by mistake, so a live session
    /// waits for its return, and only one that ended is refused for good.
    async fn without_policy(&self, presented: &Presented) -> Refusal {
        match self.parts.store.session(presented.session).await {
            Ok(Some(session)) if session.ended.is_none() => Refusal::Unavailable(format!(
                "the configuration has no [apps.{0}], and sessions of {0} are live: add it, or end them with \
                 `countersign users revoke --everyone --app {0}`",
                presented.app
            )),
            Ok(_) => Refusal::InvalidToken,
            Err(error) => error.into(),
        }
    }

    fn attempt(&self, presented: Presented, policy: Arc<AppPolicy>) -> Result<Attempt, Refusal> {
        let rules = policy.refresh().ok_or(Refusal::InvalidToken)?;
        let lifetime = policy.lifetime(presented.shortened);
        let now = self.parts.clock.trusted_now()?;
        Ok(Attempt { app_user: AppUser::of_session(&presented), presented, policy, rules, lifetime, now })
    }

    /// Reads the session and acts on the decision; `None` where another request advanced the session meanwhile.
    async fn try_once(&self, attempt: &Attempt, signed: &mut Option<Signed>) -> Result<Option<Issued>, Refusal> {
        let Some(session) = self.parts.store.session(attempt.presented.session).await? else {
            return Err(self.refused(attempt, attempt.unknown()));
        };
        let decision = decide(&session, &attempt.presented, attempt.now, attempt.rules);
        match decision {
            Decision::Rotate { to } | Decision::Ahead { to } => {
                self.rotate(attempt, &session, decision, to, signed).await
            }
            Decision::Repeat => {
                let (token, expires) = self.signed(attempt, signed).await?;
                let issued = self.issued(attempt, (token, expires), &attempt.newest_contents(&session))?;
                self.decided(attempt, decision);
                Ok(Some(issued))
            }
            Decision::Reused => {
                self.alarm_of_reuse(&session);
                self.parts.store.end_session(session.id, Ended::Reused, attempt.now).await?;
                Err(self.refused(attempt, decision))
            }
            Decision::Expired | Decision::OptedOut | Decision::Revoked | Decision::Superseded => {
                Err(self.refused(attempt, decision))
            }
        }
    }

    /// Signs, and advances the session, in the [`Order`] of this decision: an unavailable signer must not use up the
    /// refresh token. `signed` is the token of an earlier attempt.
    async fn rotate(
        &self,
        attempt: &Attempt,
        session: &Session,
        decision: Decision,
        to: u64,
        signed: &mut Option<Signed>,
    ) -> Result<Option<Issued>, Refusal> {
        let step = attempt.step(session, to);
        let (token, advanced) = match (signed.take(), Order::of_refresh(decision, attempt.rules)) {
            (Some(token), _) => (token, None),
            (None, Order::SignFirst(_)) => (self.signed(attempt, signed).await?, None),
            (None, Order::Together) => {
                let (times, write) = ((attempt.now, attempt.lifetime), self.parts.store.advance_session(step));
                let (token, advanced) = self.sign_beside(&attempt.app_user, &attempt.policy, times, write).await;
                (token?, advanced.transpose()?)
            }
        };
        let advanced = match advanced {
            Some(advanced) => advanced,
            None => self.parts.store.advance_session(step).await?,
        };
        if !advanced {
            *signed = Some(token);
            return Ok(None);
        }
        if let Decision::Ahead { .. } = decision {
            self.alarm_of_lost_writes(session, to);
        }
        let next = Session { counter: to, rotated: step.rotated, idle_expires: step.idle_expires, ..session.clone() };
        let issued = self.issued(attempt, token, &attempt.newest_contents(&next))?;
        self.decided(attempt, decision);
        Ok(Some(issued))
    }

    async fn signed(&self, attempt: &Attempt, signed: &mut Option<Signed>) -> Result<Signed, Refusal> {
        match signed.take() {
            Some(token) => Ok(token),
            None => self.sign(&attempt.app_user, &attempt.policy, (attempt.now, attempt.lifetime)).await,
        }
    }

    fn issued(&self, attempt: &Attempt, (token, expires): Signed, contents: &Contents) -> Result<Issued, Refusal> {
        let refresh = self.issue_refresh_token(contents, attempt.now, attempt.lifetime)?;
        Ok(Issued { token, now: attempt.now, expires, refresh: Some(refresh) })
    }

    /// Counts a decision that was carried out.
    fn decided(&self, attempt: &Attempt, decision: Decision) {
        self.parts.metrics.refreshed(attempt.presented.app.as_str(), decision.as_str());
    }

    /// Counts a decision that gives no token, and returns the app's answer.
    fn refused(&self, attempt: &Attempt, decision: Decision) -> Refusal {
        self.decided(attempt, decision);
        match decision {
            Decision::Expired => Refusal::ExpiredToken,
            Decision::OptedOut => Refusal::OptedOut,
            _ => Refusal::InvalidToken,
        }
    }

    /// Raised before the session is ended: the copy of the token is there even if the store does not answer.
    fn alarm_of_reuse(&self, session: &Session) {
        self.parts.metrics.alarm(Alarm::Reuse);
        tracing::warn!(session = %session.id, app = %session.app, "a replaced refresh token came back: its session ends");
    }

    fn alarm_of_lost_writes(&self, session: &Session, to: u64) {
        self.parts.metrics.alarm(Alarm::StoreLostWrites);
        tracing::error!(session = %session.id, app = %session.app, stored = session.counter, to,
            "a refresh token is newer than the store: the store lost writes");
    }
}

impl Attempt {
    /// Returns the decision where the session is not in the store: it ended and was purged, or was never there.
    fn unknown(&self) -> Decision {
        let over = self.now >= self.presented.expires || self.now >= self.presented.idle_expires;
        if over { Decision::Expired } else { Decision::Revoked }
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
            login: self.presented.login,
            unwritten: false,
        }
    }
}
