//! Horizontal axis of time: positions, and ticks at round times of UTC.

use super::{
    drawing::{Anchor, Drawing, number},
    time_text::{clock_time, day},
};
use crate::clock::UnixMillis;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between ticks, the shortest first.
const STEPS: [i64; 19] = [
    MINUTE,
    2 * MINUTE,
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
        let length = self.length();
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

    fn length(&self) -> i64 {
        self.until.0.saturating_sub(self.from.0)
    }

    /// Distance between two ticks.
    fn step(&self) -> i64 {
        let length = self.length().max(1);
        STEPS.into_iter().find(|step| length / step < TICKS).unwrap_or(length)
    }

    /// Draws the ticks at their height, each with a line up to `top`. They are round times of UTC, from which the script
    /// moves them to the nearest round times of the reader's zone.
    pub(super) fn draw_ticks(&self, drawing: &mut Drawing, class: &str, (bottom, top): (f64, f64)) {
        #[expect(clippy::cast_precision_loss, reason = "positions of pixels need no more")]
        let pixel = self.length().max(1) as f64 / (self.right - self.left).max(1.0);
        drawing.raw(&format!(
            "<g data-step=\"{}\" data-pixel=\"{}\" data-from=\"{}\" data-until=\"{}\">",
            self.step(),
            number(pixel),
            self.from,
            self.until
        ));
        for (at, label) in self.ticks() {
            let x = self.x(at);
            drawing.raw(&format!("<g data-at=\"{at}\">"));
            drawing.line(class, (x, top), (x, bottom + 4.0));
            drawing.label("tick", (x, bottom + 17.0), Anchor::Middle, &label);
            drawing.close();
        }
        drawing.close();
        drawing.label("tick zone", (self.right + 28.0, bottom + 17.0), Anchor::Start, "UTC");
    }

    /// Round times on the axis, each with its label, no more than eight.
    pub(super) fn ticks(&self) -> Vec<(UnixMillis, String)> {
        if self.length() <= 0 {
            return Vec::new();
        }
        let step = self.step();
        let first = self.from.0.div_euclid(step).saturating_add(1).saturating_mul(step);
        let label = |at: UnixMillis| if step < DAY && at.0.rem_euclid(DAY) != 0 { clock_time(at) } else { day(at) };
        (0..TICKS)
            .map(|tick| UnixMillis(first.saturating_add(tick.saturating_mul(step))))
            .take_while(|at| *at <= self.until)
            .map(|at| (at, label(at)))
            .collect()
    }
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
}
