//! Mint at login: the first token of a session.

use std::time::Duration;

use super::{Issued, Issuer, Refresh, Refusal};
use crate::{
    clock::UnixMillis,
    domain::{
        claims::Claims,
        ids::{SessionId, UserHash, UserId},
        jws::{SignedToken, SigningInput},
        policy::{AppPolicy, LIFETIMES, RefreshPolicy},
        refresh_token::Contents,
        session::Session,
    },
    identity::AppUser,
    secret::random,
    store::Creation,
};

impl Issuer {
    /// Mints the first token for a user who just logged in, and begins a session where the app's policy has refreshing.
    ///
    /// `shorten` asks for a life shorter than the app's, for this token and the session's later ones.
    ///
    /// # Errors
    /// [`Refusal`]; opted-out users get nothing, and nothing is kept.
    pub async fn mint(&self, who: &AppUser, shorten: Option<Duration>) -> Result<Issued, Refusal> {
        let policy = self.policy(who.app()).ok_or(Refusal::UnknownApp)?;
        let lifetime = shortened(&policy, shorten)?;
        let Some(rules) = policy.refresh else { return self.mint_alone(who, &policy, lifetime).await };
        // The opt-out is looked up with the session's own write, which costs one question to the store less.
        let now = self.parts.clock.now();
        let (token, expires) = self.sign(who, &policy, now, lifetime).await?;
        let refresh = Some(self.begin_session(who, rules, now, lifetime, shorten).await?);
        Ok(Issued { token, now, expires, refresh })
    }

    /// Mints a token on an operator's word, without a session, to try things out.
    pub async fn mint_by_operator(
        &self,
        policy: &AppPolicy,
        user: UserId,
        shorten: Option<Duration>,
    ) -> Result<Issued, Refusal> {
        let who = AppUser::named_by_operator(policy.app.clone(), user);
        tracing::warn!(app = %policy.app, "an operator mints a token by hand");
        self.mint_alone(&who, policy, shortened(policy, shorten)?).await
    }

    async fn mint_alone(&self, who: &AppUser, policy: &AppPolicy, lifetime: Duration) -> Result<Issued, Refusal> {
        let now = self.parts.clock.now();
        if self.parts.store.is_opted_out(self.parts.user_hash.hash(who.user()), who.app()).await? {
            return Err(Refusal::OptedOut);
        }
        let (token, expires) = self.sign(who, policy, now, lifetime).await?;
        Ok(Issued { token, now, expires, refresh: None })
    }

    /// Signs a token for `who`, good for `lifetime` from `now`; also says when it expires.
    pub(super) async fn sign(
        &self,
        who: &AppUser,
        policy: &AppPolicy,
        now: UnixMillis,
        lifetime: Duration,
    ) -> Result<(SignedToken, UnixMillis), Refusal> {
        let no_key = || Refusal::Unavailable(format!("ring {} has no active key", policy.ring));
        let signer = self.parts.keyring.signer(&policy.ring).ok_or_else(no_key)?;
        let claims = Claims::new(who.user(), policy, now, lifetime, random(&*self.parts.entropy)?);
        let expires = claims.expires();
        let input = SigningInput::new(&claims, policy.claims.kid.then(|| signer.kid()));
        Ok((signer.sign(input).await?, expires))
    }

    async fn begin_session(
        &self,
        who: &AppUser,
        rules: RefreshPolicy,
        now: UnixMillis,
        lifetime: Duration,
        shortened: Option<Duration>,
    ) -> Result<Refresh, Refusal> {
        let user = self.parts.user_hash.hash(who.user());
        let session = new_session(SessionId::new(now, random(&*self.parts.entropy)?), who, user, rules, now);
        let contents = Contents {
            session: session.id,
            app: who.app().clone(),
            user: who.user().clone(),
            counter: session.counter,
            issued: now,
            idle_expires: session.idle_expires,
            expires: session.expires,
            shortened,
        };
        match self.parts.store.create_session(session).await? {
            Creation::OptedOut => Err(Refusal::OptedOut),
            Creation::Created { .. } => self.issue_refresh_token(&contents, now, lifetime),
        }
    }

    /// Seals the refresh token that goes with a token of this life.
    pub(super) fn issue_refresh_token(
        &self,
        contents: &Contents,
        now: UnixMillis,
        lifetime: Duration,
    ) -> Result<Refresh, Refusal> {
        let expires = contents.idle_expires.min(contents.expires);
        let from = self.refresh_from(now, lifetime)?.min(expires);
        Ok(Refresh { token: self.seal(contents)?, from, expires })
    }
}

fn new_session(id: SessionId, who: &AppUser, user: UserHash, rules: RefreshPolicy, now: UnixMillis) -> Session {
    let expires = now.plus(rules.absolute);
    Session {
        id,
        app: who.app().clone(),
        user,
        counter: 0,
        created: now,
        rotated: now,
        idle_expires: now.plus(rules.idle).min(expires),
        expires,
        ended: None,
    }
}

/// The life the caller gets: the app's, or the shorter one that was asked for.
fn shortened(policy: &AppPolicy, asked: Option<Duration>) -> Result<Duration, Refusal> {
    let refused = |message| Err(Refusal::BadRequest { field: "ttl", message });
    match asked {
        None => Ok(policy.lifetime),
        Some(ttl) if ttl < *LIFETIMES.start() => refused(format!("must be at least {} s", LIFETIMES.start().as_secs())),
        Some(ttl) if ttl > policy.lifetime => {
            refused(format!("may only shorten the app's lifetime of {} s", policy.lifetime.as_secs()))
        }
        Some(ttl) => Ok(ttl),
    }
}
