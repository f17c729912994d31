//! Number of open connections, in all and from one client network.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{address::client_network, telemetry::Metrics};

/// Permits for the connections of one listener.
pub(super) struct ConnectionLimiter {
    max: usize,
    max_per_address: usize,
    taken: Mutex<Taken>,
    metrics: Option<Arc<Metrics>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only networks that have a permit: no memory is spent on the others.
    by_address: HashMap<IpAddr, usize>,
}

impl ConnectionLimiter {
    pub(super) fn new(max: usize, max_per_address: usize, metrics: Option<Arc<Metrics>>) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, taken: Mutex::default(), metrics })
    }

    /// Returns a permit for a connection from this address, where one is left.
    pub(super) fn acquire(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let network = client_network(address);
        if !self.count(network) {
            self.metrics.iter().for_each(|metrics| metrics.connection_refused());
            return None;
        }
        self.metrics.iter().for_each(|metrics| metrics.connection_opened());
        Some(Permit { limiter: Arc::clone(self), network })
    }

    fn count(&self, network: IpAddr) -> bool {
        let mut taken = self.taken();
        let of_network = taken.by_address.get(&network).copied().unwrap_or(0);
        if taken.all >= self.max || of_network >= self.max_per_address {
            return false;
        }
        taken.all += 1;
        taken.by_address.insert(network, of_network + 1);
        true
    }

    fn release(&self, network: IpAddr) {
        let mut taken = self.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_network) = taken.by_address.get_mut(&network) {
            *of_network = of_network.saturating_sub(1);
            if *of_network == 0 {
                taken.by_address.remove(&network);
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permit of one connection; released on drop.
pub(super) struct Permit {
    limiter: Arc<ConnectionLimiter>,
    network: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.release(self.network);
        self.limiter.metrics.iter().for_each(|metrics| metrics.connection_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_every_permit() {
        let limiter = ConnectionLimiter::new(3, 2, None);
        let first = limiter.acquire(ip("192.0.2.1"));
        let second = limiter.acquire(ip("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(limiter.acquire(ip("192.0.2.1")).is_none(), "its share is taken");
        let other = limiter.acquire(ip("192.0.2.2"));
        assert!(other.is_some());
        assert!(limiter.acquire(ip("192.0.2.3")).is_none(), "all are taken");
        drop(first);
        assert!(limiter.acquire(ip("192.0.2.1")).is_some(), "one was released");
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let limiter = ConnectionLimiter::new(9, 1, None);
        let _one = limiter.acquire(ip("2001:db8::1"));
        assert!(limiter.acquire(ip("2001:db8::ffff:1")).is_none());
        assert!(limiter.acquire(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn forgets_clients_without_connections() {
        let limiter = ConnectionLimiter::new(usize::MAX, usize::MAX, None);
        for host in 0..1000_u32 {
            drop(limiter.acquire(IpAddr::from(host.to_be_bytes())));
        }
        assert!(limiter.taken().by_address.is_empty());
        assert_eq!(limiter.taken().all, 0);
    }

    #[test]
    fn counts_for_the_metrics() {
        let metrics = Metrics::new();
        let limiter = ConnectionLimiter::new(1, 1, Some(Arc::clone(&metrics)));
        let permit = limiter.acquire(ip("192.0.2.1"));
        assert!(limiter.acquire(ip("192.0.2.1")).is_none());
        assert!(metrics.encode().contains("countersign_connections 1\n"));
        assert!(metrics.encode().contains("countersign_connections_refused_total 1\n"));
        drop(permit);
        assert!(metrics.encode().contains("countersign_connections 0\n"));
    }
}
