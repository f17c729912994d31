//! Horizontal axis of time: positions, and ticks at round times of UTC.

use crate::clock::UnixMillis;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between ticks, the shortest first.
const STEPS: [i64; 17] = [
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    365 * DAY,
    3650 * DAY,
];

/// Maximal number of ticks.
const TICKS: i64 = 8;

/// Axis of a time, drawn from `left` to `right`.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeAxis {
    pub(super) from: UnixMillis,
    pub(super) until: UnixMillis,
    pub(super) left: f64,
    pub(super) right: f64,
}

impl TimeAxis {
    /// Position of a time; a time beyond the axis is at its end.
    pub(super) fn x(&self, at: UnixMillis) -> f64 {
        let length = self.until.0.saturating_sub(self.from.0);
        if length <= 0 {
            return self.left;
        }
        let share = at.0.saturating_sub(self.from.0).clamp(0, length);
        // Both are below 2^53 for any time that a clock shows.
        #[expect(clippy::cast_precision_loss, reason = "positions of pixels need no more")]
        let share = share as f64 / length as f64;
        self.left + share * (self.right - self.left)
    }

    /// True where a time is on the axis.
    pub(super) fn contains(&self, at: UnixMillis) -> bool {
        self.from <= at && at <= self.until
    }

    /// Round times on the axis, each with its label, no more than eight.
    pub(super) fn ticks(&self) -> Vec<(UnixMillis, String)> {
        let length = self.until.0.saturating_sub(self.from.0);
        if length <= 0 {
            return Vec::new();
        }
        let step = STEPS.into_iter().find(|step| length / step < TICKS).unwrap_or(length);
        let first = self.from.0.div_euclid(step).saturating_add(1).saturating_mul(step);
        let label = |at: UnixMillis| if step < DAY && at.0.rem_euclid(DAY) != 0 { clock_time(at) } else { day(at) };
        (0..TICKS)
            .map(|tick| UnixMillis(first.saturating_add(tick.saturating_mul(step))))
            .take_while(|at| *at <= self.until)
            .map(|at| (at, label(at)))
            .collect()
    }
}

/// Hour and minute of a time in UTC, as `10:02`.
pub(in crate::ops::console) fn clock_time(at: UnixMillis) -> String {
    part(at, 11..16)
}

/// Day and time in UTC, as `26 Nov 10:02`.
pub(in crate::ops::console) fn day_and_time(at: UnixMillis) -> String {
    format!("{} {}", day(at), clock_time(at))
}

/// Day of a time in UTC, as `26 Nov`.
fn day(at: UnixMillis) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = part(at, 5..7).parse().unwrap_or(0);
    let name = month.checked_sub(1).and_then(|month| MONTHS.get(month)).copied().unwrap_or("?");
    format!("{} {name}", part(at, 8..10).trim_start_matches('0'))
}

fn part(at: UnixMillis, range: std::ops::Range<usize>) -> String {
    at.to_string().get(range).unwrap_or("?").to_owned()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these positions are exact")]
mod tests {
    use super::*;

    fn axis(from: &str, until: &str) -> TimeAxis {
        TimeAxis { from: from.parse().unwrap(), until: until.parse().unwrap(), left: 100.0, right: 300.0 }
    }

    #[test]
    fn positions_are_proportional_and_never_outside() {
        let axis = axis("2026-11-26T00:00:00Z", "2026-11-26T10:00:00Z");
        let x = |at: &str| axis.x(at.parse().unwrap());
        assert_eq!(
            [x("2026-11-26T00:00:00Z"), x("2026-11-26T05:00:00Z"), x("2026-11-26T10:00:00Z")],
            [100.0, 200.0, 300.0]
        );
        assert_eq!([x("2020-01-01T00:00:00Z"), x("2030-01-01T00:00:00Z")], [100.0, 300.0]);
        assert_eq!([axis.x(UnixMillis(i64::MIN)), axis.x(UnixMillis(i64::MAX))], [100.0, 300.0]);
    }

    #[test]
    fn an_axis_without_length_has_one_position_and_no_tick() {
        for until in ["2026-11-26T00:00:00Z", "2026-11-25T00:00:00Z"] {
            let axis = axis("2026-11-26T00:00:00Z", until);
            assert_eq!(axis.x(axis.until), 100.0);
            assert!(axis.ticks().is_empty());
        }
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |from: &str, until: &str| -> Vec<String> {
            axis(from, until).ticks().into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(
            labels("2026-11-26T09:30:00Z", "2026-11-26T10:00:00Z"),
            ["09:35", "09:40", "09:45", "09:50", "09:55", "10:00"]
        );
        assert_eq!(labels("2026-11-26T10:02:00Z", "2026-11-27T10:02:00Z"), ["12:00", "18:00", "27 Nov", "06:00"]);
        assert_eq!(labels("2026-11-20T10:02:00Z", "2026-11-27T10:02:00Z").len(), 7);
        for hours in [1, 2, 5, 24, 100, 168, 2160, 20_000, 200_000] {
            let from: UnixMillis = "2026-11-26T10:02:00Z".parse().unwrap();
            let until = UnixMillis(from.0 + hours * HOUR);
            let ticks = TimeAxis { from, until, left: 0.0, right: 1.0 }.ticks();
            assert!((1..=8).contains(&ticks.len()), "{hours} h: {ticks:?}");
        }
    }

    #[test]
    fn extreme_times_have_labels() {
        assert_eq!(day_and_time("2026-01-02T03:04:05Z".parse().unwrap()), "2 Jan 03:04");
        for at in [i64::MIN, i64::MAX] {
            assert!(!day_and_time(UnixMillis(at)).is_empty());
        }
    }
}
