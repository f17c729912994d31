//! How often who may ask (GCRA, by `governor`). The defaults are far above what an honest burst needs.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::problem::Problem;
use crate::{
    address::client_network,
    domain::{api_key::ApiKeyId, ids::SessionId},
};

/// So many a second in the long run, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The rate.
    pub per_second: NonZeroU32,
    /// The burst.
    pub burst: NonZeroU32,
}

/// The quotas of `[limits]`; `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitConfig {
    /// Of one API key.
    pub per_client: Quota,
    /// Of one session.
    pub per_session: Quota,
    /// Of one address (of IPv6, one /64).
    pub per_address: Quota,
    /// Of refused credentials from one address.
    pub failures_per_address: Quota,
}

/// The limits in force.
pub struct Limits(Option<Kinds>);

struct Kinds {
    client: Limit<ApiKeyId>,
    session: Limit<SessionId>,
    address: Limit<IpAddr>,
    failure: Limit<IpAddr>,
}

struct Limit<K: Hash + Eq + Clone> {
    name: &'static str,
    quota: Quota,
    limiter: DefaultKeyedRateLimiter<K>,
}

impl Limits {
    /// Limits by these quotas, or none at all.
    pub fn new(config: Option<LimitConfig>) -> Self {
        Self(config.map(|config| Kinds {
            client: Limit::new("client", config.per_client),
            session: Limit::new("session", config.per_session),
            address: Limit::new("address", config.per_address),
            failure: Limit::new("failures", config.failures_per_address),
        }))
    }

    /// One request with this API key.
    pub(super) fn client(&self, key: &ApiKeyId) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |kinds| kinds.client.check(key))
    }

    /// One request of this session.
    pub(super) fn session(&self, session: SessionId) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |kinds| kinds.session.check(&session))
    }

    /// One request from this address.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |kinds| kinds.address.check(&client_network(address)))
    }

    /// One refused credential from this address. Beyond the limit the refusal says to wait, instead of why; a good
    /// credential from the same address still passes, so that nobody can lock out their neighbours.
    pub(super) fn failure(&self, address: IpAddr) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |kinds| kinds.failure.check(&client_network(address)))
    }

    /// Forgets those who have been quiet long enough to start afresh; called now and then.
    pub fn evict_idle(&self) {
        if let Some(kinds) = &self.0 {
            kinds.client.limiter.retain_recent();
            kinds.session.limiter.retain_recent();
            kinds.address.limiter.retain_recent();
            kinds.failure.limiter.retain_recent();
        }
    }
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(name: &'static str, quota: Quota) -> Self {
        let rate = governor::Quota::per_second(quota.per_second).allow_burst(quota.burst);
        Self { name, quota, limiter: RateLimiter::dashmap(rate) }
    }

    fn check(&self, key: &K) -> Result<(), Problem> {
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            let window =
                Duration::from_secs_f64(f64::from(self.quota.burst.get()) / f64::from(self.quota.per_second.get()));
            Problem::rate_limited(wait, self.name, self.quota.burst.get(), window)
        })
    }
}
