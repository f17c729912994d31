//! Rate limits (GCRA, by `governor`). The defaults are far above what an honest burst needs.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, time::Duration};

use axum::http::HeaderValue;
use governor::{
    DefaultKeyedRateLimiter, RateLimiter,
    clock::{Clock, DefaultClock},
};

use serde::{Deserialize, Serialize};

use super::problem::{Problem, at_least_a_second, header_text};
use crate::{
    address::client_network,
    domain::{
        api_key::ApiKeyId,
        ids::{AppName, SessionId, UserHash},
    },
};

/// Sustained rate, and size of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// Quotas, and a switch for all of them. `[limits]` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitConfig {
    pub enabled: bool,
    /// Quota of one API key.
    pub per_client: Quota,
    /// Quota of one session.
    pub per_session: Quota,
    /// Quota of one user of one app from one client network, at sign-in with a credential of their own: who has a copy
    /// of a credential uses up no quota but that of their own network.
    pub per_user: Quota,
    /// Quota of one [client network](client_network).
    pub per_address: Quota,
    /// Quota of refused credentials from one client network.
    pub failures_per_address: Quota,
}

impl Default for LimitConfig {
    fn default() -> Self {
        const fn quota(per_second: u32, burst: u32) -> Quota {
            match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
                (Some(per_second), Some(burst)) => Quota { per_second, burst },
                _ => unreachable!(),
            }
        }
        Self {
            enabled: true,
            per_client: const { quota(2000, 4000) },
            per_session: const { quota(5, 200) },
            per_user: const { quota(1, 60) },
            per_address: const { quota(500, 2000) },
            failures_per_address: const { quota(1, 100) },
        }
    }
}

/// Limits in force; `None`: no limit.
pub struct Limits(Option<Limiters>);

struct Limiters {
    client: Limit<ApiKeyId>,
    session: Limit<SessionId>,
    user: Limit<(AppName, UserHash, IpAddr)>,
    address: Limit<IpAddr>,
    failure: Limit<IpAddr>,
}

struct Limit<K: Hash + Eq + Clone> {
    name: &'static str,
    /// Value of `RateLimit-Policy`, the same for every refusal.
    policy: HeaderValue,
    limiter: DefaultKeyedRateLimiter<K>,
}

impl Limits {
    /// Makes limits of these quotas, or none where they are switched off.
    pub fn new(config: &LimitConfig) -> Self {
        Self(config.enabled.then(|| Limiters {
            client: Limit::new("client", config.per_client),
            session: Limit::new("session", config.per_session),
            user: Limit::new("user", config.per_user),
            address: Limit::new("address", config.per_address),
            failure: Limit::new("failures", config.failures_per_address),
        }))
    }

    /// Counts one request with this API key.
    pub(super) fn client(&self, key: &ApiKeyId) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |limiters| limiters.client.check(key))
    }

    /// Counts one request of this session.
    pub(super) fn session(&self, session: SessionId) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |limiters| limiters.session.check(&session))
    }

    /// Counts one sign-in of this user from this address.
    pub(super) fn user(&self, app: &AppName, user: UserHash, address: IpAddr) -> Result<(), Problem> {
        let key = || (app.clone(), user, client_network(address));
        self.0.as_ref().map_or(Ok(()), |limiters| limiters.user.check(&key()))
    }

    /// Counts one request from this address.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |limiters| limiters.address.check(&client_network(address)))
    }

    /// Counts one refused credential from this address. Beyond the limit the refusal is 429, whatever its cause was;
    /// a good credential from the same address still passes, so that nobody can lock out their neighbours.
    pub fn failure(&self, address: IpAddr) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |limiters| limiters.failure.check(&client_network(address)))
    }

    /// Number of networks with a refused credential since the last [`evict_idle`](Self::evict_idle), and of those that
    /// had not recovered then.
    pub fn failing_networks(&self) -> usize {
        self.0.as_ref().map_or(0, |limiters| limiters.failure.limiter.len())
    }

    /// Removes the entries whose quota has fully recovered. Call it periodically.
    pub fn evict_idle(&self) {
        if let Some(limiters) = &self.0 {
            limiters.client.limiter.retain_recent();
            limiters.session.limiter.retain_recent();
            limiters.user.limiter.retain_recent();
            limiters.address.limiter.retain_recent();
            limiters.failure.limiter.retain_recent();
        }
    }
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(name: &'static str, quota: Quota) -> Self {
        let rate = governor::Quota::per_second(quota.per_second).allow_burst(quota.burst);
        Self { name, policy: rate_limit_policy(name, quota), limiter: RateLimiter::dashmap(rate) }
    }

    fn check(&self, key: &K) -> Result<(), Problem> {
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Problem::rate_limited(wait, self.name, self.policy.clone())
        })
    }
}

/// Returns the value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
fn rate_limit_policy(name: &str, quota: Quota) -> HeaderValue {
    let window = Duration::from_secs_f64(f64::from(quota.burst.get()) / f64::from(quota.per_second.get()));
    header_text(&format!("\"{name}\";q={};w={}", quota.burst, at_least_a_second(window)))
}
