//! Heartbeat: the node reports that it is alive, the keys that it has loaded, and the latest expiry of its tokens.

use super::{Config, NodeAgent};
use crate::{
    domain::{ids::RingName, rotation::NodeReport},
    outage::Operation,
    rotate::HEARTBEAT,
};

/// Last report that was sent.
#[derive(Default)]
pub(super) struct Heartbeat(Option<NodeReport>);

impl NodeAgent {
    /// Sends a report: at once where the loaded keys changed, otherwise every [`HEARTBEAT`]; none while the clock is
    /// stopped, so that two stopped nodes cannot confirm each other.
    pub(super) async fn send_heartbeat(&mut self, config: &Config) {
        let Ok(now) = self.node.clock.trusted_now() else { return };
        let loaded = self.node.keyring.loaded().into_iter().map(|(kid, custody)| (kid, Some(custody))).collect();
        let current = |last: &NodeReport| last.loaded == loaded && now.since(last.seen) < HEARTBEAT && last.seen <= now;
        if self.heartbeat.0.as_ref().is_some_and(current) {
            return;
        }
        let longest_life = |ring: &RingName| {
            let known = config.rings.iter().find(|(name, _)| name == ring);
            known.map(|(_, life)| *life).unwrap_or_default()
        };
        // Until the next report, and one interval more in case that report is late.
        let until = |ring: &RingName| now.plus(longest_life(ring)).plus(2 * HEARTBEAT);
        let signing = self.node.keyring.kids().into_iter().map(|(ring, kid)| (kid, until(&ring))).collect();
        let report = NodeReport { node: self.node.name.clone(), seen: now, loaded };
        let floor_raised = self.raise_floor().await;
        let report_sent = self.node.outage.ask(Operation::Write, self.node.store.report(report.clone(), signing));
        match floor_raised.and(report_sent.await) {
            Ok(()) => self.heartbeat.0 = Some(report),
            Err(error) => self.store_failed(&error),
        }
    }
}
