//! What waits, and how many drivers there are. It is changed under one lock, and waits for nothing itself.

use std::collections::{HashSet, VecDeque};

use super::Work;
use crate::domain::ids::SessionId;

/// Greatest number of waiting items; further ones are refused at once.
pub(super) const LIMIT: usize = 4096;
/// Greatest number of items in one batch.
pub(super) const BATCH: usize = 256;
/// Number of items from which on a batch had company: fewer gain less from gathering than they lose.
const COMPANY: usize = 4;
/// Greatest number of batches under way.
const DRIVERS: usize = 4;

/// Reason why an item is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting for it")]
pub(super) struct Full;

/// Items that are done together, each with the reply to its caller.
pub(super) struct Batch<W: Work, R> {
    pub(super) items: Vec<W::Item>,
    pub(super) replies: Vec<R>,
    /// Sessions that the items have to themselves.
    pub(super) sessions: Vec<SessionId>,
}

/// Waiting items, each with the reply to its caller, and the number of drivers.
pub(super) struct Queue<W: Work, R> {
    waiting: VecDeque<(W::Item, R)>,
    /// Sessions of the batches under way.
    busy: HashSet<SessionId>,
    drivers: usize,
    /// Drivers whose batch is not under way for long.
    prompt: usize,
    /// Size of the last batch; 0 once nothing waited.
    last: usize,
}

impl<W: Work, R> Default for Queue<W, R> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), busy: HashSet::new(), drivers: 0, prompt: 0, last: 0 }
    }
}

impl<W: Work, R> Queue<W, R> {
    pub(super) fn push(&mut self, item: W::Item, reply: R) -> Result<(), Full> {
        if self.waiting.len() >= LIMIT {
            return Err(Full);
        }
        self.waiting.push_back((item, reply));
        Ok(())
    }

    /// Adds a driver if one is needed: where something waits, and the next batch of every driver is far off.
    pub(super) fn add_driver(&mut self) -> bool {
        let needed = self.prompt == 0 && self.drivers < DRIVERS && !self.waiting.is_empty();
        if needed {
            self.drivers += 1;
            self.prompt += 1;
        }
        needed
    }

    /// Returns the number of waiting items where the next batch is to gather: where the last one had company, and more
    /// wait than `before`, as was returned the last time.
    pub(super) fn gathers(&self, before: Option<usize>) -> Option<usize> {
        let waiting = self.waiting.len();
        let gathers = self.last >= COMPANY && waiting < BATCH && before.is_none_or(|before| waiting > before);
        gathers.then_some(waiting)
    }

    /// Takes a batch, in the order of arrival, but leaves items whose session is in this batch or one under way. Where
    /// nothing can be taken, the driver leaves: one that has such a session looks again.
    pub(super) fn take(&mut self) -> Option<Batch<W, R>> {
        let mut batch = Batch { items: Vec::new(), replies: Vec::new(), sessions: Vec::new() };
        let mut left = VecDeque::new();
        while batch.items.len() < BATCH
            && let Some((item, reply)) = self.waiting.pop_front()
        {
            match W::exclusive(&item) {
                Some(session) if !self.busy.insert(session) => left.push_back((item, reply)),
                session => {
                    batch.sessions.extend(session);
                    batch.items.push(item);
                    batch.replies.push(reply);
                }
            }
        }
        left.append(&mut self.waiting);
        self.waiting = left;
        self.last = batch.items.len();
        if batch.items.is_empty() {
            self.remove_driver(true);
            return None;
        }
        Some(batch)
    }

    /// Notes that a driver's batch is under way for long.
    pub(super) fn slow(&mut self) {
        self.prompt -= 1;
    }

    /// Notes that a batch is done. Returns whether its driver goes on; one that was slow may have been replaced.
    pub(super) fn done(&mut self, sessions: &[SessionId], is_prompt: bool) -> bool {
        self.release(sessions);
        if is_prompt {
            return true;
        }
        let goes_on = self.prompt == 0;
        if goes_on {
            self.prompt += 1;
        } else {
            self.drivers -= 1;
        }
        goes_on
    }

    /// Notes that a driver has ended.
    pub(super) fn remove_driver(&mut self, is_prompt: bool) {
        self.drivers -= 1;
        self.prompt -= usize::from(is_prompt);
    }

    pub(super) fn release(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.busy.remove(session);
        }
    }

    /// Returns whether nothing is under way or about to be.
    pub(super) fn is_idle(&self) -> bool {
        self.drivers == 0
    }

    /// Takes out what waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
