//! Certainty of a revocation: it is done once every node that may answer without the store knows of it.

use super::Issuer;
use crate::clock::UnixMillis;

/// Revocation that is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// No node answers any more as if it had not happened.
    Done,
    /// Some nodes do not know it yet. While they reach the store they refuse what it ended; cut off from it, they may
    /// answer as before.
    Pending { nodes: usize, until: UnixMillis },
}

impl Issuer {
    /// Waits until the other nodes know what has ended by now, but not for long.
    pub(super) async fn revocation(&self) -> Revocation {
        let pending = self.parts.outage.pending(&*self.parts.store, &self.parts.clock).await;
        let Some(until) = pending.until() else { return Revocation::Done };
        tracing::warn!(nodes = pending.names(), %until, "a revocation is pending: these nodes may not know it");
        Revocation::Pending { nodes: pending.nodes().len(), until }
    }
}
