//! Chart of mints and refreshes per minute of the last hour.

use std::fmt::Write;

use super::html::ShownTime;
use crate::clock::UnixMillis;

/// Minutes that the chart shows.
pub(super) const MINUTES: usize = 60;
const MINUTE: i64 = 60_000;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 136.0;

/// Answers of a minute.
#[derive(Clone, Copy, Default)]
pub(super) struct Minute {
    pub(super) mints: u64,
    pub(super) refreshes: u64,
}

/// Minutes of the last hour, oldest first, and the beginning of the first.
pub(super) struct ActivityChart {
    pub(super) first: UnixMillis,
    pub(super) minutes: [Minute; MINUTES],
}

impl ActivityChart {
    /// Makes the chart of the hour before `now` from counts by minute.
    pub(super) fn new(now: UnixMillis, counts: impl Iterator<Item = (UnixMillis, Minute)>) -> Self {
        let last = now.0.div_euclid(MINUTE);
        let first = last + 1 - i64::try_from(MINUTES).unwrap_or(i64::MAX);
        let mut minutes = [Minute::default(); MINUTES];
        for (at, count) in counts {
            let place = usize::try_from(at.0.div_euclid(MINUTE) - first).ok().and_then(|at| minutes.get_mut(at));
            if let Some(minute) = place {
                minute.mints += count.mints;
                minute.refreshes += count.refreshes;
            }
        }
        Self { first: UnixMillis(first * MINUTE), minutes }
    }

    /// Sums of the hour.
    pub(super) fn sums(&self) -> Minute {
        self.minutes.iter().fold(Minute::default(), |sum, minute| Minute {
            mints: sum.mints + minute.mints,
            refreshes: sum.refreshes + minute.refreshes,
        })
    }

    fn at(&self, minute: usize) -> UnixMillis {
        UnixMillis(self.first.0 + i64::try_from(minute).unwrap_or_default() * MINUTE)
    }

    /// Minutes with their times, newest first, without those in which nothing was answered.
    pub(super) fn rows(&self) -> Vec<(ShownTime, Minute)> {
        let all = self.minutes.iter().enumerate().rev();
        all.filter(|(_, one)| one.mints + one.refreshes > 0).map(|(at, one)| (ShownTime(self.at(at)), *one)).collect()
    }

    /// Draws it as SVG.
    #[expect(clippy::cast_precision_loss, reason = "a drawing needs no more")]
    pub(super) fn draw(&self) -> String {
        let most = self.minutes.iter().map(|minute| minute.mints.max(minute.refreshes)).max().unwrap_or(0);
        let top = ceiling(most);
        let (y, x) = (
            |value: u64| BOTTOM - (BOTTOM - TOP) * value as f64 / top as f64,
            |minute: usize| LEFT + (RIGHT - LEFT) * minute as f64 / (MINUTES - 1) as f64,
        );
        let mut svg = String::from(
            "<svg viewBox=\"0 0 720 164\" role=\"img\" aria-labelledby=\"activity-title activity-text\">\
             <title id=\"activity-title\">Mints and refreshes per minute</title>",
        );
        let sums = self.sums();
        let _ = write!(
            svg,
            "<desc id=\"activity-text\">Last hour: {} mints, {} refreshes, at most {most} in a minute.</desc>",
            sums.mints, sums.refreshes
        );
        for value in [0, top / 2, top] {
            let (line, text) = (y(value), y(value) + 4.0);
            let _ = write!(
                svg,
                "<line class=\"gridline\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{line:.1}\" y2=\"{line:.1}\"/>\
                 <text x=\"{}\" y=\"{text:.1}\" text-anchor=\"end\">{value}</text>",
                LEFT - 8.0
            );
        }
        for minute in [0, 20, 40, MINUTES - 1] {
            let ago = MINUTES - 1 - minute;
            let word = if ago == 0 { "now".to_owned() } else { format!("{ago} min ago") };
            let anchor = if minute == 0 { "start" } else { "middle" };
            let _ = write!(svg, "<text x=\"{:.1}\" y=\"156\" text-anchor=\"{anchor}\">{word}</text>", x(minute));
        }
        let series = [
            ("s1", "mints", self.minutes.map(|one| one.mints)),
            ("s2", "refreshes", self.minutes.map(|one| one.refreshes)),
        ];
        let mut ends = Vec::new();
        for (class, name, values) in series {
            let points: Vec<String> =
                values.iter().enumerate().map(|(at, value)| format!("{:.1},{:.1}", x(at), y(*value))).collect();
            let _ = write!(svg, "<polyline class=\"line {class}\" points=\"{}\"/>", points.join(" "));
            ends.push((values.last().map_or(BOTTOM, |value| y(*value)), class, name));
        }
        // Direct labels, kept apart.
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut lowest = f64::MIN;
        let spare = 16.0 * (ends.len() as f64 - 1.0);
        for (at, class, name) in ends {
            let at = at.min(BOTTOM - spare).max(lowest + 16.0);
            lowest = at;
            let _ = write!(
                svg,
                "<text class=\"label-of {class}\" x=\"{}\" y=\"{:.1}\">{name}</text>",
                RIGHT + 8.0,
                at + 4.0
            );
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Even number at the top of the axis.
fn ceiling(most: u64) -> u64 {
    let step = 10_u64.saturating_pow(most.max(1).ilog10());
    let candidates = [2, 4, 6, 10, 20].map(|times| step.saturating_mul(times));
    candidates.into_iter().find(|top| *top >= most).unwrap_or(most).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_at_their_minutes() {
        let now = UnixMillis(1_795_000_000_500);
        let one = |ago: i64, mints| (UnixMillis(now.0 - ago * MINUTE), Minute { mints, refreshes: 1 });
        let chart = ActivityChart::new(now, [one(0, 3), one(0, 4), one(59, 5), one(60, 9), one(-5, 9)].into_iter());
        assert_eq!((chart.minutes[59].mints, chart.minutes[0].mints, chart.sums().mints), (7, 5, 12));
        assert_eq!(chart.rows().len(), 2);
        assert!(chart.draw().contains("12 mints"));
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!([0, 1, 3, 7, 19, 21, 1000].map(ceiling), [2, 2, 4, 10, 20, 40, 2000]);
    }
}
