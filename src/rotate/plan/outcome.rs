//! Outcome of one rule.

use super::step::{Blocker, Step};

/// Outcome of one rule.
pub(super) enum RuleOutcome {
    /// The step that the rule asks for.
    Do(Step),
    /// Blockers that prevent a step of this rule; the following rules may still have one.
    Blocked(Vec<Blocker>),
}

impl RuleOutcome {
    /// No step and no blocker.
    pub(super) const CLEAR: Self = Self::Blocked(Vec::new());
}
