//! What has ended, as this node knows it: recent ends exactly, older ones in filters.
//!
//! The log of ends is followed: each look [takes](EndedSessions::take) what it finds. What ended before is read from the
//! tables, a [range](IdRange) of session ids at a time, into filters. Every ended session that has not expired is
//! among the exact ends, or in the filter of its range, or in no range that is covered; so none of them is ever taken
//! for live. An error of a filter, and a session that is not covered, are [`Standing::Unsure`].

mod budget;
mod coverage;
mod exact;
mod look;
mod others;
mod slice;
#[cfg(test)]
mod tests;

use std::{
    num::NonZeroU32,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use self::{
    budget::{Budget, OTHER_BYTES},
    coverage::Loss,
    exact::ExactEnds,
    others::{LoginEnd, OtherEnds, Verdict, created},
    slice::{FIRST, LAST},
};
use super::Standing;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginRecord,
        session::Ended,
    },
    store::End,
};

pub use coverage::Coverage;
pub use look::LogRead;
pub use slice::{IdRange, Slice, SliceKeys, SliceReader, Taken};

/// What has ended: recent ends exactly, older ones in filters.
pub struct EndedSessions {
    budget: Budget,
    known: RwLock<Known>,
}

/// No lock is held while a filter is built.
struct Known {
    exact: ExactEnds,
    others: OtherEnds,
    /// In the order of their ids. Each covers the ids after the one before.
    slices: Vec<Slice>,
    /// Sessions up to here are not covered: there was no memory for them.
    uncovered: SessionId,
    /// The tables are being read, or have been: the next look at everything completes that.
    tables_read: bool,
    /// An end of a session could not be kept.
    sessions: Loss,
    /// Another end could not be kept.
    others_lost: Loss,
    /// Number of exact ends above which old ones are to go into filters.
    crowded_above: usize,
    looked: Option<UnixMillis>,
    promised: Option<UnixMillis>,
}

impl EndedSessions {
    /// Makes an empty one, which nothing was read into.
    pub fn new(memory_mib: NonZeroU32) -> Self {
        Self::of(Budget::of(memory_mib))
    }

    fn of(budget: Budget) -> Self {
        let known = Known {
            exact: ExactEnds::default(),
            others: OtherEnds::default(),
            slices: Vec::new(),
            uncovered: FIRST,
            tables_read: false,
            sessions: Loss::default(),
            others_lost: Loss::default(),
            crowded_above: budget.enough_sessions(),
            looked: None,
            promised: None,
        };
        Self { budget, known: RwLock::new(known) }
    }

    /// Returns the time of the last complete look; `None` before the first.
    pub fn looked(&self) -> Option<UnixMillis> {
        self.read().looked
    }

    /// Returns the time until which this node has told the others that it may answer without the store; `None` where it
    /// told nothing yet.
    pub fn promised(&self) -> Option<UnixMillis> {
        self.read().promised
    }

    /// Records what this node has told the others, once it is durable, and known to those that end sessions.
    pub fn promise(&self, until: Option<UnixMillis>) {
        self.write().promised = until;
    }

    /// Returns the standing of a session.
    pub fn standing(&self, session: SessionId, user: UserHash, app: &AppName, login: Option<&LoginRecord>) -> Standing {
        let known = self.read();
        if known.others.is_opted_out(user, app) {
            return Standing::Ended(Ended::OptedOut);
        }
        if let Some(why) = known.exact.get(session) {
            return Standing::Ended(why);
        }
        let began = created(session);
        if known.others.covers_app(app, began) {
            return Standing::Ended(Ended::Revoked);
        }
        if login.is_some_and(|login| known.others.covers_login(app, login)) {
            return Standing::Ended(Ended::Logout);
        }
        match known.others.user_end(user, app, began) {
            Verdict::Ended(why) => Standing::Ended(why),
            Verdict::None if known.is_sure(session) => Standing::Live,
            Verdict::None | Verdict::Unsure => Standing::Unsure,
        }
    }

    /// Notes an end at once: one that this node has written itself, or cannot write.
    pub fn note(&self, end: &End) {
        let mut known = self.write();
        if let End::OptOut { user, app } = end {
            known.others.opted_out.insert((*user, app.clone()));
        }
        known.note(end, &self.budget);
    }

