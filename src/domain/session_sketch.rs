//! Number of distinct sessions, kept without their ids: linear counting (Whang, Vander-Zanden, Taylor: A linear-time
//! probabilistic counting algorithm for database applications, 1990).

use std::{fmt, str::FromStr};

use utoipa::ToSchema;

use super::as_text::as_text;

/// Words of a sketch.
pub const SKETCH_WORDS: usize = 16;
/// Bits of a sketch.
const BITS: u32 = 1024;

/// Sketch of the distinct sessions of a row: one bit a session, at the place that its keyed hash gives. Two sketches
/// merge into that of the sessions of both.
///
/// The hash is keyed at random in each process, so a bit tells nothing about a session. A session that two processes
/// saw therefore counts as two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(value_type = String)]
pub struct SessionSketch(pub [u64; SKETCH_WORDS]);

as_text!(SessionSketch);

impl fmt::Display for SessionSketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl FromStr for SessionSketch {
    type Err = BadSketch;

    fn from_str(text: &str) -> Result<Self, BadSketch> {
        let mut bytes = [0; SKETCH_WORDS * 8];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadSketch)?;
        let mut sketch = Self::default();
        for (word, bytes) in sketch.0.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        Ok(sketch)
    }
}

/// Error for a text that is not a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sketch, which is 256 hexadecimal digits")]
pub struct BadSketch;

impl SessionSketch {
    /// Largest number that a sketch estimates: all bits but one are set. A full one stands for at least as many.
    pub const MOST: u64 = 7098;

    /// Adds the session of this hash.
    pub fn add(&mut self, hash: u64) {
        let bit = hash % u64::from(BITS);
        // Both are below 1,024.
        let (word, bit) = ((bit / 64) as usize, bit % 64);
        self.0[word] |= 1 << bit;
    }

    /// Adds the sessions of another sketch.
    pub fn merge(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// Estimates the number of sessions: −m ln(V), where V is the share of the m bits that are not set.
    pub fn estimate(&self) -> u64 {
        let set: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        let unset = BITS.saturating_sub(set).max(1);
        let estimate = -f64::from(BITS) * (f64::from(unset) / f64::from(BITS)).ln();
        // A positive number below 7,099.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let whole = estimate.round() as u64;
        whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(hashes: impl IntoIterator<Item = u64>) -> SessionSketch {
        let mut sketch = SessionSketch::default();
        hashes.into_iter().for_each(|hash| sketch.add(hash));
        sketch
    }

    /// Numbers that are as good as random (`SplitMix64`).
    fn hashes(seed: u64, number: u64) -> impl Iterator<Item = u64> {
        (1..=number).map(move |i| {
            let x = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        })
    }

    #[test]
    fn a_full_sketch_stands_for_the_most() {
        assert_eq!(SessionSketch::default().estimate(), 0);
        assert_eq!(of(0..1024).estimate(), SessionSketch::MOST);
        assert_eq!(of([7]).estimate(), 1);
    }

    proptest! {
        #[test]
        fn estimates_are_near(seed: u64, number in 0..3000_u64) {
            let estimate = of(hashes(seed, number)).estimate();
            // Six standard errors, and one for small numbers.
            let allowed = number / 5 + 3;
            prop_assert!(estimate.abs_diff(number) <= allowed, "{estimate} for {number}");
        }

        #[test]
        fn merging_is_adding(one: Vec<u64>, other: Vec<u64>) {
            let mut merged = of(one.clone());
            merged.merge(&of(other.clone()));
            prop_assert_eq!(merged, of(one.into_iter().chain(other)));
        }

        #[test]
        fn one_session_counts_once(hash: u64, times in 1..50_usize) {
            prop_assert_eq!(of(std::iter::repeat_n(hash, times)).estimate(), 1);
        }
    }
}
