//! Outcome of one rule.

use super::step::{Blocker, Step};

/// Outcome of one rule.
pub(super) enum RuleOutcome {
    /// This step is to be done.
    Do(Step),
    /// These are in the way; the following rules may still have a step to do.
    Blocked(Vec<Blocker>),
}

impl RuleOutcome {
    /// Nothing to do, nothing in the way.
    pub(super) const CLEAR: Self = Self::Blocked(Vec::new());
}
