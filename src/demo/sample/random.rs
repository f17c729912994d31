//! Numbers that look random and are the same at each start: `SplitMix64` (<https://prng.di.unimi.it/splitmix64.c>).

use std::time::Duration;

/// Sequence of numbers from a seed. Nothing secret is made of it.
pub(super) struct SeededNumbers(u64);

impl SeededNumbers {
    /// Begins the sequence of this seed.
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number below a bound; 0 where the bound is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or_default()
    }

    /// Returns true in so many of a hundred cases.
    pub(super) fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    /// Returns a duration in whole seconds between two bounds, the second one excluded.
    pub(super) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + Duration::from_secs(self.below(to.saturating_sub(from).as_secs()))
    }
}
