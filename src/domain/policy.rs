//! Settings of one app: the lifetime of its tokens, their claims, and the rules of their refresh.

use std::{ops::RangeInclusive, time::Duration};

use super::ids::{AppName, RingName, UserIdRules};

/// Lifetimes that a token may have, by configuration and by request: a minute to a day.
pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// Policy of one app.
#[derive(Clone, Debug, PartialEq)]
pub struct AppPolicy {
    pub app: AppName,
    /// SDK API key of the app at Braze; becomes `iss` where that claim is enabled.
    pub sdk_api_key: Option<String>,
    pub ring: RingName,
    /// Lifetime of a token; within [`LIFETIMES`].
    pub lifetime: Duration,
    /// Rules of the refresh; `None`: tokens cannot be refreshed.
    pub refresh: Option<RefreshPolicy>,
    pub claims: ClaimsPolicy,
    pub user_ids: UserIdRules,
    /// Origins whose pages may refresh and revoke, exactly as browsers send them in `Origin`.
    pub allowed_origins: Vec<String>,
}

impl AppPolicy {
    /// Lifetime of a token: the app's, or the shorter one that the caller asked for.
    pub fn lifetime(&self, shortened: Option<Duration>) -> Duration {
        shortened.map_or(self.lifetime, |ttl| ttl.min(self.lifetime))
    }
}

/// Lifetimes of a session, and its tolerance for lost answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// Time without a refresh after which the session ends.
    pub idle: Duration,
    /// Time after login at which the session ends in any case.
    pub absolute: Duration,
    /// Time in which the previous refresh token is accepted again, because its answer was lost; zero: never.
    pub retry_window: Duration,
}

/// Optional claims of a token; `sub` and `exp` are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
