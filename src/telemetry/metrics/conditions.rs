//! Conditions of `/readyz` as metrics: alerts go on as long as a condition does not hold.

use super::{Metrics, labels::ConditionLabel};
use crate::telemetry::Condition;

impl Metrics {
    /// Replaces the conditions of this node. Their names come from the configuration.
    pub fn conditions(&self, conditions: &[Condition]) {
        self.condition_failed.clear();
        for condition in conditions {
            let label = ConditionLabel { condition: condition.name.clone() };
            self.condition_failed.get_or_create(&label).set(i64::from(!condition.ok));
        }
    }
}
