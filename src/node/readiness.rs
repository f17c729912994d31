//! Readiness: the conditions of this node. It is not ready only where another node could do better: before its start
//! is complete, while it drains, while its clock is wrong, or while it has no key to sign with. The start needs the
//! store. A store that is lost later, and a ring without a key, are lost for every node, so that no other could do better:
//! requests are answered without the store for a while, and those that need the key get 503.

use std::collections::BTreeSet;

use super::{Config, NodeAgent};
use crate::{
    domain::{ids::RingName, missing_key},
    outage::Operation,
    telemetry::{Alarm, Condition},
};

impl NodeAgent {
    /// Determines the current conditions: clock, keys, store, records, audit log, each ring.
    pub(super) fn conditions(&self, config: &Config) -> Vec<Condition> {
        let mut conditions = vec![
            Condition::required("clock", self.node.clock_fault()),
            Condition::required("keys", self.without_any_key(config)),
            Condition::shared("store", self.store_fault()),
            Condition::shared("records", self.faults.keys.clone()),
            Condition::shared("audit", self.node.audit.fault()),
        ];
        conditions.extend(config.rings.iter().map(|(ring, _)| {
            let missing = self.node.keyring.signer(ring).is_none();
            Condition::shared(format!("ring {ring}"), missing.then(|| self.missing_key(ring)))
        }));
        conditions
    }

    /// Returns the fault of the store; in an outage, also what is done without it.
    fn store_fault(&self) -> Option<String> {
        let why = self.faults.store.clone()?;
        let outage = &self.node.outage;
        if !outage.breaker.is_open(Operation::Write) {
            return Some(why);
        }
        let Ok(now) = self.node.clock.trusted_now() else { return Some(why) };
        Some(match outage.admit(now) {
            Ok(()) => {
                format!("{why}. Logins and refreshes are answered without it, until store.outage_limit has passed")
            }
            Err(not_served) => format!("{why}. Logins and refreshes get 503: {not_served}"),
        })
    }

    /// Logs each ring that has no active key since the last call, and each that has one again.
    pub(super) fn report_rings(&mut self, config: &Config) {
        let rings = config.rings.iter().map(|(ring, _)| ring);
        let missing: BTreeSet<RingName> =
            rings.filter(|ring| self.node.keyring.signer(ring).is_none()).cloned().collect();
        for ring in missing.difference(&self.faults.rings) {
            tracing::error!(%ring, why = self.missing_key(ring), "a ring that apps use cannot sign");
            self.node.metrics.alarm(Alarm::Key);
        }
        for ring in self.faults.rings.difference(&missing) {
            tracing::info!(%ring, "the ring has an active key, or no app uses it any more");
        }
        self.faults.rings = missing;
    }

    fn missing_key(&self, ring: &RingName) -> String {
        if let Some(why) = self.faults.unfit.get(ring) {
            return why.clone();
        }
        missing_key::advice(ring, self.node.keyring.kids().keys())
    }

    fn without_any_key(&self, config: &Config) -> Option<String> {
        let any = config.rings.iter().any(|(ring, _)| self.node.keyring.signer(ring).is_some());
        (!any).then(|| "no ring that an app uses has an active key".to_owned())
    }
}
