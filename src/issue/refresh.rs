//! Refresh from the auth-failure callback, or from `refresh_from` on.

use std::{sync::Arc, time::Duration};

use super::{
    Issuer, Refusal,
    order::Order,
    refusal::Failure,
    token::{Issued, Signed},
};
use crate::{
    clock::UnixMillis,
    domain::{
        policy::{AppPolicy, LIFETIMES, RefreshPolicy},
        refresh_token::{Contents, Presented},
        requester::Requester,
        session::{Decision, Ended, Session, decide},
    },
    identity::AppUser,
    outage::{Operation, OwedEnd},
    store::{Advance, End, StoreError},
    telemetry::Alarm,
};

/// Everything about a refresh but the session, which may be read twice.
pub(super) struct Attempt<'a> {
    pub(super) app_user: AppUser,
    pub(super) presented: Presented,
    pub(super) policy: Arc<AppPolicy>,
    rules: RefreshPolicy,
    /// Lifetime of the token: the policy's, and at most what is left of the session.
    pub(super) lifetime: Duration,
    pub(super) now: UnixMillis,
    /// The request, for what it causes beside its answer.
    by: Requester<'a>,
}

/// Results of a refresh so far.
#[derive(Default)]
pub(super) struct Progress {
    /// Token of an earlier attempt.
    signed: Option<Signed>,
    /// The session's row was read, and has no end.
    pub(super) row_is_live: bool,
}

impl Issuer {
    /// Trades a refresh token for the next token and its refresh token.
    ///
    /// `guard` is the user that the app believes to be logged in: where it is not the session's user, nothing changes.
    ///
    /// # Errors
    /// [`Refusal`]; after a fault of the service the refresh token is still valid.
    pub async fn refresh(
        &self,
        presented: Presented,
        guard: Option<&str>,
        by: Requester<'_>,
    ) -> Result<Issued, Refusal> {
        let app = presented.app.clone();
        self.reported(self.trade(presented, guard, by).await).inspect_err(|_| self.count_refused(&app))
    }

    async fn trade(&self, presented: Presented, guard: Option<&str>, by: Requester<'_>) -> Result<Issued, Refusal> {
        if guard.is_some_and(|user| user != presented.user.as_str()) {
            return Err(Refusal::UserMismatch);
        }
        let Some(policy) = self.policy(&presented.app) else { return Err(self.without_policy(&presented).await) };
        let attempt = self.attempt(presented, policy, by)?;
        let mut progress = Progress::default();
        // Where another request advanced the counter first, the session is read again, once: it has the new counter
        // then.
        for _ in 0..2 {
            match self.try_once(&attempt, &mut progress).await {
                Ok(Some(issued)) => return Ok(issued),
                Ok(None) => {}
                Err(Failure::Outage(why)) => return self.refresh_degraded(&attempt, &progress, &why).await,
                Err(Failure::Refused(refusal)) => return Err(refusal),
            }
        }
        Err(Refusal::Unavailable("the session changes too fast, try again".to_owned()))
    }

    /// Returns the answer where the app is not in the configuration. It may be missing by mistake, so a live session
    /// waits for its return, and only one that ended is refused for good. One that is not on record yet is put there at
    /// its first refresh after that.
    async fn without_policy(&self, presented: &Presented) -> Refusal {
        let is_live = match self.parts.outage.ask(Operation::Read, self.parts.store.session(presented.session)).await {
            Ok(Some(session)) => session.ended.is_none(),
            Ok(None) => presented.unwritten && self.parts.clock.untrusted_now() < presented.expires,
            Err(error) => return error.into(),
        };
        if !is_live {
            return Refusal::InvalidToken;
        }
        Refusal::Unavailable(format!(
            "the configuration has no [apps.{0}], and sessions of {0} are live: add it, or end them with \
             `countersign users revoke --everyone --app {0}`",
            presented.app
        ))
    }

