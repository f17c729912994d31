//! Pace of a key: measured times of its signatures, and the choice whether it signs in batches.
//!
//! A batch computes all its lanes, however many are used, so it wins from a certain number of waiting signatures on, or
//! never: with `crypto_mb` at 3072 bits eight lanes take longer than eight single signatures. The size of the key and
//! the processor decide, so each key is measured when it is loaded.

use std::{fmt, ops::RangeInclusive, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Number of signatures of a batch, which are computed at once.
pub(super) const LANES: usize = 8;
/// Number of batches that are measured. The shortest counts: whatever disturbs a measurement lengthens it.
const ROUNDS: usize = 8;
/// Number of single signatures that are measured in each round.
const SINGLES: usize = 4;
/// Number of batches that are measured where the two ways are close. Of eight, all may have been disturbed.
const MOST_ROUNDS: usize = 3 * ROUNDS;
/// Times of a full batch, as parts of 100 of the time of as many single signatures, that are close to [`WORTH`].
const CLOSE: RangeInclusive<u32> = 60..=90;
/// Number of rounds after which a batch that takes more than twice as long as single signatures is given up.
const FIRST_ROUNDS: usize = 2;
/// Greatest time of a full batch that is worth it, as parts of 100 of the time of as many single signatures. The margin
/// keeps the choice the same at every start where a measurement is off by a third.
const WORTH: u32 = 75;

/// Name of the library that signs singly.
const SINGLE_LIBRARY: &str = "aws-lc-rs";

/// Measured way of signing of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Processor time of a single signature.
    pub single: Duration,
    /// Batches, where the key signs in them.
    pub batch: Option<BatchPace>,
}

/// Batches of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPace {
    /// Name of the library that computes them.
    pub library: String,
    /// Least number of waiting signatures that are computed together.
    pub least: usize,
    /// Processor time of a signature in a full batch, with its verification.
    pub each: Duration,
}

impl Pace {
    /// Library that signs where many signatures wait, and its processor time of one.
    pub fn in_use(&self) -> (&str, Duration) {
        self.batch.as_ref().map_or((SINGLE_LIBRARY, self.single), |batch| (&batch.library, batch.each))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs a signature ({SINGLE_LIBRARY})", self.single.as_micros())?;
        let Some(BatchPace { library, least, each }) = &self.batch else { return Ok(()) };
        write!(f, ", {} µs in batches from {least} waiting ones on ({library})", each.as_micros())
    }
}

/// Work that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// One signature.
    Single,
    /// All lanes of a batch.
    Batch,
}

/// Meter of the time that a piece of work takes.
pub(super) type Meter = fn(Work, &mut dyn FnMut() -> Result<(), String>) -> Result<Duration, String>;

/// Measures the processor time of this thread: other work of the machine does not count.
pub(super) fn processor_time(_: Work, work: &mut dyn FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let spent = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let before = spent();
    work()?;
    Ok(spent().saturating_sub(before))
}

/// Shortest times of a single signature and of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) single: Duration,
    pub(super) batch: Duration,
}

/// Measures both ways in turn, so that a processor that changes its speed does so for both.
pub(super) fn measure(
    meter: Meter,
    mut single: impl FnMut() -> Result<(), String>,
    mut batch: impl FnMut() -> Result<(), String>,
) -> Result<Times, String> {
    let mut shortest = Times { single: Duration::MAX, batch: Duration::MAX };
    for round in 0..MOST_ROUNDS {
        let is_hopeless = round >= FIRST_ROUNDS && shortest.each() > shortest.single.saturating_mul(2);
        if is_hopeless || (round >= ROUNDS && !shortest.are_close()) {
            break;
        }
        shortest.batch = shortest.batch.min(meter(Work::Batch, &mut batch)?);
        for _ in 0..SINGLES {
            shortest.single = shortest.single.min(meter(Work::Single, &mut single)?);
        }
    }
    Ok(shortest)
}

/// Measures single signatures only.
pub(super) fn measure_single(meter: Meter, mut single: impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    (0..SINGLES).try_fold(Duration::MAX, |shortest, _| Ok(shortest.min(meter(Work::Single, &mut single)?)))
}

impl Times {
    /// Processor time of a signature in a full batch.
    pub(super) fn each(self) -> Duration {
        self.batch / u32::try_from(LANES).unwrap_or(u32::MAX)
    }

    /// Returns true where disturbed measurements may have decided.
    fn are_close(self) -> bool {
        let takes_more_than = |share: u32| self.each().saturating_mul(100) > self.single.saturating_mul(share);
        takes_more_than(*CLOSE.start()) && !takes_more_than(*CLOSE.end())
    }

