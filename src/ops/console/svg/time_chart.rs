//! Charts of numbers over time, as stacked bars or as lines, with markers of what changed.

use std::{cmp::Reverse, fmt::Write};

use super::{
    drawing::{Drawing, escaped, number},
    palette::Palette,
    scale::Scale,
    time_axis::TimeAxis,
    time_text::{clock_time, day_and_time},
};
use crate::clock::UnixMillis;

const WIDTH: f64 = 776.0;
pub(super) const LEFT: f64 = 44.0;
/// Right end of the axis; the labels of series stand beyond it.
pub(super) const RIGHT: f64 = 588.0;
/// Top of the bars, below the rows of markers.
const TOP: f64 = 64.0;
/// Top of lines, above which no marker stands.
const TOP_OF_LINES: f64 = 16.0;
pub(super) const BOTTOM: f64 = 236.0;
const HEIGHT: f64 = 264.0;

/// Shape of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::console) enum ChartShape {
    /// Parts of a whole, one upon the other.
    StackedBars,
    /// Numbers of which none is part of another.
    Lines,
}

/// Numbers over time.
#[derive(Clone, Debug)]
pub(in crate::ops::console) struct Series {
    pub(in crate::ops::console) name: String,
    /// Short name, which stands beside the chart.
    pub(in crate::ops::console) label: String,
    pub(in crate::ops::console) colour: Palette,
    /// One number for each bar; `None`: nothing is known of that time.
    pub(in crate::ops::console) counts: Vec<Option<u64>>,
}

impl Series {
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().flatten().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    pub(super) fn at(&self, bar: usize) -> Option<u64> {
        self.counts.get(bar).copied().flatten()
    }
}

/// Change that a vertical line marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops::console) struct ChartMarker {
    pub(in crate::ops::console) at: UnixMillis,
    /// One word.
    pub(in crate::ops::console) word: &'static str,
    /// Description, shown on hover.
    pub(in crate::ops::console) title: String,
}

/// Beginning of a rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops::console) struct Onset {
    pub(in crate::ops::console) at: UnixMillis,
    /// True where it is another day than now, so that the day belongs to the time.
    pub(in crate::ops::console) is_of_another_day: bool,
    /// Change before it, such as `, 4m after activation of 4f2a…`.
    pub(in crate::ops::console) change: String,
}

impl Onset {
    /// Text at the line, such as `since 10:02`.
    pub(in crate::ops::console) fn text(&self) -> String {
        let begins = if self.is_of_another_day { day_and_time(self.at) } else { clock_time(self.at) };
        format!("since {begins}{}", self.change)
    }
}

/// Chart of numbers over time.
#[derive(Clone, Debug)]
pub(in crate::ops::console) struct TimeChart {
    /// Id of the drawing on its page.
    pub(in crate::ops::console) id: &'static str,
    pub(in crate::ops::console) title: String,
    pub(in crate::ops::console) shape: ChartShape,
    pub(in crate::ops::console) from: UnixMillis,
    pub(in crate::ops::console) until: UnixMillis,
    /// Number of bars.
    pub(in crate::ops::console) bars: usize,
    /// Series from the lowest of the stack to the highest.
    pub(in crate::ops::console) series: Vec<Series>,
    pub(in crate::ops::console) markers: Vec<ChartMarker>,
    pub(in crate::ops::console) onset: Option<Onset>,
}

impl TimeChart {
    /// Draws the chart.
    pub(in crate::ops::console) fn draw(&self) -> String {
        let mut drawing = Drawing::new(self.id, (WIDTH, HEIGHT), &self.title, &self.description());
        let scale = Scale::up_to(self.most(), BOTTOM, self.top());
        self.draw_axes(&mut drawing, &scale);
        self.draw_markers(&mut drawing);
        for index in 0..self.series.len() {
            match self.shape {
                ChartShape::StackedBars => self.draw_series(&mut drawing, &scale, index),
                ChartShape::Lines => self.draw_line(&mut drawing, &scale, index),
            }
        }
        self.draw_baseline(&mut drawing);
        self.draw_onset(&mut drawing);
        self.draw_names(&mut drawing, &scale);
        self.draw_titles(&mut drawing);
        drawing.finish()
    }

    fn top(&self) -> f64 {
        if self.shape == ChartShape::Lines { TOP_OF_LINES } else { TOP }
    }

    /// Largest number that is drawn.
    fn most(&self) -> u64 {
        let of_bar = |bar: usize| match self.shape {
            ChartShape::StackedBars => self.total(bar),
            ChartShape::Lines => self.series.iter().filter_map(|series| series.at(bar)).max().unwrap_or(0),
        };
        (0..self.bars).map(of_bar).max().unwrap_or(0)
    }

