//! Sessions that were counted with a code not long ago.

use std::{collections::HashMap, mem, time::Duration};

use crate::clock::UnixMillis;

/// Time for which a session is not counted again with the same code.
const REST: Duration = Duration::from_mins(5);
/// Largest number of entries of one generation: both take less than 8 MiB.
const MOST: usize = 1 << 16;

/// Times at which hashes were counted last, in two generations: the older one is forgotten when the younger is five
/// minutes old, or full. Where it is full, sessions may be counted too often; their number is not, as it comes from the
/// sketches.
#[derive(Default)]
pub(super) struct Repeats {
    began: Option<UnixMillis>,
    young: HashMap<u64, UnixMillis>,
    old: HashMap<u64, UnixMillis>,
}

impl Repeats {
    /// Returns true where this hash was counted in the last five minutes.
    fn rests(&self, now: UnixMillis, hash: u64) -> bool {
        let counted = self.young.get(&hash).or_else(|| self.old.get(&hash));
        // A clock that went back makes no time since: the session rests on.
        counted.is_some_and(|&counted| now.since(counted) < REST)
    }

    /// Returns true where this hash was not counted in the last five minutes, and counts it.
    pub(super) fn is_first(&mut self, now: UnixMillis, hash: u64) -> bool {
        if self.rests(now, hash) {
            return false;
        }
        if self.young.len() >= MOST || self.began.is_none_or(|began| now.since(began) >= REST || now < began) {
            self.old = mem::take(&mut self.young);
            self.began = Some(now);
        }
        self.young.insert(hash, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_bounded() {
        let mut repeats = Repeats::default();
        for hash in 0..1_000_000 {
            assert!(repeats.is_first(UnixMillis(0), hash));
        }
        assert!(repeats.young.len() <= MOST && repeats.old.len() <= MOST);
        assert!(!repeats.is_first(UnixMillis(1), 999_999));
    }

    proptest! {
        /// Compares with all that was counted, for sessions few enough to be remembered.
        #[test]
        fn a_session_counts_once_in_five_minutes(
            events in prop::collection::vec((0..200_i64, 0..5_u64), 0..100),
        ) {
            let (mut repeats, mut now) = (Repeats::default(), UnixMillis(1_700_000_000_000));
            let mut counted = HashMap::new();
            for (pause, hash) in events {
                now = now.plus(Duration::from_secs(pause.unsigned_abs()));
                let is_first = counted.get(&hash).is_none_or(|&at| now.since(at) >= REST);
                prop_assert_eq!(repeats.is_first(now, hash), is_first);
                if is_first {
                    counted.insert(hash, now);
                }
            }
        }
    }
}
