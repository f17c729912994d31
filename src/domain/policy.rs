//! Settings of one app: the lifetime of its tokens, their claims, and the rules of their refresh.

use std::{num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::ids::{DEFAULT_MAX_USER_ID_BYTES, RingName, UserIdRules};
use crate::clock::human_duration;

/// Lifetimes that a token may have, by configuration and by request: a minute to a day.
pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// Longest time after login that [`RefreshPolicy::absolute`] may be: ends of users are kept that long.
pub const LONGEST_SESSION: Duration = Duration::from_hours(400 * 24);

/// Policy of one app. `[apps.<name>]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppPolicy {
    /// SDK API key of the app at Braze; becomes `iss` where that claim is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk_api_key: Option<String>,
    /// Workspace of the app at Braze, and its id there; without them operators add and delete its keys by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub braze_app_id: Option<String>,
    pub ring: RingName,
    /// Lifetime of a token; within [`LIFETIMES`].
    #[serde(with = "human_duration")]
    pub lifetime: Duration,
    /// Longest user id, in bytes of UTF-8; at most [`BRAZE_MAX_USER_ID_BYTES`](super::ids::BRAZE_MAX_USER_ID_BYTES).
    pub max_user_id_bytes: NonZeroUsize,
    /// Lets zero-width and bidirectional control characters through in user ids.
    pub allow_invisible_characters: bool,
    /// Origins whose pages may exchange, refresh and revoke, exactly as browsers send them in `Origin`.
    pub allowed_origins: Vec<String>,
    pub refresh: RefreshPolicy,
    pub claims: ClaimsPolicy,
}

impl Default for AppPolicy {
    fn default() -> Self {
        Self {
            sdk_api_key: None,
            workspace: None,
            braze_app_id: None,
            ring: RingName::default(),
            lifetime: Duration::from_hours(1),
            max_user_id_bytes: DEFAULT_MAX_USER_ID_BYTES,
            allow_invisible_characters: false,
            allowed_origins: Vec::new(),
            refresh: RefreshPolicy::default(),
            claims: ClaimsPolicy::default(),
        }
    }
}

impl AppPolicy {
    /// Lifetime of a token: the app's, or the shorter one that the caller asked for.
    pub fn lifetime(&self, shortened: Option<Duration>) -> Duration {
        shortened.map_or(self.lifetime, |ttl| ttl.min(self.lifetime))
    }

    /// Lifetime of a token, where the caller may ask for this one.
    ///
    /// # Errors
    /// [`BadTtl`] names the limit that it breaks.
    pub fn may_shorten(&self, asked: Option<Duration>) -> Result<Duration, BadTtl> {
        match asked {
            Some(ttl) if ttl < *LIFETIMES.start() => Err(BadTtl::TooShort),
            Some(ttl) if ttl > self.lifetime => Err(BadTtl::TooLong(self.lifetime)),
            _ => Ok(asked.unwrap_or(self.lifetime)),
        }
    }

    /// Rules of the refresh; `None` where tokens cannot be refreshed.
    pub fn refresh(&self) -> Option<RefreshPolicy> {
        self.refresh.enabled.then_some(self.refresh)
    }

    /// Returns true for an origin that the app lists.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == origin)
    }

    /// Rules for user ids.
    pub fn user_ids(&self) -> UserIdRules {
        UserIdRules { max_bytes: self.max_user_id_bytes.get(), allow_invisible: self.allow_invisible_characters }
    }
}

/// Reason why a caller may not ask for a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTtl {
    /// Shorter than any token's.
    #[error("must be at least {} s", LIFETIMES.start().as_secs())]
    TooShort,
    /// Longer than the app's.
    #[error("may only shorten the app's lifetime of {} s", .0.as_secs())]
    TooLong(Duration),
}

/// Lifetimes of a session, and its tolerance for lost answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefreshPolicy {
    pub enabled: bool,
    /// Time without a refresh after which the session ends.
    #[serde(with = "human_duration")]
    pub idle: Duration,
    /// Time after login at which the session ends in any case.
    #[serde(with = "human_duration")]
    pub absolute: Duration,
    /// Time in which the previous refresh token is accepted again, because its answer was lost; zero: never.
    #[serde(with = "human_duration")]
    pub retry_window: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        let days = |days: u64| Duration::from_hours(24 * days);
        Self { enabled: true, idle: days(30), absolute: days(180), retry_window: days(1) }
    }
}

/// Optional claims of a token; `sub` and `exp` are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimsPolicy {
    /// Random id. Enabled by default: RS256 is deterministic, and Braze's SDK ignores a token equal to the last one.
    pub jti: bool,
    /// Time of issue.
    pub iat: bool,
    /// `aud` = `braze` (older Braze pages ask for it, the newest does not).
    pub aud: bool,
    /// `iss` = the SDK API key (older Braze pages ask for it, the newest does not).
    pub iss: bool,
    /// Id of the key, in the header; Braze tries each of its keys and ignores the id.
    pub kid: bool,
}

impl Default for ClaimsPolicy {
    fn default() -> Self {
        Self { jti: true, iat: false, aud: false, iss: false, kid: false }
    }
}
