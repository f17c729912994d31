//! Operations on tokens: an operator may mint one, to try things out.

use std::time::Duration;

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, UserId},
        jws::SignedToken,
    },
    issue::{Issuer, Refusal},
};

/// Operators' operations on tokens.
pub struct Tokens {
    issuer: Issuer,
}

impl Tokens {
    /// Makes the operations of this issuer; its keyring must be loaded.
    pub fn new(issuer: Issuer) -> Self {
        Self { issuer }
    }

    /// Mints a token for a user without a session; returns it and its expiry. `ttl` may only shorten the app's
    /// lifetime.
    ///
    /// # Errors
    /// [`Refusal`]: an unknown app, an opted-out user, a `ttl` out of range, no active key.
    pub async fn mint(
        &self,
        app: &AppName,
        user: UserId,
        ttl: Option<Duration>,
    ) -> Result<(SignedToken, UnixMillis), Refusal> {
        let issued = self.issuer.mint_by_operator(app, user, ttl).await?;
        Ok((issued.token, issued.expires))
    }
}
