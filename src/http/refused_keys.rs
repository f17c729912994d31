//! Log of refused API keys: at most one line a minute for each key and address, in bounded memory.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::{address::client_network, domain::api_key::ApiKeyId};

/// Shortest time between two lines of one key and one address.
const INTERVAL: Duration = Duration::from_mins(1);

/// Maximal number of pairs of key and address. While there are as many, refusals of other pairs have no line.
const MAX_PAIRS: usize = 1024;

/// Key id, where the credential has one, and network of the client.
type Pair = (Option<ApiKeyId>, IpAddr);

/// Pairs of key and address that had a line in the last minute.
pub struct RefusedKeys(DefaultKeyedRateLimiter<Pair>);

impl Default for RefusedKeys {
    fn default() -> Self {
        let once = Quota::with_period(INTERVAL).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
        Self(RateLimiter::dashmap(once.allow_burst(NonZeroU32::MIN)))
    }
}

impl RefusedKeys {
    /// Logs that a credential from this address was refused. Of the credential, only the key's id is logged.
    pub(super) fn log(&self, presented: &str, address: IpAddr) {
        let id = ApiKeyId::of_presented(presented);
        if self.admits(&(id.clone(), client_network(address))) {
            let key = id.as_ref().map(tracing::field::display);
            tracing::warn!(%address, key, "an API key was refused (one line a minute for each key and address)");
        }
    }

    fn admits(&self, pair: &Pair) -> bool {
        self.0.len() < MAX_PAIRS && self.0.check_key(pair).is_ok()
    }

    /// Removes the pairs that may have a line again. Call it periodically.
    pub fn evict_idle(&self) {
        self.0.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_line_and_pairs_are_bounded() {
        let refused = RefusedKeys::default();
        let pair = |n: u32| (None, IpAddr::from(n.to_be_bytes()));
        assert!(refused.admits(&pair(0)) && !refused.admits(&pair(0)));
        let admitted = (0..5000).filter(|n| refused.admits(&pair(*n))).count();
        assert_eq!((admitted, refused.0.len()), (MAX_PAIRS - 1, MAX_PAIRS));
    }
}