    /// Rows of a data table: bars that have a number, each with its time and the numbers of the series.
    pub(in crate::ops::console) fn rows(&self) -> Vec<(UnixMillis, Vec<u64>)> {
        let shown = (0..self.bars).filter(|bar| self.total(*bar) > 0);
        let numbers = |bar: usize| self.series.iter().map(|series| series.at(bar).unwrap_or(0)).collect();
        shown.map(|bar| (self.begins(bar), numbers(bar))).collect()
    }

    pub(super) fn axis(&self) -> TimeAxis {
        TimeAxis { from: self.from, until: self.until, left: LEFT, right: RIGHT }
    }

    fn description(&self) -> String {
        let series: Vec<String> =
            self.series.iter().map(|series| format!("{} {}", series.total(), series.name)).collect();
        let (from, until) = (day_and_time(self.from), day_and_time(self.until));
        let onset = self.onset.as_ref().map_or_else(String::new, |onset| format!(" {}.", onset.text()));
        if series.is_empty() {
            return format!("From {from} to {until} UTC: nothing.{onset}");
        }
        format!("From {from} to {until} UTC: {}.{onset}", series.join(", "))
    }

    /// Beginning of a bar.
    fn begins(&self, bar: usize) -> UnixMillis {
        let length = i128::from(self.until.0) - i128::from(self.from.0);
        let offset = length.max(0) * bar as i128 / self.bars.max(1) as i128;
        UnixMillis(i64::try_from(i128::from(self.from.0) + offset).unwrap_or(self.until.0))
    }

    /// Sum of a bar.
    fn total(&self, bar: usize) -> u64 {
        self.series.iter().filter_map(|series| series.at(bar)).fold(0, u64::saturating_add)
    }

    /// Left end and width of a bar, with one pixel between two.
    fn reach(&self, bar: usize) -> (f64, f64) {
        let width = (RIGHT - LEFT) / as_length(self.bars.max(1));
        (LEFT + as_length(bar) * width, (width - 1.0).max(0.5))
    }

    fn is_known(&self, bar: usize) -> bool {
        self.series.is_empty() || self.series.iter().any(|series| series.at(bar).is_some())
    }

    /// Draws one series as one path.
    fn draw_series(&self, drawing: &mut Drawing, scale: &Scale, index: usize) {
        let Some(series) = self.series.get(index) else { return };
        let mut path = String::new();
        for bar in 0..self.bars {
            let Some(count) = series.at(bar).filter(|count| *count > 0) else { continue };
            let (x, width) = self.reach(bar);
            let below = self.below(index, bar);
            let (bottom, top) = (scale.y(below), scale.y(below.saturating_add(count)));
            // One pixel of the page's colour lies between two parts of a stack; the lowest stands on the axis.
            let gap = if below > 0 && bottom - top > 2.0 { 1.0 } else { 0.0 };
            let [x, y, width, height] = [x, top, width, (bottom - top - gap).max(0.5)].map(number);
            // Writing to a string does not fail.
            let _ = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
        }
        if !path.is_empty() {
            drawing.raw(&format!("<path class=\"{} fill\" d=\"{path}\"/>", series.colour.class()));
        }
    }

    /// Draws one series as a line through the middle of each bar; what is not known is a gap.
    fn draw_line(&self, drawing: &mut Drawing, scale: &Scale, index: usize) {
        let Some(series) = self.series.get(index) else { return };
        let class = format!("line {}", series.colour.class());
        let mut points: Vec<(f64, f64)> = Vec::new();
        for bar in 0..=self.bars {
            match series.at(bar).filter(|_| bar < self.bars) {
                Some(count) => {
                    let (x, width) = self.reach(bar);
                    points.push((x + width / 2.0, scale.y(count)));
                }
                None if points.is_empty() => {}
                None => drawing.polyline(&class, &std::mem::take(&mut points)),
            }
        }
    }

    /// Sum of the series below one.
    pub(super) fn below(&self, index: usize, bar: usize) -> u64 {
        self.series.iter().take(index).filter_map(|series| series.at(bar)).fold(0, u64::saturating_add)
    }

    /// Draws the axis under the bars of which something is known.
    fn draw_baseline(&self, drawing: &mut Drawing) {
        let mut begun: Option<f64> = None;
        for bar in 0..=self.bars {
            let known = bar < self.bars && self.is_known(bar);
            let (x, _) = self.reach(bar);
            match (known, begun) {
                (true, None) => begun = Some(x),
                (false, Some(from)) => {
                    drawing.line("axis", (from, BOTTOM), (x, BOTTOM));
                    begun = None;
                }
                _ => {}
            }
        }
    }

    /// Adds a transparent column for each bar that has numbers, which shows the largest of them on hover: the data table
    /// has all.
    fn draw_titles(&self, drawing: &mut Drawing) {
        drawing.open("hover", "");
        for bar in (0..self.bars).filter(|bar| self.total(*bar) > 0) {
            let end = clock_time(self.begins(bar + 1));
            let title = format!("{} to {end} UTC: {}", day_and_time(self.begins(bar)), self.largest_parts(bar));
            let (x, width) = self.reach(bar);
            let [x, width] = [x, width].map(number);
            drawing.raw(&format!(
                "<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{}\"><title>{}</title></rect>",
                self.top(),
                BOTTOM - self.top(),
                escaped(&title)
            ));
        }
        drawing.close();
    }

