//! Records of refused credentials: the first of each network in a minute at once, the number of the others at its end.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use crate::{address::client_network, operate::Operator};

/// Time for which the refusals of a network are counted together.
const INTERVAL: Duration = Duration::from_mins(1);

/// Largest number of networks that are counted apart. Refusals of others are in no record of their own, and are counted
/// together.
const MAX_NETWORKS: usize = 1024;

/// Refused credentials of the last minute.
#[derive(Debug, Default)]
pub(super) struct RefusedCredentials {
    counts: Mutex<Counts>,
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
}

impl RefusedCredentials {
    /// Records a refusal from this address, or counts it.
    pub(super) async fn record(self: &Arc<Self>, operator: Operator, address: IpAddr, request_id: &str) {
        let Some(begun) = self.counts.lock().await.add(address) else { return };
        let from = begun.network.map_or_else(|| "further addresses".to_owned(), |network| network.to_string());
        append(&operator, Some(request_id), format!("a credential from {from} was refused")).await;
        let refused = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(INTERVAL).await;
            let others = refused.counts.lock().await.end(&begun);
            if others > 0 {
                append(&operator, None, format!("{others} more credentials from {from} were refused in a minute")).await;
            }
        });
    }
}

async fn append(operator: &Operator, request_id: Option<&str>, why: String) {
    tracing::warn!(why, "operators' API");
    if let Err(error) = operator.record_refused_credentials(request_id, why).await {
        tracing::warn!(%error, "the audit log does not have a refused credential");
    }
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
    fn networks_beyond_the_limit_are_counted_together() {
        let mut counts = Counts::default();
        let begun: Vec<Begun> = (0..5000_u32).filter_map(|n| counts.add(IpAddr::from(n.to_be_bytes()))).collect();
        assert_eq!((begun.len(), counts.0.len()), (MAX_NETWORKS + 1, MAX_NETWORKS + 1));
        assert_eq!(counts.end(begun.last().unwrap()), 5000 - MAX_NETWORKS as u64 - 1);
    }
}
