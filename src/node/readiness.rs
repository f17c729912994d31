//! Readiness: the conditions under which this node should get requests.

use super::{Config, NodeAgent};
use crate::{domain::ids::RingName, telemetry::Condition};

impl NodeAgent {
    /// Determines the current conditions: store, keys, each ring, clock.
    pub(super) fn conditions(&self, config: &Config) -> Vec<Condition> {
        let mut conditions =
            vec![Condition::new("store", self.faults.store.clone()), Condition::new("keys", self.faults.keys.clone())];
        conditions.extend(config.rings.iter().map(|(ring, _)| self.ring_condition(ring)));
        conditions.push(Condition::new("clock", self.node.clock_fault()));
        conditions
    }

    fn ring_condition(&self, ring: &RingName) -> Condition {
        let missing = self.node.keyring.signer(ring).is_none();
        let reason = missing.then(|| format!("has no active key: `countersign rotate run --ring {ring}` brings one"));
        Condition::new(format!("ring {ring}"), reason)
    }
}
