//! Token that is issued, by mint and by refresh.

use std::time::Duration;

use super::{Issuer, Refusal, refresh_token::IssuedRefreshToken};
use crate::{
    clock::UnixMillis,
    domain::{
        claims::Claims,
        jws::{SignedToken, SigningInput},
        policy::AppPolicy,
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
}

impl Issuer {
    /// Signs a token for `app_user` that lives `lifetime` from `now`. Returns it with its expiry.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Overloaded`].
    pub(super) async fn sign(
        &self,
        app_user: &AppUser,
        policy: &AppPolicy,
        now: UnixMillis,
        lifetime: Duration,
    ) -> Result<(SignedToken, UnixMillis), Refusal> {
        let no_key = || Refusal::Unavailable(format!("ring {} has no active key", policy.ring));
        let signer = self.parts.keyring.signer(&policy.ring).ok_or_else(no_key)?;
        let claims = Claims::new(app_user.user(), policy, now, lifetime, random(&*self.parts.entropy)?);
        let expires = claims.expires();
        let input = SigningInput::new(&claims, policy.claims.kid.then(|| signer.kid()));
        Ok((signer.sign(input).await?, expires))
    }
}
