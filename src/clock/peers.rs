//! Clocks of the other nodes, as their reports show them.

use std::{collections::BTreeMap, time::Duration};

use super::{Reading, UnixMillis, millis};

/// Greatest difference of two clocks that agree.
pub(super) const AGREEMENT: Duration = Duration::from_secs(10);
/// Longest time between two readings that counts as steady running.
pub(super) const MAX_GAP: Duration = Duration::from_secs(10);

/// Clocks of the other running nodes. Only a report that changed while this process watched counts, because the age of
/// any other is known by a wall clock only: a process that was paused does not know when a report changed. A node whose
/// clock is stopped sends no report.
#[derive(Debug)]
pub struct Peers {
    /// Time for which a report counts.
    fresh_for: Duration,
    /// Boot time of the last look at the reports.
    looked: Option<Duration>,
    known: BTreeMap<String, Peer>,
}

/// Last report of a node.
#[derive(Debug)]
struct Peer {
    seen: UnixMillis,
    /// The node's offset ([`Reading::offset`]) by this machine's boot time, and when it was noticed.
    clock: Option<(i64, Duration)>,
}

/// Numbers of nodes with a fresh report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// Nodes whose clock agrees with this one.
    pub agree: usize,
    /// All of them.
    pub fresh: usize,
}

impl Peers {
    /// No nodes yet; each report counts for `fresh_for`.
    pub fn new(fresh_for: Duration) -> Self {
        Self { fresh_for, looked: None, known: BTreeMap::new() }
    }

    /// Takes in the reports as they are now: names, and the time of each by its node's own clock.
    pub fn observe(&mut self, reading: Reading, reports: impl IntoIterator<Item = (String, UnixMillis)>) {
        let watched = self.looked.is_some_and(|looked| reading.boot.saturating_sub(looked) <= MAX_GAP);
        self.looked = Some(reading.boot);
        let mut known = BTreeMap::new();
        for (name, seen) in reports {
            let clock = match self.known.get(&name) {
                Some(before) if before.seen == seen => before.clock,
                Some(_) if watched => Some((Reading { wall: seen, ..reading }.offset(), reading.boot)),
                _ => None,
            };
            known.insert(name, Peer { seen, clock });
        }
        self.known = known;
    }

    /// Counts the nodes that agree with this reading.
    pub fn votes(&self, reading: Reading) -> Votes {
        let is_fresh = |noticed: Duration| reading.boot.saturating_sub(noticed) <= self.fresh_for;
        let clocks = self.known.values().filter_map(|peer| peer.clock);
        let fresh: Vec<i64> = clocks.filter(|(_, noticed)| is_fresh(*noticed)).map(|(offset, _)| offset).collect();
        let agrees = |offset: &&i64| offset.abs_diff(reading.offset()) <= millis(AGREEMENT).unsigned_abs();
        Votes { agree: fresh.iter().filter(agrees).count(), fresh: fresh.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, boot: u64) -> Reading {
        Reading { wall: UnixMillis(wall * 1000), boot: Duration::from_secs(boot) }
    }

    fn reports(seen: &[(&str, i64)]) -> Vec<(String, UnixMillis)> {
        seen.iter().map(|(name, at)| ((*name).to_owned(), UnixMillis(at * 1000))).collect()
    }

    #[test]
    fn only_reports_that_change_count_and_only_for_a_while() {
        let mut peers = Peers::new(Duration::from_secs(30));
        peers.observe(reading(1000, 1), reports(&[("a", 995), ("b", 5000)]));
        assert_eq!(peers.votes(reading(1000, 1)), Votes::default(), "of unknown age");
        peers.observe(reading(1005, 6), reports(&[("a", 1005), ("b", 5000)]));
        assert_eq!(peers.votes(reading(1005, 6)), Votes { agree: 1, fresh: 1 });
        peers.observe(reading(1010, 11), reports(&[("a", 1005), ("b", 5010)]));
        assert_eq!(peers.votes(reading(1010, 11)), Votes { agree: 1, fresh: 2 });
        assert_eq!(peers.votes(reading(5010, 11)), Votes { agree: 1, fresh: 2 });
        peers.observe(reading(1020, 21), reports(&[("a", 1005), ("b", 5020)]));
        peers.observe(reading(1030, 31), reports(&[("a", 1005), ("b", 5030)]));
        assert_eq!(peers.votes(reading(1036, 37)), Votes { agree: 0, fresh: 1 }, "a reported long ago");
        peers.observe(reading(1036, 37), reports(&[]));
        assert_eq!(peers.votes(reading(1036, 37)), Votes::default());
    }

    /// The clock is 90 s behind. The report is 90 s old, and agrees with it by chance.
    #[test]
    fn a_report_that_changed_while_nobody_looked_does_not_count() {
        let mut peers = Peers::new(Duration::from_secs(30));
        peers.observe(reading(1000, 1), reports(&[("a", 1080)]));
        peers.observe(reading(1200, 201), reports(&[("a", 1200)]));
        assert_eq!(peers.votes(reading(1200, 201)), Votes::default());
        peers.observe(reading(1201, 202), reports(&[("a", 1291)]));
        assert_eq!(peers.votes(reading(1201, 202)), Votes { agree: 0, fresh: 1 });
    }
}
