//! Stacked bars of numbers over time, with markers of what changed.

use std::fmt::Write;

use super::{
    drawing::{Anchor, Area, Drawing, escaped, number, shortened},
    palette::Palette,
    scale::{Scale, short_number},
    time_axis::{TimeAxis, clock_time, day_and_time},
};
use crate::clock::UnixMillis;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 44.0;
/// Right end of the axis; the labels of series stand beyond it.
const RIGHT: f64 = 588.0;
/// Top of the bars, below the rows of markers.
const TOP: f64 = 64.0;
const BOTTOM: f64 = 236.0;
const HEIGHT: f64 = 264.0;
/// Height of a row of markers.
const ROW: f64 = 16.0;
/// Least distance between labels of series.
const APART: f64 = 16.0;
/// Width of a character of a label, a little more than the average.
const CHARACTER: f64 = 6.6;

/// Numbers over time.
#[derive(Clone, Debug)]
pub(in crate::ops::console) struct Series {
    pub(in crate::ops::console) name: String,
    pub(in crate::ops::console) colour: Palette,
    /// One number for each bar; `None`: nothing is known of that time.
    pub(in crate::ops::console) counts: Vec<Option<u64>>,
}

impl Series {
    fn total(&self) -> u64 {
        self.counts.iter().flatten().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    fn at(&self, bar: usize) -> Option<u64> {
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
    /// Text at the line, such as `since 10:02`.
    pub(in crate::ops::console) text: String,
}

/// Chart of stacked bars.
#[derive(Clone, Debug)]
pub(in crate::ops::console) struct StackedBars {
    /// Id of the drawing on its page.
    pub(in crate::ops::console) id: &'static str,
    pub(in crate::ops::console) title: String,
    pub(in crate::ops::console) from: UnixMillis,
    pub(in crate::ops::console) until: UnixMillis,
    /// Number of bars.
    pub(in crate::ops::console) bars: usize,
    /// Series from the lowest of the stack to the highest.
    pub(in crate::ops::console) series: Vec<Series>,
    pub(in crate::ops::console) markers: Vec<ChartMarker>,
    pub(in crate::ops::console) onset: Option<Onset>,
}

impl StackedBars {
    /// Draws the chart.
    pub(in crate::ops::console) fn draw(&self) -> String {
        let mut drawing = Drawing::new(self.id, (WIDTH, HEIGHT), &self.title, &self.description());
        let scale = Scale::up_to((0..self.bars).map(|bar| self.total(bar)).max().unwrap_or(0), BOTTOM, TOP);
        self.draw_axes(&mut drawing, &scale);
        for index in 0..self.series.len() {
            self.draw_series(&mut drawing, &scale, index);
        }
        self.draw_baseline(&mut drawing);
        self.draw_markers(&mut drawing);
        self.draw_names(&mut drawing, &scale);
        self.draw_titles(&mut drawing);
        drawing.finish()
    }

    /// Rows of a data table: bars that have a number, each with its time and the numbers of the series.
    pub(in crate::ops::console) fn rows(&self) -> Vec<(String, Vec<u64>)> {
        let shown = (0..self.bars).filter(|bar| self.total(*bar) > 0);
        let numbers = |bar: usize| self.series.iter().map(|series| series.at(bar).unwrap_or(0)).collect();
        shown.map(|bar| (day_and_time(self.begins(bar)), numbers(bar))).collect()
    }

    fn axis(&self) -> TimeAxis {
        TimeAxis { from: self.from, until: self.until, left: LEFT, right: RIGHT }
    }

    fn description(&self) -> String {
        let series: Vec<String> =
            self.series.iter().map(|series| format!("{} {}", series.total(), series.name)).collect();
        let (from, until) = (day_and_time(self.from), day_and_time(self.until));
        let onset = self.onset.as_ref().map_or_else(String::new, |onset| format!(" {}.", onset.text));
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

    fn draw_axes(&self, drawing: &mut Drawing, scale: &Scale) {
        for value in scale.gridlines() {
            let y = scale.y(value);
            drawing.line("gridline", (LEFT, y), (RIGHT, y));
            drawing.label("tick", (LEFT - 6.0, y + 4.0), Anchor::End, &short_number(value));
        }
        drawing.label("tick", (LEFT - 6.0, BOTTOM + 4.0), Anchor::End, "0");
        let axis = self.axis();
        for (at, label) in axis.ticks() {
            let x = axis.x(at);
            drawing.line("axis", (x, BOTTOM), (x, BOTTOM + 4.0));
            drawing.label("tick", (x, BOTTOM + 17.0), Anchor::Middle, &label);
        }
        drawing.label("tick", (RIGHT + 22.0, BOTTOM + 17.0), Anchor::Start, "UTC");
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

    /// Sum of the series below one.
    fn below(&self, index: usize, bar: usize) -> u64 {
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

    fn draw_markers(&self, drawing: &mut Drawing) {
        let axis = self.axis();
        let mut ends = [0.0_f64; 2];
        for marker in self.markers.iter().filter(|marker| axis.contains(marker.at)) {
            let x = axis.x(marker.at);
            let right = x + as_length(marker.word.chars().count()) * CHARACTER + 12.0;
            let free = ends.iter_mut().enumerate().find(|(_, end)| **end <= x);
            drawing.open("change", &marker.title);
            drawing.line("marker", (x, ROW), (x, BOTTOM));
            // A label without space is left out; its title says the same.
            if let Some((row, end)) = free {
                *end = right;
                drawing.label(
                    "marker-label",
                    (x + 4.0, ROW * (as_length(row) + 2.0) - 4.0),
                    Anchor::Start,
                    marker.word,
                );
            }
            drawing.close();
        }
        if let Some(onset) = self.onset.as_ref().filter(|onset| axis.contains(onset.at)) {
            let x = axis.x(onset.at);
            let (anchor, shift) =
                if x < f64::midpoint(LEFT, RIGHT) { (Anchor::Start, 4.0) } else { (Anchor::End, -4.0) };
            drawing.line("onset", (x, 0.0), (x, BOTTOM));
            drawing.label("onset-label", (x + shift, 11.0), anchor, &onset.text);
        }
    }

    /// Draws the names of the three largest series at the height of their last bar.
    fn draw_names(&self, drawing: &mut Drawing, scale: &Scale) {
        let mut largest: Vec<usize> =
            (0..self.series.len()).filter(|index| self.series.get(*index).is_some_and(|one| one.total() > 0)).collect();
        largest.sort_by_key(|index| std::cmp::Reverse(self.series.get(*index).map_or(0, Series::total)));
        largest.truncate(3);
        let mut names: Vec<(f64, usize)> =
            largest.into_iter().map(|index| (self.height_of_last(scale, index), index)).collect();
        names.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut lowest = BOTTOM - 2.0;
        for (y, index) in names {
            let Some(series) = self.series.get(index) else { continue };
            let y = y.min(lowest);
            lowest = y - APART;
            drawing.rectangle(
                &format!("{} fill", series.colour.class()),
                Area { x: RIGHT + 8.0, y: y - 7.0, width: 8.0, height: 8.0 },
            );
            drawing.label("series-label", (RIGHT + 22.0, y + 1.0), Anchor::Start, &shortened(&series.name, 17));
        }
    }

    fn height_of_last(&self, scale: &Scale, index: usize) -> f64 {
        let count = |bar: &usize| self.series.get(index).and_then(|series| series.at(*bar)).unwrap_or(0);
        let Some(bar) = (0..self.bars).rev().find(|bar| count(bar) > 0) else { return BOTTOM };
        scale.y(self.below(index, bar).saturating_add(count(&bar) / 2))
    }

    /// Adds a transparent column for each bar that has numbers, which shows them on hover.
    fn draw_titles(&self, drawing: &mut Drawing) {
        for bar in (0..self.bars).filter(|bar| self.total(*bar) > 0) {
            let parts = self.series.iter().filter_map(|series| {
                let count = series.at(bar).filter(|count| *count > 0)?;
                Some(format!("{count} {}", series.name))
            });
            let parts: Vec<String> = parts.collect();
            let end = clock_time(self.begins(bar + 1));
            let title = format!("{} to {end} UTC: {}", day_and_time(self.begins(bar)), parts.join(", "));
            let (x, width) = self.reach(bar);
            let [x, width] = [x, width].map(number);
            drawing.raw(&format!(
                "<rect class=\"hover\" x=\"{x}\" y=\"{TOP}\" width=\"{width}\" height=\"{}\"><title>{}</title></rect>",
                BOTTOM - TOP,
                escaped(&title)
            ));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of bars and characters are small")]
fn as_length(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: UnixMillis = UnixMillis(1_795_000_020_000);

    fn series(name: &str, colour: Palette, counts: &[Option<u64>]) -> Series {
        Series { name: name.to_owned(), colour, counts: counts.to_vec() }
    }

    fn chart(series: Vec<Series>) -> StackedBars {
        StackedBars {
            id: "by-cause",
            title: "Failures by cause".to_owned(),
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
    fn three_series_are_named_and_the_names_do_not_overlap() {
        let colours = [Palette::One, Palette::Two, Palette::Three, Palette::Four];
        let all = colours
            .into_iter()
            .zip([100, 1, 1, 5])
            .map(|(colour, count)| series(colour.class(), colour, &[Some(count); 4]));
        let drawing = chart(all.collect()).draw();
        let names: Vec<&str> = drawing.split("class=\"series-label\"").skip(1).collect();
        assert_eq!(names.len(), 3);
        let mut heights: Vec<f64> = names
            .iter()
            .map(|name| name.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        heights.sort_by(f64::total_cmp);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= APART), "{heights:?}");
    }

    #[test]
    fn markers_have_one_word_and_the_onset_its_sentence() {
        let mut chart = chart(vec![series("keys", Palette::One, &[Some(1); 4])]);
        let marker = |minutes: i64, word| ChartMarker {
            at: UnixMillis(FROM.0 + minutes * 60_000),
            word,
            title: format!("{word} of 4f2a"),
        };
        chart.markers =
            vec![marker(1, "activation"), marker(1, "withdrawal"), marker(1, "reload"), marker(99, "reload")];
        chart.onset = Some(Onset { at: UnixMillis(FROM.0 + 180_000), text: "since 10:02".to_owned() });
        let drawing = chart.draw();
        assert_eq!(drawing.matches("class=\"marker\"").count(), 3, "the one beyond the axis is left out");
        assert_eq!(drawing.matches("class=\"marker-label\"").count(), 2, "the third has no space");
        assert!(drawing.contains("class=\"onset\" x1=\"452\""), "{drawing}");
        assert!(drawing.contains("text-anchor=\"end\">since 10:02</text>"), "{drawing}");
    }

    #[test]
    fn rows_are_the_bars_that_have_a_number() {
        let counts = [Some(3), Some(0), None, Some(5)];
        let chart = chart(vec![series("a", Palette::One, &counts), series("b", Palette::Two, &[])]);
        let rows = chart.rows();
        assert_eq!(rows.iter().map(|(_, numbers)| numbers.clone()).collect::<Vec<_>>(), [[3, 0], [5, 0]]);
        assert!(rows[0].0.ends_with("07:07") || rows[0].0.contains(':'), "{rows:?}");
    }

    #[test]
    fn nothing_to_draw_is_drawn_without_a_fault() {
        let mut flat = chart(vec![series("a", Palette::One, &[Some(u64::MAX); 4])]);
        flat.until = flat.from;
        let mut none = chart(Vec::new());
        none.bars = 0;
        let extreme = StackedBars { from: UnixMillis(i64::MIN), until: UnixMillis(i64::MAX), ..chart(Vec::new()) };
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
