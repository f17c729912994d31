//! Refused credentials: their limit, and their records. Of each network the first in a minute is on record at once, the
//! number of the others at its end.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Mutex;

use crate::{
    address::client_network,
    http::{LimitConfig, Limits, Problem},
    operate::Operator,
};

/// Time for which the refusals of a network are counted together.
const INTERVAL: Duration = Duration::from_mins(1);

/// Largest number of networks that are counted apart. Refusals of others are in no record of their own, and are counted
/// together.
const MAX_NETWORKS: usize = 1024;

/// Refused credentials of the last minute.
pub struct RefusedCredentials {
    limits: Limits,
    counts: Mutex<Counts>,
}

impl Default for RefusedCredentials {
    /// Makes the default limits, whatever `[limits]` says: nothing on this listener is load.
    fn default() -> Self {
        Self { limits: Limits::new(&LimitConfig::default()), counts: Mutex::default() }
    }
}

/// Number of refusals after the first one, by network; `None`: of all networks beyond the limit.
#[derive(Debug, Default)]
struct Counts(HashMap<Option<IpAddr>, u64>);

/// Beginning of a minute.
struct Begun {
    network: Option<IpAddr>,
}

impl Counts {
    /// Counts a refusal. Returns the minute that it begins, where it is the first of its network.
    fn add(&mut self, address: IpAddr) -> Option<Begun> {
        let network = Some(client_network(address));
        let network = if self.0.contains_key(&network) || self.0.len() < MAX_NETWORKS { network } else { None };
        if let Some(others) = self.0.get_mut(&network) {
            *others += 1;
            return None;
        }
        self.0.insert(network, 0);
        Some(Begun { network })
    }

    /// Ends a minute; returns the number of refusals after the first.
    fn end(&mut self, begun: &Begun) -> u64 {
        self.0.remove(&begun.network).unwrap_or_default()
    }

    /// Ends every minute; returns the networks that had refusals after the first, with their number.
    fn end_all(&mut self) -> Vec<(Option<IpAddr>, u64)> {
        self.0.drain().filter(|(_, others)| *others > 0).collect()
    }
}

impl RefusedCredentials {
    /// Counts a refusal against the limit of its network. While as many networks as are counted apart have not recovered,
    /// all of them share one limit: memory is bounded, and a good credential passes all the same.
    ///
    /// # Errors
    /// The problem that says how long to wait, beyond the limit.
    pub(in crate::ops) fn limit(&self, address: IpAddr) -> Result<(), Problem> {
        if self.limits.failing_networks() >= MAX_NETWORKS {
            self.limits.evict_idle();
        }
        let is_full = self.limits.failing_networks() >= MAX_NETWORKS;
        self.limits.failure(if is_full { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { address })
    }

    /// Records the refusals that wait for the end of their minute. The service does so before it ends.
    pub async fn write_counts(&self, operator: &Operator) {
        let waiting = self.counts.lock().await.end_all();
        for (network, others) in waiting {
            let from = described(network);
            let why = format!("{others} more credentials from {from} were refused before the service stopped");
            if !append(operator, None, why).await {
                // The store is out of reach, and the service does not wait for it again and again.
                break;
            }
        }
    }

    /// Records a refusal from this address, or counts it.
    pub(in crate::ops) async fn record(self: &Arc<Self>, operator: Operator, address: IpAddr, request_id: &str) {
        let Some(begun) = self.counts.lock().await.add(address) else { return };
        let from = described(begun.network);
        append(&operator, Some(request_id), format!("a credential from {from} was refused")).await;
        let refused = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(INTERVAL).await;
            let others = refused.counts.lock().await.end(&begun);
            if others > 0 {
                append(&operator, None, format!("{others} more credentials from {from} were refused in a minute"))
                    .await;
            }
        });
    }
}

fn described(network: Option<IpAddr>) -> String {
    network.map_or_else(|| "further addresses".to_owned(), |network| network.to_string())
}

/// Appends a record; returns false where the audit log does not have it.
async fn append(operator: &Operator, request_id: Option<&str>, why: String) -> bool {
    tracing::warn!(why, "operators' API");
    let recorded = operator.record_refused_credentials(request_id, why).await;
    if let Err(error) = &recorded {
        tracing::warn!(%error, "the audit log does not have a refused credential");
    }
    recorded.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_network_begins_a_minute_and_the_others_are_counted() {
        let (mut counts, address) = (Counts::default(), IpAddr::from([192, 0, 2, 1]));
        let begun = counts.add(address).unwrap();
        assert!((0..41).all(|_| counts.add(address).is_none()));
        assert_eq!(counts.end(&begun), 41);
        assert!(counts.add(address).is_some());
    }

    #[test]
    fn limits_of_networks_are_bounded_and_beyond_them_networks_share_one() {
        let refused = RefusedCredentials::default();
        let refusals = (0..50_000_u32).filter(|n| refused.limit(IpAddr::from(n.to_be_bytes())).is_err()).count();
        assert!(refused.limits.failing_networks() <= MAX_NETWORKS + 1, "{}", refused.limits.failing_networks());
        assert!(refusals > 0, "the shared limit is used up");
    }

    #[test]
    fn what_waits_for_the_end_of_its_minute_is_taken_at_once() {
        let (mut counts, [one, other]) = (Counts::default(), [1, 2].map(|n| IpAddr::from([192, 0, 2, n])));
        let begun = counts.add(one).unwrap();
        counts.add(other).unwrap();
        assert!(counts.add(one).is_none() && counts.add(one).is_none());
        assert_eq!(counts.end_all(), [(Some(client_network(one)), 2)]);
        assert_eq!((counts.end(&begun), counts.end_all()), (0, Vec::new()));
    }

    #[test]
    fn networks_beyond_the_limit_are_counted_together() {
        let mut counts = Counts::default();
        let begun: Vec<Begun> = (0..5000_u32).filter_map(|n| counts.add(IpAddr::from(n.to_be_bytes()))).collect();
        assert_eq!((begun.len(), counts.0.len()), (MAX_NETWORKS + 1, MAX_NETWORKS + 1));
        assert_eq!(counts.end(begun.last().unwrap()), 5000 - MAX_NETWORKS as u64 - 1);
    }
}