    fn attempt<'a>(
        &self,
        presented: Presented,
        policy: Arc<AppPolicy>,
        by: Requester<'a>,
    ) -> Result<Attempt<'a>, Refusal> {
        let rules = policy.refresh().ok_or(Refusal::InvalidToken)?;
        let now = self.parts.clock.trusted_now()?;
        let lifetime = policy.lifetime(presented.shortened).min(presented.expires.since(now));
        Ok(Attempt { app_user: AppUser::of_session(&presented), presented, policy, rules, lifetime, now, by })
    }

    /// Reads the session and acts on the decision; `None` where another request advanced the session meanwhile.
    async fn try_once(&self, attempt: &Attempt<'_>, progress: &mut Progress) -> Result<Option<Issued>, Failure> {
        let Some(mut session) = self.row(attempt).await? else {
            return Err(self.refused(attempt, attempt.unknown()).into());
        };
        session.ended = session.ended.or_else(|| self.parts.outage.owed.of(session.id));
        progress.row_is_live = session.ended.is_none();
        let decision = attempt.judge(&session);
        match decision {
            Decision::Rotate { to } | Decision::Ahead { to } => {
                self.rotate(attempt, &session, decision, to, &mut progress.signed).await
            }
            Decision::Repeat => {
                let signed = self.signed(attempt, &mut progress.signed).await?;
                let issued = self.issued(attempt, signed, &attempt.newest_contents(&session))?;
                self.decided(attempt, decision);
                Ok(Some(issued))
            }
            Decision::Reused => {
                self.alarm_of_reuse(&session);
                self.end_reused(attempt, &session).await?;
                Err(self.refused(attempt, decision).into())
            }
            Decision::Expired | Decision::OptedOut | Decision::Revoked | Decision::Superseded => {
                Err(self.refused(attempt, decision).into())
            }
        }
    }

    /// Reads the session's row. A session that began while the store was out of reach is put on record first.
    async fn row(&self, attempt: &Attempt<'_>) -> Result<Option<Session>, StoreError> {
        let (outage, store, presented) = (&self.parts.outage, &self.parts.store, &attempt.presented);
        let row = outage.ask(Operation::Read, store.session(presented.session)).await?;
        if row.is_some() || !presented.unwritten || attempt.is_over() {
            return Ok(row);
        }
        let (begun, actor) = (self.unwritten_row(presented, None), attempt.by.presenter(&presented.app));
        outage.ask(Operation::Write, store.adopt_session(begun, presented.login, &actor)).await?;
        outage.ask(Operation::Read, store.session(presented.session)).await
    }

    /// Returns the row of a session that began while the store was out of reach: as it was then, or ended.
    pub(super) fn unwritten_row(&self, presented: &Presented, ended: Option<Ended>) -> Session {
        Session { ended, ..self.row_of(presented) }
    }

    /// Ends a session of which somebody has a copy. Where the end cannot be written, this node remembers it, and writes it
    /// as soon as it can.
    async fn end_reused(&self, attempt: &Attempt<'_>, session: &Session) -> Result<(), StoreError> {
        let outage = &self.parts.outage;
        let actor = attempt.by.presenter(&session.app);
        let end = self.parts.store.end_session(session.id, Ended::Reused, attempt.now, &actor);
        let ended = outage.ask(Operation::Write, end).await;
        let known = End::Session { id: session.id, why: Ended::Reused, expires: session.expires };
        outage.ended.note(&known);
        match ended {
            Err(error) if error.is_outage() => {
                outage.owed.owe(session.id, OwedEnd::new(Ended::Reused, attempt.now, attempt.by.request_id));
                Ok(())
            }
            ended => ended.map(drop),
        }
    }

    /// Signs, and advances the session, in the [`Order`] of this decision: an unavailable signer must not use up the
    /// refresh token. `signed` is the token of an earlier attempt.
    async fn rotate(
        &self,
        attempt: &Attempt<'_>,
        session: &Session,
        decision: Decision,
        to: u64,
        signed: &mut Option<Signed>,
    ) -> Result<Option<Issued>, Failure> {
        let outage = &self.parts.outage;
        outage.check(Operation::Write)?;
        let step = attempt.step(session, to);
        let (token, advanced) = match (signed.take(), Order::of_refresh(decision, attempt.rules)) {
            (Some(token), _) => (token, None),
            (None, Order::SignFirst(_)) => (self.signed(attempt, signed).await?, None),
            (None, Order::Together) => {
                let times = (attempt.now, attempt.lifetime);
                let write = outage.ask(Operation::Write, self.parts.store.advance_session(step));
                let (token, advanced) = self.sign_beside(&attempt.app_user, &attempt.policy, times, write).await;
                (token?, advanced.transpose()?)
            }
        };
        let advanced = match advanced {
            Some(advanced) => advanced,
            None => outage.ask(Operation::Write, self.parts.store.advance_session(step)).await?,
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

    async fn signed(&self, attempt: &Attempt<'_>, signed: &mut Option<Signed>) -> Result<Signed, Refusal> {
        match signed.take() {
            Some(token) => Ok(token),
            None => self.sign(&attempt.app_user, &attempt.policy, (attempt.now, attempt.lifetime)).await,
        }
    }

    fn issued(&self, attempt: &Attempt<'_>, signed: Signed, contents: &Contents) -> Result<Issued, Refusal> {
        let Signed { token, expires, with } = signed;
        let refresh = Some(self.issue_refresh_token(contents, with, (attempt.now, attempt.lifetime))?);
        Ok(Issued { token, now: attempt.now, expires, refresh, degraded: false })
    }

    /// Counts a decision that was carried out.
    fn decided(&self, attempt: &Attempt<'_>, decision: Decision) {
        self.parts.metrics.refreshed(attempt.presented.app.as_str(), decision.as_str());
    }

    /// Counts a decision that gives no token, and returns the app's answer.
    pub(super) fn refused(&self, attempt: &Attempt<'_>, decision: Decision) -> Refusal {
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

impl Attempt<'_> {
    /// Decides, but that a session with less left than the shortest life of a token is over: no token outlives its session.
    fn judge(&self, session: &Session) -> Decision {
        match decide(session, &self.presented, self.now, self.rules) {
            Decision::Rotate { .. } | Decision::Repeat | Decision::Ahead { .. } if self.is_ending() => {
                Decision::Expired
            }
            decision => decision,
        }
    }

    /// Returns true where the session is over by the refresh token's own contents.
    pub(super) fn is_over(&self) -> bool {
        self.now >= self.presented.idle_expires || self.is_ending()
    }

    fn is_ending(&self) -> bool {
        self.presented.expires.since(self.now) < *LIFETIMES.start()
    }

    /// Returns the decision where the session is not in the store: it ended and was purged, or was never there.
    fn unknown(&self) -> Decision {
        if self.is_over() { Decision::Expired } else { Decision::Revoked }
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
