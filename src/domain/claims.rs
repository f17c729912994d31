//! What a token says (RFC 7519 §4), in Braze's terms.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{ids::UserId, policy::AppPolicy};
use crate::clock::UnixMillis;

/// The audience that older Braze pages ask for.
pub const AUDIENCE: &str = "braze";

/// The claims of one token, written in this order.
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
    /// The claims for `user` on an app, for a token that lives `lifetime` from `now`.
    ///
    /// `exp` is in whole seconds: Braze reads it so (error 22), and milliseconds there would never expire.
    pub fn new(user: &'a UserId, policy: &'a AppPolicy, now: UnixMillis, lifetime: Duration, jti: [u8; 16]) -> Self {
        let asked = policy.claims;
        Self {
            sub: user.as_str(),
            exp: now.plus(lifetime).seconds(),
            iat: asked.iat.then(|| now.seconds()),
            jti: asked.jti.then(|| URL_SAFE_NO_PAD.encode(jti)),
            aud: asked.aud.then_some(AUDIENCE),
            iss: policy.sdk_api_key.as_deref().filter(|_| asked.iss),
        }
    }

    /// When the token expires: the instant of `exp`, which is never later than `now` + lifetime.
    pub fn expires(&self) -> UnixMillis {
        UnixMillis(self.exp.saturating_mul(1000))
    }
}
