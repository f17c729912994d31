//! Claims of a token (RFC 7519 §4), as Braze reads them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{ids::UserId, policy::AppPolicy};
use crate::clock::UnixMillis;

/// Audience that older Braze pages ask for.
pub const AUDIENCE: &str = "braze";

/// Claims of one token, serialised in the order of the fields.
#[derive(Debug, Serialize)]
pub struct Claims<'a> {
    sub: &'a str,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
}

impl<'a> Claims<'a> {
    /// Claims for `user` on the policy's app, in a token that lives for `lifetime` from `now`.
    ///
    /// `exp` is in whole seconds, as Braze reads it (error 22); a token with milliseconds there would never expire.
    pub fn new(user: &'a UserId, policy: &'a AppPolicy, now: UnixMillis, lifetime: Duration, jti: [u8; 16]) -> Self {
        let enabled = policy.claims;
        Self {
            sub: user.as_str(),
            exp: now.plus(lifetime).seconds(),
            iat: enabled.iat.then(|| now.seconds()),
            jti: enabled.jti.then(|| URL_SAFE_NO_PAD.encode(jti)),
            aud: enabled.aud.then_some(AUDIENCE),
            iss: policy.sdk_api_key.as_deref().filter(|_| enabled.iss),
        }
    }

    /// Expiry of the token: the instant of `exp`, which is never later than `now` + lifetime.
    pub fn expires(&self) -> UnixMillis {
        UnixMillis(self.exp.saturating_mul(1000))
    }
}