    /// Takes ends of the log. Opt-outs take effect with the whole look, since one may be undone in a later page.
    pub fn take<'a>(&self, look: &mut LogRead, ends: impl IntoIterator<Item = &'a End>) {
        let mut known = self.write();
        for end in ends {
            if !look.is_over(end) {
                look.take(end);
                known.note(end, &self.budget);
            }
        }
    }

    /// Completes a look.
    pub fn complete(&self, look: LogRead) {
        let mut known = self.write();
        known.looked = look.began.or(known.looked);
        let (is_all, is_cut) = (look.is_all(), look.is_cut());
        look.apply(&mut known.others.opted_out);
        if known.others.cut(self.budget.most_others) || is_cut {
            known.others_lost.note();
        }
        if is_all {
            known.others_lost.complete_reading();
            if std::mem::take(&mut known.tables_read) {
                known.sessions.complete_reading();
            }
        }
        known.bound(&self.budget);
    }

    /// Returns the number of entries to read at once.
    pub fn page(&self) -> u32 {
        self.budget.page()
    }

    /// Returns the range to read first, when all are to be read: the others follow by [`Self::range_after`].
    pub fn first_range(&self) -> IdRange {
        let known = self.read();
        known.range_after(known.uncovered)
    }

    /// Returns the range after this one; `None` after the last.
    pub fn range_after(&self, range: IdRange) -> Option<IdRange> {
        (range.to < LAST).then(|| self.read().range_after(range.to))
    }

    /// Returns the range that has the most old exact ends, where there are too many exact ones: once it has been read,
    /// its filter has them.
    pub fn crowded(&self) -> Option<IdRange> {
        let mut known = self.write();
        if known.exact.len() > known.crowded_above {
            known.leave();
        }
        if known.exact.len() <= known.crowded_above {
            return None;
        }
        known.most_crowded(self.budget.slice_keys)
    }

    /// Tolerates that there are many exact ends: the store does not have them.
    pub fn tolerate(&self) {
        let mut known = self.write();
        known.crowded_above = known.exact.len().saturating_add(self.budget.most_sessions / 16);
    }

    /// Returns the number of exact ends of sessions.
    pub fn exact(&self) -> usize {
        self.read().exact.len()
    }

    /// Begins to read a range.
    pub fn reader(&self, range: IdRange) -> SliceReader {
        SliceReader::new(range, self.budget.slice_keys)
    }

    /// Puts a slice in place of those of its range. Where there is no memory for all, the oldest leave.
    pub fn put(&self, slice: Slice) {
        let mut known = self.write();
        let range = slice.range;
        known.slices.retain(|old| old.last.is_none_or(|last| last <= range.after || last > range.to));
        if slice.last.is_some() {
            let place = known.slices.partition_point(|before| before.last < slice.last);
            known.slices.insert(place, slice);
        }
        known.bound(&self.budget);
        known.leave();
    }

    /// Forgets what has expired.
    pub fn forget_expired(&self, now: UnixMillis) {
        let mut known = self.write();
        known.exact.forget_expired(now);
        known.others.forget_expired(now);
        known.slices.retain(|slice| slice.latest_expiry > now);
        known.crowded_above = self.budget.enough_sessions();
    }

    /// Returns the sessions that are covered.
    pub fn coverage(&self) -> Coverage {
        let known = self.read();
        match known.uncovered {
            _ if known.has_lost() => Coverage::Nothing,
            FIRST => Coverage::All,
            uncovered => Coverage::From(created(uncovered)),
        }
    }

    /// Returns whether ends of sessions, and others, could not be kept and are missing.
    pub fn lost(&self) -> (bool, bool) {
        let known = self.read();
        (known.sessions.is_lost, known.others_lost.is_lost)
    }

    /// Begins to read the tables. A look at everything that follows completes it.
    pub fn read_tables(&self) {
        let mut known = self.write();
        known.sessions.begin_reading();
        known.tables_read = true;
    }

    /// Begins a look at everything that stands.
    pub fn read_all(&self, began: Option<UnixMillis>) -> LogRead {
        self.write().others_lost.begin_reading();
        LogRead::at_all(began)
    }

    /// Returns the number of ends for which there is memory, and that are no session's.
    pub fn most_standing(&self) -> u32 {
        u32::try_from(self.budget.most_others).unwrap_or(u32::MAX)
    }

    /// Returns the number of sessions in filters, and the bytes that everything takes, as reckoned.
    pub fn size(&self) -> (usize, usize) {
        let known = self.read();
        let keys = known.slices.iter().map(|slice| slice.keys).sum();
        (keys, known.filter_bytes() + known.others.len() * OTHER_BYTES + known.exact.len() * budget::SESSION_BYTES)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Returns true where a session that is not among the exact ends has not ended.
    fn is_sure(&self, id: SessionId) -> bool {
        !self.has_lost() && !self.is_unsure_anyway(id)
    }

    /// Returns true for a session that a filter has, or that is not covered.
    fn is_unsure_anyway(&self, id: SessionId) -> bool {
        id <= self.uncovered || self.slice_of(id).is_some_and(|slice| slice.may_have(id))
    }

    fn has_lost(&self) -> bool {
        self.sessions.is_lost || self.others_lost.is_lost
    }

    fn slice_of(&self, id: SessionId) -> Option<&Slice> {
        self.slices.get(self.slices.partition_point(|slice| slice.last < Some(id)))
    }

    fn note(&mut self, end: &End, budget: &Budget) {
        match end {
            End::Session { id, why, expires } if self.exact.len() < budget.most_sessions => {
                self.exact.note(*id, *why, *expires, budget.enough_sessions() / 2);
            }
            // In a filter, or else lost.
            End::Session { id, .. } => {
                if self.exact.get(*id).is_none() && !self.is_unsure_anyway(*id) {
                    self.sessions.note();
                }
            }
            _ if self.others.len() >= budget.most_others => self.others_lost.note(),
            End::User { user, app, at } => self.others.end_user((*user, app.clone()), *at),
            End::App { app, at } => self.others.end_app(app.clone(), *at),
            End::Login { app, login, issued_until, remembered_until } => {
                let end = LoginEnd { issued_until: *issued_until, remembered_until: *remembered_until };
                self.others.end_login(app.clone(), *login, end);
            }
            End::OptOut { .. } | End::OptIn { .. } => {}
        }
    }

    fn filter_bytes(&self) -> usize {
        self.slices.iter().map(Slice::bytes).sum()
    }

    /// Drops the oldest filters, where there is no memory for all.
    fn bound(&mut self, budget: &Budget) {
        let bound = budget.filters(self.others.len());
        let mut bytes = self.filter_bytes();
        let surplus = self.slices.iter().take_while(|slice| {
            let is_surplus = bytes > bound;
            bytes -= if is_surplus { slice.bytes() } else { 0 };
            is_surplus
        });
        let surplus = surplus.count();
        if let Some(last) = self.slices.drain(..surplus).filter_map(|slice| slice.last).next_back() {
            self.uncovered = self.uncovered.max(last);
        }
    }

    /// Lets old exact ends leave that are in a filter, or are not covered anyway.
    fn leave(&mut self) {
        let mut exact = std::mem::take(&mut self.exact);
        exact.leave(|id| self.is_unsure_anyway(id));
        self.exact = exact;
    }

    /// Returns the ids after `after` up to the end of their slice; after the last slice, all.
    fn range_after(&self, after: SessionId) -> IdRange {
        let next = self.slices.get(self.slices.partition_point(|slice| slice.last <= Some(after)));
        IdRange { after, to: next.and_then(|slice| slice.last).unwrap_or(LAST) }
    }

    fn most_crowded(&self, slice_keys: usize) -> Option<IdRange> {
        let mut best: Option<(usize, IdRange)> = None;
        let mut current: Option<(usize, IdRange)> = None;
        for id in self.exact.old().filter(|id| *id > self.uncovered) {
            current = match current {
                Some((ends, range)) if id <= range.to => Some((ends + 1, range)),
                _ => Some((1, self.range_of(id, slice_keys))),
            };
            if current.map(|(ends, _)| ends) > best.map(|(ends, _)| ends) {
                best = current;
            }
        }
        best.map(|(_, range)| range)
    }

    /// Returns the range of the slice that covers `id`. After the last slice, a last one that is small is read again
    /// with what follows it, so that there are not more and more of them.
    fn range_of(&self, id: SessionId, slice_keys: usize) -> IdRange {
        let place = self.slices.partition_point(|slice| slice.last < Some(id));
        let is_small = |slice: &Slice| slice.keys < slice_keys / 2;
        let begin =
            if place == self.slices.len() && self.slices.last().is_some_and(is_small) { place - 1 } else { place };
        let before = begin.checked_sub(1).and_then(|before| self.slices.get(before)).and_then(|slice| slice.last);
        let to = self.slices.get(place).and_then(|slice| slice.last).unwrap_or(LAST);
        IdRange { after: before.unwrap_or(self.uncovered).max(self.uncovered), to }
    }
}
