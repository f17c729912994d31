//! One look at the log of ends.

use std::collections::{BTreeMap, BTreeSet};

use super::others::UserScope;
use crate::{clock::UnixMillis, store::End};

/// A look at the log, with the opt-outs and opt-ins that it has found so far.
pub struct LogRead {
    /// The time of its begin, if the clock was trusted.
    pub(super) began: Option<UnixMillis>,
    /// Opt-outs that stand, where the look began with all of them.
    standing: Option<BTreeSet<UserScope>>,
    changes: BTreeMap<UserScope, bool>,
    /// Not all that stands was read.
    is_cut: bool,
}

impl LogRead {
    /// Begins a look at what is new.
    pub fn at_new(began: Option<UnixMillis>) -> Self {
        Self { began, standing: None, changes: BTreeMap::new(), is_cut: false }
    }

    /// Begins a look at everything that stands, which forgets opt-outs of which the log says no more.
    pub(super) fn at_all(began: Option<UnixMillis>) -> Self {
        Self { standing: Some(BTreeSet::new()), ..Self::at_new(began) }
    }

    /// Returns true where the end is of no more use: its session has expired.
    pub(super) fn is_over(&self, end: &End) -> bool {
        matches!((end, self.began), (End::Session { expires, .. }, Some(now)) if *expires <= now)
    }

    /// Notes that more stands than was read.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(super) fn is_all(&self) -> bool {
        self.standing.is_some()
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