    /// Describes the three largest parts of a bar, and the rest in one number.
    fn largest_parts(&self, bar: usize) -> String {
        let parts = self.series.iter().filter_map(|series| Some((series.at(bar)?, series.name.as_str())));
        let mut parts: Vec<(u64, &str)> = parts.filter(|(count, _)| *count > 0).collect();
        parts.sort_by_key(|(count, _)| Reverse(*count));
        let rest: u64 = parts.iter().skip(3).map(|(count, _)| *count).fold(0, u64::saturating_add);
        let rest = (rest > 0).then(|| format!("{rest} others"));
        let largest = parts.iter().take(3).map(|(count, name)| format!("{count} {name}"));
        largest.chain(rest).collect::<Vec<_>>().join(", ")
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of bars and characters are small")]
pub(super) fn as_length(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: UnixMillis = UnixMillis(1_795_000_020_000);

    fn series(name: &str, colour: Palette, counts: &[Option<u64>]) -> Series {
        Series { name: name.to_owned(), label: name.to_owned(), colour, counts: counts.to_vec() }
    }

    fn chart(series: Vec<Series>) -> TimeChart {
        TimeChart {
            id: "by-cause",
            title: "Failures by cause".to_owned(),
            shape: ChartShape::StackedBars,
            from: FROM,
            until: UnixMillis(FROM.0 + 4 * 60_000),
            bars: 4,
            series,
            markers: Vec::new(),
            onset: None,
        }
    }

    #[test]
    fn bars_are_stacked_from_zero_with_a_gap() {
        let keys = series("keys", Palette::One, &[Some(10), Some(0), None, Some(20)]);
        let expiry = series("expiry", Palette::Two, &[Some(10), Some(0), None, Some(0)]);
        let drawing = chart(vec![keys, expiry]).draw();
        // The scale is 0 to 20 over 172 pixels; a bar is 136 pixels wide, one of them a gap.
        assert!(
            drawing.contains("<path class=\"s1 fill\" d=\"M44 150h135v86h-135zM452 64h135v172h-135z\"/>"),
            "{drawing}"
        );
        assert!(drawing.contains("<path class=\"s2 fill\" d=\"M44 64h135v85h-135z\"/>"), "{drawing}");
        assert!(drawing.contains("<line class=\"axis\" x1=\"44\" y1=\"236\" x2=\"316\" y2=\"236\"/>"), "{drawing}");
        assert!(drawing.contains("<line class=\"axis\" x1=\"452\" y1=\"236\" x2=\"588\" y2=\"236\"/>"), "a gap is one");
    }

    #[test]
    fn lines_have_gaps_where_nothing_is_known() {
        let counts = [Some(10), Some(20), None, Some(0)];
        let lines = TimeChart { shape: ChartShape::Lines, ..chart(vec![series("mints", Palette::One, &counts)]) };
        let drawing = lines.draw();
        // The scale is 0 to 20 over 220 pixels.
        assert!(drawing.contains("<polyline class=\"line s1\" points=\"111.5,126 247.5,16\"/>"), "{drawing}");
        assert!(drawing.contains("<polyline class=\"line s1\" points=\"519.5,236\"/>"), "{drawing}");
    }

    #[test]
    fn rows_are_the_bars_that_have_a_number() {
        let counts = [Some(3), Some(0), None, Some(5)];
        let chart = chart(vec![series("a", Palette::One, &counts), series("b", Palette::Two, &[])]);
        let rows = chart.rows();
        assert_eq!(rows.iter().map(|(_, numbers)| numbers.clone()).collect::<Vec<_>>(), [[3, 0], [5, 0]]);
        assert_eq!([rows[0].0, rows[1].0], [FROM, UnixMillis(FROM.0 + 180_000)]);
    }

    #[test]
    fn nothing_to_draw_is_drawn_without_a_fault() {
        let mut flat = chart(vec![series("a", Palette::One, &[Some(u64::MAX); 4])]);
        flat.until = flat.from;
        let mut none = chart(Vec::new());
        none.bars = 0;
        let extreme = TimeChart { from: UnixMillis(i64::MIN), until: UnixMillis(i64::MAX), ..chart(Vec::new()) };
        for drawing in [chart(Vec::new()).draw(), flat.draw(), none.draw(), extreme.draw()] {
            assert!(drawing.ends_with("</svg>") && !drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        }
    }

    #[test]
    fn hostile_names_are_escaped() {
        let drawing = chart(vec![series("<img onerror=x>", Palette::Other, &[Some(1); 4])]).draw();
        assert!(!drawing.contains("<img") && drawing.contains("&lt;img"), "{drawing}");
    }
}
