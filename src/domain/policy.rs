//! What an operator decided for one app: how long its tokens live, what they say, how they are refreshed.

use std::{ops::RangeInclusive, time::Duration};

use super::ids::{AppName, RingName, UserIdRules};

/// How long a token may live, by configuration and by request: a minute to a day.
pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// The policy of one app.
#[derive(Clone, Debug, PartialEq)]
pub struct AppPolicy {
    /// Its name here.
    pub app: AppName,
    /// Its SDK API key at Braze; becomes `iss` where that claim is on.
    pub sdk_api_key: Option<String>,
    /// The keys that sign for it.
    pub ring: RingName,
    /// The life of its tokens; within [`LIFETIMES`].
    pub lifetime: Duration,
    /// How its tokens are refreshed; `None`: not at all.
    pub refresh: Option<RefreshPolicy>,
    /// What its tokens say.
    pub claims: ClaimsPolicy,
    /// Which user ids it takes.
    pub user_ids: UserIdRules,
    /// Origins whose pages may refresh and revoke, exactly as browsers send them.
    pub allowed_origins: Vec<String>,
}

impl AppPolicy {
    /// The life of a token, in whole seconds: the app's, or what the caller shortened it to.
    pub fn lifetime(&self, shortened: Option<Duration>) -> Duration {
        shortened.map_or(self.lifetime, |ttl| ttl.min(self.lifetime))
    }
}

/// How long a session lives, and how patient it is with lost answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// The session ends when it is not refreshed for this long.
    pub idle: Duration,
    /// The session ends this long after login, whatever happens.
    pub absolute: Duration,
    /// How long the last refresh token may be presented again, because its answer was lost; zero: never.
    pub retry_window: Duration,
}

/// Which claims a token carries beside `sub` and `exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimsPolicy {
    /// A random id. On by default: RS256 is deterministic, and Braze's SDK ignores a token equal to the last one.
    pub jti: bool,
    /// When it was issued.
    pub iat: bool,
    /// `aud` = `braze` (older Braze pages ask for it, the newest does not).
    pub aud: bool,
    /// `iss` = the SDK API key (likewise).
    pub iss: bool,
    /// The key's id in the header; Braze tries its keys and ignores it.
    pub kid: bool,
}

impl Default for ClaimsPolicy {
    fn default() -> Self {
        Self { jti: true, iat: false, aud: false, iss: false, kid: false }
    }
}
