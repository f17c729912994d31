//! Division of the memory for what has ended.

use std::num::NonZeroU32;

/// Greatest number of keys of a filter. Larger ones take 0.1 byte less a key, and longer to build.
const MOST_KEYS: usize = 1 << 18;

/// Bytes that a build takes for each key, beside the filters that are in use: 34 of `xorf`, with the keys and the new
/// filter, and 3 of the filter that is replaced.
const BUILD_BYTES: usize = 48;

/// Bytes of an entry of a `BTreeMap` of sessions: 32, in nodes that are half full, and the nodes above them.
pub(super) const SESSION_BYTES: usize = 80;

/// Bytes of an end of a user, an app or a login, reckoned in the same way.
pub(super) const OTHER_BYTES: usize = 144;

/// Share of each kind, in numbers of entries and in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// Greatest number of keys of one filter.
    pub(super) slice_keys: usize,
    /// Greatest number of sessions that are known exactly.
    pub(super) most_sessions: usize,
    /// Greatest number of other ends.
    pub(super) most_others: usize,
    /// Bytes for filters and other ends together.
    pub(super) filters_and_others: usize,
}

impl Budget {
    /// Divides so many MiB.
    pub(super) fn of(memory_mib: NonZeroU32) -> Self {
        let mib = usize::try_from(memory_mib.get()).unwrap_or(usize::MAX);
        let total = mib.saturating_mul(1 << 20);
        let slice_keys = (total / 4 / BUILD_BYTES).min(MOST_KEYS);
        let exact = total / 6;
        let rest = total - exact - slice_keys * BUILD_BYTES;
        Self {
            slice_keys,
            most_sessions: exact / SESSION_BYTES,
            most_others: rest / 2 / OTHER_BYTES,
            filters_and_others: rest,
        }
    }

    /// Returns the bytes for filters beside so many other ends.
    pub(super) fn filters(&self, others: usize) -> usize {
        self.filters_and_others.saturating_sub(others.saturating_mul(OTHER_BYTES))
    }

    /// Returns the number of exactly known sessions above which the older ones are to go into filters. The rest is for
    /// those that come meanwhile.
    pub(super) fn enough_sessions(&self) -> usize {
        self.most_sessions / 2
    }

    /// Returns the number of entries to read at once.
    pub(super) fn page(&self) -> u32 {
        u32::try_from(self.most_sessions / 8).unwrap_or(u32::MAX).clamp(1, 10_000)
    }
}
