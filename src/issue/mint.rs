//! Mint at login: the first token of a session.

use std::time::Duration;

use super::{Issuer, Refusal, refresh_token::IssuedRefreshToken, token::Issued};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash, UserId},
        login_record::LoginRecord,
        policy::{AppPolicy, RefreshPolicy},
        refresh_token::Contents,
        session::Session,
    },
    identity::AppUser,
    secret::random,
    store::Creation,
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
    pub async fn mint(&self, app_user: &AppUser, shorten: Option<Duration>) -> Result<Issued, Refusal> {
        let issued = self.reported(self.mint_with_session(app_user, shorten).await)?;
        self.parts.metrics.minted(app_user.app().as_str());
        Ok(issued)
    }

    async fn mint_with_session(&self, app_user: &AppUser, shorten: Option<Duration>) -> Result<Issued, Refusal> {
        let policy = self.policy(app_user.app()).ok_or(Refusal::UnknownApp)?;
        let lifetime = shortened(&policy, shorten)?;
        let Some(rules) = policy.refresh() else { return self.mint_alone(app_user, &policy, lifetime).await };
        // The opt-out is looked up with the session's own write, which saves a query.
        let now = self.parts.clock.trusted_now()?;
        let (token, expires) = self.sign(app_user, &policy, now, lifetime).await?;
        let refresh = Some(self.begin_session(app_user, rules, now, lifetime, shorten).await?);
        Ok(Issued { token, now, expires, refresh })
    }

    /// Mints a token for an operator, without a session, to try things out.
    pub async fn mint_by_operator(
        &self,
        app: &AppName,
        user: UserId,
        shorten: Option<Duration>,
    ) -> Result<Issued, Refusal> {
        let policy = self.policy(app).ok_or(Refusal::UnknownApp)?;
        let app_user = AppUser::named_by_operator(app.clone(), user);
        tracing::warn!(%app, "an operator mints a token by hand");
        self.reported(self.mint_alone(&app_user, &policy, shortened(&policy, shorten)?).await)
    }

    async fn mint_alone(&self, app_user: &AppUser, policy: &AppPolicy, lifetime: Duration) -> Result<Issued, Refusal> {
        let now = self.parts.clock.trusted_now()?;
        if self.parts.store.is_opted_out(self.parts.user_hash.hash(app_user.user()), app_user.app()).await? {
            return Err(Refusal::OptedOut);
        }
        if let Some(login) = self.login_record(app_user)
            && self.parts.store.is_signed_out(app_user.app(), login).await?
        {
            return Err(Refusal::SignedOut);
        }
        let (token, expires) = self.sign(app_user, policy, now, lifetime).await?;
        Ok(Issued { token, now, expires, refresh: None })
    }

    /// Returns whether the login that the user's credential shows has ended at its provider. The mint looks again, in the
    /// session's own write; asked before, a dead credential costs no signature.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn is_signed_out(&self, app_user: &AppUser) -> Result<bool, Refusal> {
        let Some(login) = self.login_record(app_user) else { return Ok(false) };
        let asked = self.parts.store.is_signed_out(app_user.app(), login).await;
        self.reported(asked.map_err(Refusal::from))
    }

    fn login_record(&self, app_user: &AppUser) -> Option<LoginRecord> {
        app_user.login().map(|login| self.parts.user_hash.hash_login(login))
    }

    async fn begin_session(
        &self,
        app_user: &AppUser,
        rules: RefreshPolicy,
        now: UnixMillis,
        lifetime: Duration,
        shortened: Option<Duration>,
    ) -> Result<IssuedRefreshToken, Refusal> {
        let user_hash = self.parts.user_hash.hash(app_user.user());
        let session = new_session(SessionId::new(now, random(&*self.parts.entropy)?), app_user, user_hash, rules, now);
        record_session(&session.id);
        let login = self.login_record(app_user);
        let contents = Contents {
            session: session.id,
            app: app_user.app().clone(),
            user: app_user.user().clone(),
            counter: session.counter,
            issued: now,
            idle_expires: session.idle_expires,
            expires: session.expires,
            shortened,
            login,
        };
        let created = match login {
            None => self.parts.store.create_session(session).await?,
            Some(login) => self.parts.store.create_session_of_login(session, login).await?,
        };
        match created {
            Creation::OptedOut => Err(Refusal::OptedOut),
            Creation::SignedOut => Err(Refusal::SignedOut),
            Creation::Created { evicted } => {
                self.parts.metrics.sessions_evicted(app_user.app().as_str(), evicted);
                self.issue_refresh_token(&contents, now, lifetime)
            }
        }
    }
}

fn new_session(
    id: SessionId,
    app_user: &AppUser,
    user_hash: UserHash,
    rules: RefreshPolicy,
    now: UnixMillis,
) -> Session {
    let expires = now.plus(rules.absolute);
    Session {
        id,
        app: app_user.app().clone(),
        user: user_hash,
        counter: 0,
        created: now,
        rotated: now,
        idle_expires: now.plus(rules.idle).min(expires),
        expires,
        ended: None,
    }
}

/// Returns the lifetime of the token: the app's, or the shorter one that was asked for.
fn shortened(policy: &AppPolicy, asked: Option<Duration>) -> Result<Duration, Refusal> {
    policy.may_shorten(asked).map_err(|bad| Refusal::BadRequest { field: "ttl", message: bad.to_string() })
}
