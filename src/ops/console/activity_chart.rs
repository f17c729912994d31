//! Chart of mints and refreshes per minute of the last hour.

use super::{
    html::ShownTime,
    svg::{ChartShape, Palette, Series, TimeChart},
};
use crate::clock::UnixMillis;

/// Minutes that the chart shows.
pub(super) const MINUTES: usize = 60;
const MINUTE: i64 = 60_000;

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
    pub(super) fn draw(&self) -> String {
        let series = |name: &str, colour, count: fn(&Minute) -> u64| Series {
            name: name.to_owned(),
            label: name.to_owned(),
            colour,
            counts: self.minutes.iter().map(|minute| Some(count(minute))).collect(),
        };
        let chart = TimeChart {
            id: "activity",
            title: "Mints and refreshes per minute".to_owned(),
            shape: ChartShape::Lines,
            from: self.first,
            until: self.at(MINUTES),
            bars: MINUTES,
            series: vec![
                series("mints", Palette::One, |minute| minute.mints),
                series("refreshes", Palette::Two, |minute| minute.refreshes),
            ],
            markers: Vec::new(),
            onset: None,
        };
        chart.draw()
    }
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
}
