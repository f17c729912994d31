//! One look at the log of ends.

use std::collections::{BTreeMap, BTreeSet};

use super::others::UserScope;
use crate::store::End;

/// Opt-outs and opt-ins that a look has found so far.
#[derive(Default)]
pub struct Look {
    /// Opt-outs that stand, where the look began with all of them.
    standing: Option<BTreeSet<UserScope>>,
    changes: BTreeMap<UserScope, bool>,
}

impl Look {
    /// Makes a look that begins with everything that stands, and so forgets opt-outs of which the log says no more.
    pub fn at_all() -> Self {
        Self { standing: Some(BTreeSet::new()), changes: BTreeMap::new() }
    }

    /// Takes an opt-out that stands.
    pub fn stands(&mut self, end: &End) {
        if let (Some(standing), End::OptOut { user, app }) = (&mut self.standing, end) {
            standing.insert((*user, app.clone()));
        }
    }

    pub(super) fn take(&mut self, end: &End) {
        match end {
            End::OptOut { user, app } => drop(self.changes.insert((*user, app.clone()), true)),
            End::OptIn { user, app } => drop(self.changes.insert((*user, app.clone()), false)),
            _ => {}
        }
    }

    pub(super) fn apply(self, opted_out: &mut BTreeSet<UserScope>) {
        if let Some(standing) = self.standing {
            *opted_out = standing;
        }
        for (scope, is_out) in self.changes {
            if is_out {
                opted_out.insert(scope);
            } else {
                opted_out.remove(&scope);
            }
        }
    }
}
