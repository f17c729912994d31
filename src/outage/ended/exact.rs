//! Sessions whose end is known exactly: the recent ends.

use std::collections::BTreeMap;

use crate::{
    clock::UnixMillis,
    domain::{ids::SessionId, session::Ended},
};

/// Exactly known ends of sessions. Entries that were noted earlier than the last half of the bound are old: they may
/// leave once a filter has them.
#[derive(Default)]
pub(super) struct ExactEnds {
    ends: BTreeMap<SessionId, ExactEnd>,
    epoch: u32,
    noted_in_epoch: usize,
}

struct ExactEnd {
    expires: UnixMillis,
    epoch: u32,
    why: Ended,
}

impl ExactEnds {
    /// Notes an end. The first one stays. An epoch ends after `epoch_length` of them.
    pub(super) fn note(&mut self, id: SessionId, why: Ended, expires: UnixMillis, epoch_length: usize) {
        if self.noted_in_epoch >= epoch_length {
            self.epoch = self.epoch.saturating_add(1);
            self.noted_in_epoch = 0;
        }
        let epoch = self.epoch;
        self.ends.entry(id).or_insert_with(|| {
            self.noted_in_epoch += 1;
            ExactEnd { expires, epoch, why }
        });
    }

    pub(super) fn get(&self, id: SessionId) -> Option<Ended> {
        self.ends.get(&id).map(|end| end.why)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the old entries, in the order of their ids.
    pub(super) fn old(&self) -> impl Iterator<Item = SessionId> {
        self.ends.iter().filter(|(_, end)| end.epoch < self.epoch).map(|(id, _)| *id)
    }

    /// Removes the old entries that a filter has.
    pub(super) fn leave(&mut self, is_in_filter: impl Fn(SessionId) -> bool) {
        let epoch = self.epoch;
        self.ends.retain(|id, end| end.epoch >= epoch || !is_in_filter(*id));
    }

    /// Removes the sessions that have expired.
    pub(super) fn forget_expired(&mut self, now: UnixMillis) {
        self.ends.retain(|_, end| end.expires > now);
    }
}
