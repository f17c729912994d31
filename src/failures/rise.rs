//! Beginning of a rise of failures.

use crate::{domain::session_sketch::SessionSketch, store::CountSpan};

/// Ratio of the rate in a rise to the rate before it, at least.
const RATIO: u64 = 3;

/// Numbers of spans in which rates are compared: the rise's own, and the ones before it.
#[derive(Clone, Copy, Debug)]
struct Windows {
    own: i64,
    before: i64,
}

impl Windows {
    /// A quarter of an hour and the hour before it; where there are hours only, one of them and the four before it.
    fn of(span: CountSpan) -> Self {
        match span {
            CountSpan::Minute => Self { own: 15, before: 60 },
            CountSpan::Hour => Self { own: 1, before: 4 },
        }
    }

    /// Sessions that `spans` spans are expected to have where nothing changed, rounded up.
    fn expected(self, spans: i64, before: u64) -> u64 {
        let (spans, all) = (spans.unsigned_abs(), self.before.unsigned_abs().max(1));
        (before * spans).div_ceil(all)
    }
}

/// Returns the number of the span at which the newest rise begins; spans are numbered without a gap, those without
/// reports are left out, and the others come in order. `None` where there is no rise.
///
/// A rise begins at a span with reports where the spans from it on have at least `threshold` distinct sessions within a
/// quarter of an hour, and three times as many as the hour before lets expect, and so has the span itself. One that goes
/// on is the same rise; it begins anew where that holds again after an hour.
pub(super) fn begins(points: &[(i64, SessionSketch)], span: CountSpan, threshold: u64) -> Option<i64> {
    let windows = Windows::of(span);
    let sessions = |from: i64, to: i64| {
        let first = points.partition_point(|(at, _)| *at < from);
        let mut merged = SessionSketch::default();
        points[first..].iter().take_while(|(at, _)| *at < to).for_each(|(_, sketch)| merged.merge(sketch));
        merged.estimate()
    };
    let mut begun: Option<i64> = None;
    for &(at, _) in points {
        if begun.is_some_and(|begun| at < begun + windows.before) {
            continue;
        }
        let (own, before) = (sessions(at, at + windows.own), sessions(at - windows.before, at));
        let rises = |spans, sessions| sessions >= RATIO * windows.expected(spans, before);
        if own >= threshold.max(1) && rises(windows.own, own) && rises(1, sessions(at, at + 1)) {
            begun = Some(at);
        }
    }
    begun
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THRESHOLD: u64 = 20;

    /// Minutes of which each has `rate` sessions that no other has, at places spread over the sketch.
    fn steady(minutes: std::ops::Range<i64>, rate: u64) -> Vec<(i64, SessionSketch)> {
        let sketch = |minute: i64| {
            let mut sketch = SessionSketch::default();
            (0..rate).for_each(|n| sketch.add((minute.unsigned_abs() * rate + n) * 7));
            (minute, sketch)
        };
        minutes.map(sketch).filter(|(_, sketch)| sketch.estimate() > 0).collect()
    }

    fn one_session(minutes: std::ops::Range<i64>) -> Vec<(i64, SessionSketch)> {
        minutes
            .map(|minute| {
                (minute, {
                    let mut sketch = SessionSketch::default();
                    sketch.add(77);
                    sketch
                })
            })
            .collect()
    }

    fn begins(points: &[(i64, SessionSketch)]) -> Option<i64> {
        super::begins(points, CountSpan::Minute, THRESHOLD)
    }

    #[test]
    fn a_rise_that_went_on_is_found_again_only_where_it_grows() {
        assert_eq!(begins(&[steady(0..70, 2), steady(70..100, 20)].concat()), Some(70));
        assert_eq!(begins(&[steady(0..300, 2)].concat()), Some(0));
        // Two days without reports, then again.
        assert_eq!(begins(&[steady(0..30, 4), steady(3000..3030, 4)].concat()), Some(3000));
    }

    #[test]
    fn hours_are_compared_with_hours() {
        let of_hours = |points: &[_]| super::begins(points, CountSpan::Hour, THRESHOLD);
        assert_eq!(of_hours(&[steady(0..10, 10), steady(10..12, 60)].concat()), Some(10));
        assert_eq!(of_hours(&steady(0..10, 10)), None);
    }

    proptest! {
        /// The rise begins at the minute of the step, whatever the rate was before it.
        #[test]
        fn a_step_is_found_to_the_minute(quiet in 0..2_u64, step in 12..30_u64, at in 61..200_i64) {
            let points = [steady(0..at, quiet), steady(at..at + 40, step)].concat();
            prop_assert_eq!(begins(&points), Some(at));
        }

        /// One session that reports all the time begins no rise, and neither do as few as the threshold leaves.
        #[test]
        fn few_sessions_make_no_rise(first in 0..500_i64, length in 1..500_i64) {
            prop_assert_eq!(begins(&one_session(first..first + length)), None);
            prop_assert_eq!(begins(&steady(first..first + length, 1)), None);
        }

        /// The beginning is one of the spans, and does not depend on the number that the first has.
        #[test]
        fn a_beginning_is_a_span_with_reports(
            rates in prop::collection::vec(0..40_u64, 1..200), shift in -1000..1000_i64,
        ) {
            let points: Vec<_> = (0..).zip(&rates).flat_map(|(at, rate)| steady(at..at + 1, *rate)).collect();
            let found = begins(&points);
            prop_assert!(found.is_none_or(|at| points.iter().any(|point| point.0 == at)));
            let shifted: Vec<_> = points.iter().map(|(at, sketch)| (at + shift, *sketch)).collect();
            prop_assert_eq!(begins(&shifted), found.map(|at| at + shift));
        }

        /// More sessions than the threshold asks for never hide a rise that fewer made.
        #[test]
        fn a_lower_threshold_finds_at_least_as_much(rates in prop::collection::vec(0..40_u64, 1..100), most in 1..60_u64) {
            let points: Vec<_> = (0..).zip(&rates).flat_map(|(at, rate)| steady(at..at + 1, *rate)).collect();
            let high = super::begins(&points, CountSpan::Minute, most);
            let low = super::begins(&points, CountSpan::Minute, most / 2);
            prop_assert!(high.is_none() || low.is_some());
        }
    }
}
