//! Facts of the configuration for the diagnosis of failures that apps report.

use std::collections::BTreeMap;

use crate::{
    config::Settings,
    domain::{ids::AppName, policy::AppPolicy},
    failures::AppFacts,
};

/// Returns what the configuration says of each app, for the diagnosis of its failures.
pub(super) fn reported_apps(settings: &Settings) -> BTreeMap<AppName, AppFacts> {
    let rings = settings.rings_to_rotate();
    let soak = |policy: &AppPolicy| rings.iter().find(|ring| ring.name == policy.ring).map(|ring| ring.config.soak);
    let policies = settings.policies();
    let facts =
        policies.iter().map(|(app, policy)| (app.clone(), AppFacts::new(policy, soak(policy).unwrap_or_default())));
    facts.collect()
}
