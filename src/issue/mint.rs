//! Mint at login: the first token of a session.

use std::time::Duration;

use super::{
    Issuer, Refusal,
    order::Order,
    refusal::Failure,
    token::{Issued, Signed},
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserId},
        login_record::LoginRecord,
        policy::{AppPolicy, RefreshPolicy},
        refresh_token::Contents,
        requester::Requester,
        session::{Ended, Session},
    },
    identity::AppUser,
    outage::{Operation, OwedEnd, Standing},
    secret::random,
    store::{Creation, StoreError},
    telemetry::record_session,
};

impl Issuer {
    /// Mints the first token for a user who just logged in, and begins a session where the app's policy allows
    /// refreshing.
    ///
    /// `shorten` asks for a lifetime shorter than the app's, for this token and the session's later ones.
    ///
    /// # Errors
    /// [`Refusal`]; no session is created for an opted-out user.
    pub async fn mint(
        &self,
        app_user: &AppUser,
        shorten: Option<Duration>,
        by: Requester<'_>,
    ) -> Result<Issued, Refusal> {
        let outcome = self.mint_with_session(app_user, shorten, by).await;
        let issued = self.reported(outcome).inspect_err(|_| self.count_refused(app_user.app()))?;
        self.parts.metrics.minted(app_user.app().as_str());
        Ok(issued)
    }

    async fn mint_with_session(
        &self,
        app_user: &AppUser,
        shorten: Option<Duration>,
        by: Requester<'_>,
    ) -> Result<Issued, Refusal> {
        let policy = self.policy(app_user.app()).ok_or(Refusal::UnknownApp)?;
        let lifetime = shortened(&policy, shorten)?;
        let Some(rules) = policy.refresh() else { return self.mint_alone(app_user, &policy, lifetime).await };
        let now = self.parts.clock.trusted_now()?;
        let contents = self.new_session(app_user, rules, now, shorten)?;
        record_session(&contents.session);
        let session = self.row_of(&contents);
        let times = (now, lifetime);
        let may_be_created = self.parts.outage.check(Operation::Write).is_ok();
        let minted = match Order::of_login(rules) {
            Order::SignFirst(_) => self.sign_then_create(app_user, &policy, times, session).await,
            Order::Together => self.sign_and_create(app_user, &policy, times, session, by).await,
        };
        let Signed { token, expires, with } = match minted {
            Ok(signed) => signed,
            Err(Failure::Outage(why)) => {
                let contents = if may_be_created { self.another_session(contents, by)? } else { contents };
                return self.mint_degraded(app_user, &policy, lifetime, contents, &why).await;
            }
            Err(Failure::Refused(refusal)) => return Err(refusal),
        };
        let refresh = Some(self.issue_refresh_token(&contents, with, times)?);
        Ok(Issued { token, now, expires, refresh, degraded: false })
    }

    async fn sign_then_create(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        times: (UnixMillis, Duration),
        session: Session,
    ) -> Result<Signed, Failure> {
        self.parts.outage.check(Operation::Write)?;
        let signed = self.sign(app_user, policy, times).await?;
        self.create(session, self.login_record(app_user)).await?;
        Ok(signed)
    }

    /// Creates the session while the signature is computed, where no other session has to end for it.
    async fn sign_and_create(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        times: (UnixMillis, Duration),
        session: Session,
        by: Requester<'_>,
    ) -> Result<Signed, Failure> {
        let outage = &self.parts.outage;
        outage.check(Operation::Write)?;
        let login = self.login_record(app_user);
        let write = self.parts.store.create_session_within_limit(session.clone(), login);
        let write = outage.ask(Operation::Write, write);
        let (signed, created) = self.sign_beside(app_user, policy, times, write).await;
        match created.transpose()? {
            None | Some(Creation::Full) => {
                let signed = signed?;
                self.create(session, login).await?;
                Ok(signed)
            }
            Some(Creation::OptedOut) => Err(Refusal::OptedOut.into()),
            Some(Creation::SignedOut) => Err(Refusal::SignedOut.into()),
            Some(Creation::Created { .. }) => match signed {
                Ok(signed) => Ok(signed),
                Err(refusal) => {
                    self.give_up(session.id, times.0, by).await;
                    Err(refusal.into())
                }
            },
        }
    }

    /// Returns another session in the place of one whose write may be committed yet: perhaps after an end of the user, for
    /// which a write at a login does not look. Nobody gets the one before, which ends as soon as that can be written, so
    /// that it takes no place among the user's sessions.
    fn another_session(&self, contents: Contents, by: Requester<'_>) -> Result<Contents, Refusal> {
        let owed = OwedEnd::new(Ended::Revoked, contents.issued, by.request_id);
        self.parts.outage.owed.owe(contents.session, owed);
        let session = SessionId::new(contents.issued, random(&*self.parts.entropy)?);
        record_session(&session);
        Ok(Contents { session, ..contents })
    }

    /// Ends a session of which nobody has a refresh token, so that it takes no place among the user's sessions. Where
    /// the store does not answer either, it is one of them until it expires.
    async fn give_up(&self, session: SessionId, now: UnixMillis, by: Requester<'_>) {
        let actor = by.service();
        let end = self.parts.store.end_session(session, Ended::Revoked, now, &actor);
        if let Err(why) = self.parts.outage.ask(Operation::Write, end).await {
            tracing::warn!(%session, %why, "a session without a token stays: its signature failed, then its end");
        }
    }

