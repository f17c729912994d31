//! Token that is issued, by mint and by refresh.

use std::{future::Future, time::Duration};

use tokio::sync::oneshot;

use super::{Issuer, Refusal, order::together, refresh_token::IssuedRefreshToken};
use crate::{
    clock::UnixMillis,
    domain::{
        claims::Claims,
        jws::{SignedToken, SigningInput},
        policy::AppPolicy,
        refresh_token::IssuedWith,
    },
    identity::AppUser,
    secret::random,
};

/// Token for the app, with the times and the refresh token for the next one.
#[derive(Debug)]
pub struct Issued {
    pub token: SignedToken,
    /// Time of the issue, by this service's clock.
    pub now: UnixMillis,
    /// Time at which the token expires.
    pub expires: UnixMillis,
    /// `None`: the app's policy does not allow refreshing.
    pub refresh: Option<IssuedRefreshToken>,
    /// It was issued while the store was out of reach.
    pub degraded: bool,
}

/// Signed token, its expiry, and both as the refresh token that goes with it names them.
pub(super) struct Signed {
    pub(super) token: SignedToken,
    pub(super) expires: UnixMillis,
    pub(super) with: IssuedWith,
}

impl Issuer {
    /// Signs a token for `app_user`; `times` are now and the token's lifetime.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Overloaded`].
    pub(super) async fn sign(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        times: (UnixMillis, Duration),
    ) -> Result<Signed, Refusal> {
        self.sign_telling(app_user, policy, times, None).await
    }

    /// Signs as [`Self::sign`] does, beside a write ([`together`]). Returns no outcome of the write where it was never
    /// begun.
    pub(super) async fn sign_beside<W>(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        times: (UnixMillis, Duration),
        write: impl Future<Output = W>,
    ) -> (Result<Signed, Refusal>, Option<W>) {
        let (begun, is_begun) = oneshot::channel();
        together(self.sign_telling(app_user, policy, times, Some(begun)), is_begun, write).await
    }

    async fn sign_telling(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        (now, lifetime): (UnixMillis, Duration),
        begun: Option<oneshot::Sender<()>>,
    ) -> Result<Signed, Refusal> {
        let no_key = || Refusal::Unavailable(format!("ring {} has no active key", policy.ring));
        let signer = self.parts.keyring.signer(&policy.ring).ok_or_else(no_key)?;
        let claims = Claims::new(app_user.user(), policy, now, lifetime, random(&*self.parts.entropy)?);
        let expires = claims.expires();
        let input = SigningInput::new(&claims, policy.claims.kid.then(|| signer.kid()));
        let token = match begun {
            Some(begun) => signer.sign_telling(input, begun).await?,
            None => signer.sign(input).await?,
        };
        Ok(Signed { token, expires, with: IssuedWith::new(signer.kid(), (now, expires)) })
    }
}
