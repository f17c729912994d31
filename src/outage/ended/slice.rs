//! Filters of ended sessions, each of a part of the session ids. Ids begin with their time, so that a part is a time.

use xorf::{BinaryFuse16, Filter};

use crate::{clock::UnixMillis, domain::ids::SessionId};

/// Session ids after `after`, up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    pub after: SessionId,
    pub to: SessionId,
}

/// Lowest id; no session has it.
pub(super) const FIRST: SessionId = SessionId([0; 16]);
/// Highest id.
pub(super) const LAST: SessionId = SessionId([0xFF; 16]);

/// Filter of the ended sessions between the slice before and `last`.
pub struct Slice {
    /// Ids of which the slice was read.
    pub(super) range: IdRange,
    /// Highest id of the slice; `None` where no session of the range has ended.
    pub(super) last: Option<SessionId>,
    /// Time after which every session of the filter has expired.
    pub(super) latest_expiry: UnixMillis,
    pub(super) keys: usize,
    /// `None` where it could not be made: each session of the range may have ended.
    filter: Option<BinaryFuse16>,
}

impl Slice {
    /// Returns false where the session is none of the filter's.
    pub(super) fn may_have(&self, id: SessionId) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.contains(&key(id)))
    }

    /// Bytes of the filter.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.filter.as_ref().map_or(0, |filter| size_of_val(&*filter.fingerprints))
    }
}

/// Ids of one slice, of which its filter is to be made.
pub struct SliceKeys {
    range: IdRange,
    last: Option<SessionId>,
    latest_expiry: UnixMillis,
    keys: Vec<u64>,
}

impl SliceKeys {
    fn new(range: IdRange) -> Self {
        Self { range, last: None, latest_expiry: UnixMillis(i64::MIN), keys: Vec::new() }
    }

    /// Makes the filter. It takes some 100 ns a key: call it where nothing waits.
    pub fn build(self) -> Slice {
        let Self { range, last, latest_expiry, mut keys } = self;
        // The construction fails on equal keys.
        keys.sort_unstable();
        keys.dedup();
        let filter = BinaryFuse16::try_from(&keys);
        if let Err(why) = &filter {
            tracing::error!(why, from = %range.after, to = %range.to, "no filter of ended sessions could be made");
        }
        Slice { range, last, latest_expiry, keys: keys.len(), filter: filter.ok() }
    }
}

/// Cuts a range of ended sessions, which come in the order of their ids, into slices.
pub struct SliceReader {
    range: IdRange,
    slice_keys: usize,
    next: SliceKeys,
}

impl SliceReader {
    pub(super) fn new(range: IdRange, slice_keys: usize) -> Self {
        Self { range, slice_keys, next: SliceKeys::new(range) }
    }

    /// Returns the id after which to read on.
    pub fn after(&self) -> SessionId {
        self.next.last.unwrap_or(self.next.range.after)
    }

    /// Takes a session; returns a slice that is full with it.
    pub fn take(&mut self, id: SessionId, expires: UnixMillis) -> Taken {
        if id > self.range.to {
            return Taken::Beyond;
        }
        if self.next.keys.capacity() == 0 {
            self.next.keys.reserve_exact(self.slice_keys);
        }
        self.next.keys.push(key(id));
        self.next.last = Some(id);
        self.next.latest_expiry = self.next.latest_expiry.max(expires);
        if self.next.keys.len() < self.slice_keys {
            return Taken::Waits;
        }
        self.next.range.to = id;
        let rest = SliceKeys::new(IdRange { after: id, to: self.range.to });
        Taken::Full(std::mem::replace(&mut self.next, rest))
    }

    /// Returns the last slice of the range, which may be empty.
    pub fn finish(self) -> SliceKeys {
        self.next
    }
}

/// Outcome of [`SliceReader::take`].
pub enum Taken {
    /// The slice has room for more.
    Waits,
    /// The slice is full.
    Full(SliceKeys),
    /// The session lies beyond the range, which is read.
    Beyond,
}

/// Key of a session in a filter: both halves of its id, of which 80 bits are random.
fn key(id: SessionId) -> u64 {
    let number = u128::from_be_bytes(id.0);
    #[expect(clippy::cast_possible_truncation, reason = "these are the two halves")]
    let (high, low) = ((number >> 64) as u64, number as u64);
    low ^ high.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