    /// Mints a token for an operator, without a session, to try things out; never without the store.
    pub async fn mint_by_operator(
        &self,
        app: &AppName,
        user: UserId,
        shorten: Option<Duration>,
    ) -> Result<Issued, Refusal> {
        let policy = self.policy(app).ok_or(Refusal::UnknownApp)?;
        let app_user = AppUser::named_by_operator(app.clone(), user);
        tracing::warn!(%app, "an operator mints a token by hand");
        let now = self.parts.clock.trusted_now()?;
        let times = (now, shortened(&policy, shorten)?);
        self.reported(self.mint_with_store(&app_user, &policy, times).await.map_err(Refusal::from))
    }

    async fn mint_alone(&self, app_user: &AppUser, policy: &AppPolicy, lifetime: Duration) -> Result<Issued, Refusal> {
        let times = (self.parts.clock.trusted_now()?, lifetime);
        match self.mint_with_store(app_user, policy, times).await {
            Err(Failure::Outage(why)) => self.mint_alone_degraded(app_user, policy, times, &why).await,
            minted => Ok(minted?),
        }
    }

    /// Mints without a session, for a user whom the store does not know to be opted out or signed out.
    async fn mint_with_store(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        times: (UnixMillis, Duration),
    ) -> Result<Issued, Failure> {
        let (outage, store, user) = (&self.parts.outage, &self.parts.store, self.user_hash(app_user));
        if outage.ask(Operation::Read, store.is_opted_out(user, app_user.app())).await? {
            return Err(Refusal::OptedOut.into());
        }
        if let Some(login) = self.login_record(app_user)
            && outage.ask(Operation::Read, store.is_signed_out(app_user.app(), login)).await?
        {
            return Err(Refusal::SignedOut.into());
        }
        let Signed { token, expires, .. } = self.sign(app_user, policy, times).await?;
        Ok(Issued { token, now: times.0, expires, refresh: None, degraded: false })
    }

    /// Returns whether the login that the user's credential shows has ended at its provider. The mint looks again, in the
    /// session's own write; asked before, a dead credential costs no signature.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]; [`Refusal::ClockStopped`] while the store is out of reach.
    pub async fn is_signed_out(&self, app_user: &AppUser) -> Result<bool, Refusal> {
        let Some(login) = self.login_record(app_user) else { return Ok(false) };
        let asked = self.parts.store.is_signed_out(app_user.app(), login);
        let answer = match self.parts.outage.ask(Operation::Read, asked).await {
            Err(why) if why.is_outage() => self.is_signed_out_degraded(app_user, &why),
            asked => asked.map_err(Refusal::from),
        };
        self.reported(answer)
    }

    /// Answers without the store. A user who is opted out, or whose standing is not known, is refused by the mint.
    fn is_signed_out_degraded(&self, app_user: &AppUser, why: &StoreError) -> Result<bool, Refusal> {
        let standing = self.standing_of_user(app_user, self.parts.clock.trusted_now()?, why)?;
        Ok(standing == Standing::Ended(Ended::Logout))
    }

    pub(super) fn login_record(&self, app_user: &AppUser) -> Option<LoginRecord> {
        app_user.login().map(|login| self.parts.user_hash.hash_login(login))
    }

    /// Creates the session, unless the user is opted out or the login has ended: both are looked up in the same write,
    /// which saves a query.
    async fn create(&self, session: Session, login: Option<LoginRecord>) -> Result<(), Failure> {
        let app = session.app.clone();
        let (outage, store) = (&self.parts.outage, &self.parts.store);
        let created = match login {
            None => outage.ask(Operation::Write, store.create_session(session)).await?,
            Some(login) => outage.ask(Operation::Write, store.create_session_of_login(session, login)).await?,
        };
        match created {
            Creation::OptedOut => Err(Refusal::OptedOut.into()),
            Creation::SignedOut => Err(Refusal::SignedOut.into()),
            Creation::Created { evicted } => {
                self.parts.metrics.sessions_evicted(app.as_str(), evicted);
                Ok(())
            }
            Creation::Full => Err(Refusal::Unavailable("the store made no place for a session".to_owned()).into()),
        }
    }

    /// Returns the contents of the first refresh token of a new session.
    fn new_session(
        &self,
        app_user: &AppUser,
        rules: RefreshPolicy,
        now: UnixMillis,
        shortened: Option<Duration>,
    ) -> Result<Contents, Refusal> {
        let expires = now.plus(rules.absolute);
        Ok(Contents {
            session: SessionId::new(now, random(&*self.parts.entropy)?),
            app: app_user.app().clone(),
            user: app_user.user().clone(),
            counter: 0,
            issued: now,
            idle_expires: now.plus(rules.idle).min(expires),
            expires,
            shortened,
            login: self.login_record(app_user),
            unwritten: false,
        })
    }

    /// Returns the new session as the store has it.
    pub(super) fn row_of(&self, first: &Contents) -> Session {
        Session {
            id: first.session,
            app: first.app.clone(),
            user: self.parts.user_hash.hash(&first.user),
            counter: first.counter,
            created: first.issued,
            rotated: first.issued,
            idle_expires: first.idle_expires,
            expires: first.expires,
            ended: None,
        }
    }
}

/// Returns the lifetime of the token: the app's, or the shorter one that was asked for.
fn shortened(policy: &AppPolicy, asked: Option<Duration>) -> Result<Duration, Refusal> {
    policy.may_shorten(asked).map_err(|bad| Refusal::BadRequest { field: "ttl", message: bad.to_string() })
}
