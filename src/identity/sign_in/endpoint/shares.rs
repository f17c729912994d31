//! Shares of an endpoint's calls: one client network cannot take all of them from the others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Calls at a time about credentials from one client network.
pub(super) const CALLS_OF_NETWORK: usize = 8;

/// Calls under way, by client network. A network without one has no entry.
#[derive(Default)]
pub(super) struct Shares(Mutex<HashMap<IpAddr, usize>>);

/// Call under way. Dropping it gives its place back.
pub(super) struct Share<'a> {
    shares: &'a Shares,
    network: Option<IpAddr>,
}

impl Shares {
    /// Takes a place for a call; `None` where the network has no more. An operator's call needs none.
    pub(super) fn take(&self, network: Option<IpAddr>) -> Option<Share<'_>> {
        if let Some(network) = network {
            let mut calls = self.lock();
            let under_way = calls.entry(network).or_default();
            if *under_way >= CALLS_OF_NETWORK {
                return None;
            }
            *under_way += 1;
        }
        Some(Share { shares: self, network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut calls = self.shares.lock();
        match calls.get_mut(&network) {
            Some(under_way) if *under_way > 1 => *under_way -= 1,
            _ => drop(calls.remove(&network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_and_leaves_no_entry() {
        let shares = Shares::default();
        let [one, other] = [1, 2].map(|n| Some(IpAddr::from([10, 0, 0, n])));
        let mut taken: Vec<_> = (0..CALLS_OF_NETWORK).map(|_| shares.take(one).unwrap()).collect();
        assert!(shares.take(one).is_none());
        assert!(shares.take(other).is_some() && shares.take(None).is_some());
        taken.pop();
        assert!(shares.take(one).is_some());
        drop(taken);
        assert!(shares.lock().is_empty());
    }
}