    /// Returns the least number of signatures from which a batch is quicker than as many single ones; `None` where a
    /// full batch is not clearly quicker.
    pub(super) fn least(self) -> Option<usize> {
        let lanes = u32::try_from(LANES).unwrap_or(u32::MAX);
        if self.batch.saturating_mul(100) > self.single.saturating_mul(lanes * WORTH) {
            return None;
        }
        (2..=LANES).find(|count| self.batch < self.single.saturating_mul(u32::try_from(*count).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn times(single: u64, batch: u64) -> Times {
        Times { single: Duration::from_micros(single), batch: Duration::from_micros(batch) }
    }

    #[test]
    fn the_measured_processors_choose_what_is_quicker() {
        // Ice Lake, 2026-11-25: microseconds of a single signature and of eight lanes, at 2048, 3072 and 4096 bits.
        assert_eq!(times(341, 8 * 146).least(), Some(4));
        assert_eq!(times(960, 8 * 2_608).least(), None);
        assert_eq!(times(1_935, 8 * 1_875).least(), None);
        assert_eq!(times(341, 300).least(), Some(2), "a batch of one is never quicker than it must be");
        assert_eq!(times(0, 0).least(), None);
    }

    #[test]
    fn what_is_used_is_named() {
        let single = Pace { single: Duration::from_micros(341), batch: None };
        assert_eq!(single.to_string(), "341 µs a signature (aws-lc-rs)");
        assert_eq!(single.in_use(), ("aws-lc-rs", Duration::from_micros(341)));
        let batch = BatchPace { library: "crypto_mb".to_owned(), least: 4, each: Duration::from_micros(146) };
        let both = Pace { batch: Some(batch), ..single };
        let text = "341 µs a signature (aws-lc-rs), 146 µs in batches from 4 waiting ones on (crypto_mb)";
        assert_eq!(both.to_string(), text);
        assert_eq!(both.in_use(), ("crypto_mb", Duration::from_micros(146)));
    }

    std::thread_local! {
        /// True times of the fake engine in microseconds (single, batch), and the state of its noise.
        static FAKE: Cell<(u64, u64, u64)> = const { Cell::new((0, 0, 0)) };
    }

    /// Engine of which each measurement is off by up to 30 %.
    #[expect(clippy::unnecessary_wraps, reason = "as a meter whose work may fail")]
    fn noisy(work: Work, _: &mut dyn FnMut() -> Result<(), String>) -> Result<Duration, String> {
        let (single, batch, state) = FAKE.get();
        let state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        FAKE.set((single, batch, state));
        let percent = 70 + (state >> 33) % 61;
        let true_time = if work == Work::Single { single } else { batch };
        Ok(Duration::from_micros(true_time * percent / 100))
    }

    fn chooses_batches(single: u64, batch: u64, seed: u64) -> bool {
        FAKE.set((single, batch, seed));
        measure(noisy, || Ok(()), || Ok(())).unwrap().least().is_some()
    }

    /// With this noise, each of the first eight batches takes a fifth longer than it should, or more.
    #[test]
    fn eight_disturbed_batches_do_not_flip_the_choice() {
        for start in 0..10_u64 {
            assert!(chooses_batches(341, 8 * 146, 16_702_520_632_231_010_925_u64.wrapping_add(start << 32)), "{start}");
        }
    }

    proptest! {
        /// 2048 bits in batches, 3072 and 4096 bits singly, at each of ten starts.
        #[test]
        fn noise_does_not_flip_the_choice(seed in proptest::num::u64::ANY) {
            for start in 0..10 {
                let seed = seed.wrapping_add(start << 32);
                prop_assert!(chooses_batches(341, 8 * 146, seed));
                prop_assert!(!chooses_batches(960, 8 * 2_608, seed));
                prop_assert!(!chooses_batches(1_935, 8 * 1_875, seed));
            }
        }

        /// From the chosen number on a batch is quicker, and below it is not.
        #[test]
        fn a_batch_is_used_only_where_it_is_quicker(single in 1_u64..10_000, batch in 1_u64..100_000) {
            let chosen = times(single, batch).least();
            prop_assert_eq!(chosen.is_none(), batch * 100 > single * 8 * u64::from(WORTH));
            if let Some(least) = chosen {
                let least = u64::try_from(least).unwrap();
                prop_assert!(batch < single * least && (least == 2 || batch >= single * (least - 1)));
            }
        }
    }
}
