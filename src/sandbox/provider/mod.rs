//! A local OpenID provider: it signs an ID token for whoever asks, and sends logout tokens. With it, sign-in by the
//! credential of a session can be tried without an account at a provider.

mod keys;
mod routes;

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::error::Unspecified;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::keys::ProviderKey;
use crate::clock::UnixMillis;

pub(super) use self::routes::routes;

/// Path of the issuer below the sandbox's URL.
pub const ISSUER_PATH: &str = "/oidc";

/// Lifetime of an ID token, in seconds, where none is asked for.
const LIFETIME: u64 = 3600;
/// Lifetime of a logout token, in seconds: two minutes at most are recommended (Back-Channel Logout 1.0 §2.4).
const LOGOUT_LIFETIME: i64 = 120;
/// Member of the claim `events` in a logout token (Back-Channel Logout 1.0 §2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// State of the provider.
#[derive(Default)]
pub(super) struct Provider {
    /// The last one signs; all are in the key set. The first is made when it is needed.
    keys: Mutex<Vec<ProviderKey>>,
}

/// Login for which an ID token is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    sub: String,
    /// Client that the token is for.
    #[serde(default = "default_audience")]
    aud: String,
    /// The provider's session; a new one where it is absent.
    sid: Option<String>,
    #[serde(default = "default_lifetime")]
    lifetime_s: u64,
    /// More claims, which replace those of the same name.
    #[serde(default)]
    claims: Map<String, Value>,
}

fn default_audience() -> String {
    "web".to_owned()
}

fn default_lifetime() -> u64 {
    LIFETIME
}

/// Logout for which a logout token is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logout {
    sub: Option<String>,
    sid: Option<String>,
    #[serde(default = "default_audience")]
    aud: String,
    /// URL that the logout token is sent to; where it is absent, the answer has the token.
    to: Option<String>,
}

impl Provider {
    /// Signs an ID token of this issuer (OpenID Connect Core 1.0 §2).
    fn id_token(&self, issuer: &str, login: Login, now: UnixMillis) -> Result<String, Unspecified> {
        let now = now.seconds();
        let sid = login.sid.map_or_else(new_id, Ok)?;
        let mut claims = json!({
            "iss": issuer, "sub": login.sub, "aud": login.aud, "sid": sid,
            "iat": now, "auth_time": now, "exp": now.saturating_add_unsigned(login.lifetime_s),
        });
        if let Value::Object(claims) = &mut claims {
            claims.extend(login.claims);
        }
        self.sign("JWT", &claims)
    }

    /// Signs a logout token of this issuer (Back-Channel Logout 1.0 §2.4).
    fn logout_token(&self, issuer: &str, logout: &Logout, now: UnixMillis) -> Result<String, Unspecified> {
        let now = now.seconds();
        let mut claims = json!({
            "iss": issuer, "aud": logout.aud, "iat": now, "exp": now.saturating_add(LOGOUT_LIFETIME), "jti": new_id()?,
            "events": { LOGOUT_EVENT: {} },
        });
        for (name, value) in [("sub", &logout.sub), ("sid", &logout.sid)] {
            if let Some(value) = value {
                claims[name] = json!(value);
            }
        }
        self.sign("logout+jwt", &claims)
    }

    fn sign(&self, kind: &str, claims: &Value) -> Result<String, Unspecified> {
        self.keys()?.last().ok_or(Unspecified)?.sign(kind, claims)
    }

    /// Returns the key set (RFC 7517 §5).
    fn key_set(&self) -> Result<Value, Unspecified> {
        Ok(json!({ "keys": self.keys()?.iter().map(|key| &key.public).collect::<Vec<_>>() }))
    }

    /// Replaces the key that signs. The older ones stay in the key set, where that is asked for.
    fn rotate(&self, keep: bool) -> Result<(), Unspecified> {
        let key = ProviderKey::generate()?;
        let mut keys = self.keys()?;
        if !keep {
            keys.clear();
        }
        keys.push(key);
        Ok(())
    }

    fn keys(&self) -> Result<MutexGuard<'_, Vec<ProviderKey>>, Unspecified> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.is_empty() {
            keys.push(ProviderKey::generate()?);
        }
        Ok(keys)
    }
}

fn new_id() -> Result<String, Unspecified> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id)?;
    Ok(hex::encode(id))
}
