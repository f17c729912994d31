//! Refresh token that is issued with a token, and opened again when an app presents it.

use std::time::Duration;

use super::{Issuer, Refusal};
use crate::{
    clock::UnixMillis,
    domain::refresh_token::{self, Contents, IssuedWith, Presented, RefreshToken},
    secret::random,
};

/// Refresh token that goes with a token.
#[derive(Debug)]
pub struct IssuedRefreshToken {
    pub token: RefreshToken,
    /// Time from which the app should use it: some time before the token expires, with jitter.
    pub from: UnixMillis,
    /// Time at which it expires if it is not used.
    pub expires: UnixMillis,
    /// Time at which its session ends in any case.
    pub session_expires: UnixMillis,
}

impl Issuer {
    /// Opens a refresh token that an app presents. It uses neither store nor signer, so that forged tokens cost little.
    /// Its app may be out of the configuration: such a session is not refreshed, and can be revoked.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`] where it is forged or mistyped.
    pub fn unseal(&self, token: &str) -> Result<Presented, Refusal> {
        refresh_token::unseal(token, &self.sealing.load()).map_err(|_| Refusal::InvalidToken)
    }

    /// Seals the refresh token that goes with the token `with`; `times` are now and that token's lifetime.
    pub(super) fn issue_refresh_token(
        &self,
        contents: &Contents,
        with: IssuedWith,
        (now, lifetime): (UnixMillis, Duration),
    ) -> Result<IssuedRefreshToken, Refusal> {
        let expires = contents.idle_expires.min(contents.expires);
        let from = self.refresh_from(now, lifetime)?.min(expires);
        let token = RefreshToken::seal(contents, &self.sealing.load(), with.nonce());
        Ok(IssuedRefreshToken { token, from, expires, session_expires: contents.expires })
    }

    /// Returns the time from which a token that lives `lifetime` from `now` should be refreshed: somewhere between
    /// half and three quarters of its life, so that apps that logged in together do not refresh together.
    fn refresh_from(&self, now: UnixMillis, lifetime: Duration) -> Result<UnixMillis, Refusal> {
        let jitter = u16::from_be_bytes(random(&*self.parts.entropy)?);
        let share = 0.5 + 0.25 * f64::from(jitter) / f64::from(u16::MAX);
        Ok(now.plus(lifetime.mul_f64(share)))
    }
}
