//! Labels of a chart: its axes, the names of its series, the markers of what changed.

use super::{
    drawing::{Anchor, Area, Drawing, Piece, shortened},
    scale::{Scale, short_number},
    time_axis::TimeAxis,
    time_chart::{BOTTOM, ChartMarker, ChartShape, LEFT, RIGHT, Series, TimeChart, as_length},
};

/// Height of a row of markers.
const ROW: f64 = 16.0;
/// Least distance between labels of series.
const APART: f64 = 16.0;
/// Width of a character of a label, a little more than the average.
const CHARACTER: f64 = 7.4;
/// Distance from which two markers of one word are seen as two.
const DISTINCT: f64 = 6.0;
/// Left end of the names of series.
const NAMES: f64 = RIGHT + 22.0;
/// Most characters of a name for which there is space.
const LONGEST_NAME: usize = 22;
/// Most titles that one marker has.
const TITLES: usize = 5;

impl TimeChart {
    pub(super) fn draw_axes(&self, drawing: &mut Drawing, scale: &Scale) {
        for value in scale.gridlines() {
            let y = scale.y(value);
            drawing.line("gridline", (LEFT, y), (RIGHT, y));
            drawing.label("tick", (LEFT - 6.0, y + 4.0), Anchor::End, &short_number(value));
        }
        drawing.label("tick", (LEFT - 6.0, BOTTOM + 4.0), Anchor::End, "0");
        self.axis().draw_ticks(drawing, "axis", (BOTTOM, BOTTOM));
    }

    pub(super) fn draw_markers(&self, drawing: &mut Drawing) {
        let axis = self.axis();
        // End of the last label of each row, and its word.
        let mut rows = [(0.0_f64, ""); 2];
        for group in self.distinct_markers(&axis) {
            let x = axis.x(group.at);
            drawing.open("change", &group.title);
            drawing.line("marker", (x, ROW), (x, BOTTOM));
            // A label without space is left out, as is a word that stands beside the line already; the title says the same.
            let is_said = rows.iter().any(|(end, word)| x < *end && *word == group.word);
            let free = rows.iter_mut().enumerate().find(|(_, (end, _))| *end <= x).filter(|_| !is_said);
            if let Some((row, last)) = free {
                *last = (x + as_length(group.word.chars().count()) * CHARACTER + 12.0, group.word);
                let y = ROW * (as_length(row) + 2.0) - 4.0;
                drawing.label("marker-label", (x + 4.0, y), Anchor::Start, group.word);
            }
            drawing.close();
        }
    }

    /// Markers on the axis; those of one word that stand upon each other are one, with the titles of all.
    fn distinct_markers(&self, axis: &TimeAxis) -> Vec<ChartMarker> {
        let mut distinct: Vec<ChartMarker> = Vec::new();
        for marker in self.markers.iter().filter(|marker| axis.contains(marker.at)) {
            let near = |one: &&mut ChartMarker| {
                one.word == marker.word && (axis.x(marker.at) - axis.x(one.at)).abs() < DISTINCT
            };
            match distinct.iter_mut().find(near) {
                Some(one) if one.title.matches("; ").count() + 1 < TITLES => {
                    one.title = format!("{}; {}", one.title, marker.title);
                }
                Some(_) => {}
                None => distinct.push(marker.clone()),
            }
        }
        distinct
    }

    pub(super) fn draw_onset(&self, drawing: &mut Drawing) {
        let axis = self.axis();
        let Some(onset) = self.onset.as_ref().filter(|onset| axis.contains(onset.at)) else { return };
        let x = axis.x(onset.at);
        let (anchor, shift) = if x < f64::midpoint(LEFT, RIGHT) { (Anchor::Start, 4.0) } else { (Anchor::End, -4.0) };
        let time = if onset.is_of_another_day { Piece::Day(onset.at) } else { Piece::Clock(onset.at) };
        drawing.line("onset", (x, 0.0), (x, BOTTOM));
        let pieces = [Piece::Text("since "), time, Piece::Text(&onset.change)];
        drawing.timed_label("onset-label", (x + shift, 11.0), anchor, &pieces);
    }

    /// Draws the names of the three largest series at the height of their last number.
    pub(super) fn draw_names(&self, drawing: &mut Drawing, scale: &Scale) {
        let is_drawn = |series: &Series| self.shape == ChartShape::Lines || series.total() > 0;
        let mut largest: Vec<usize> =
            (0..self.series.len()).filter(|index| self.series.get(*index).is_some_and(is_drawn)).collect();
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
            let swatch = Area { x: RIGHT + 8.0, y: y - 7.0, width: 8.0, height: 8.0 };
            drawing.rectangle(&format!("{} fill", series.colour.class()), swatch);
            drawing.label("series-label", (NAMES, y + 1.0), Anchor::Start, &shortened(&series.label, LONGEST_NAME));
        }
    }

    fn height_of_last(&self, scale: &Scale, index: usize) -> f64 {
        let at = |bar: usize| self.series.get(index).and_then(|series| series.at(bar));
        if self.shape == ChartShape::Lines {
            return (0..self.bars).rev().find_map(at).map_or(BOTTOM, |count| scale.y(count));
        }
        let last = (0..self.bars).rev().find_map(|bar| Some((bar, at(bar).filter(|count| *count > 0)?)));
        last.map_or(BOTTOM, |(bar, count)| scale.y(self.below(index, bar).saturating_add(count / 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::UnixMillis,
        ops::console::svg::{Onset, Palette},
    };

    const FROM: UnixMillis = UnixMillis(1_795_000_020_000);

    fn series(name: &str, colour: Palette, count: u64) -> Series {
        Series { name: name.to_owned(), label: name.to_owned(), colour, counts: vec![Some(count); 4] }
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

    fn marker(seconds: i64, word: &'static str) -> ChartMarker {
        ChartMarker { at: UnixMillis(FROM.0 + seconds * 1000), word, title: format!("{word} of 4f2a") }
    }

    #[test]
    fn three_series_are_named_and_the_names_do_not_overlap() {
        let colours = [Palette::One, Palette::Two, Palette::Three, Palette::Four];
        let all = colours.into_iter().zip([100, 1, 1, 5]).map(|(colour, count)| series(colour.class(), colour, count));
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
        let mut chart = chart(vec![series("keys", Palette::One, 1)]);
        chart.markers =
            vec![marker(60, "activation"), marker(60, "withdrawal"), marker(60, "reload"), marker(5940, "reload")];
        chart.onset = Some(Onset {
            at: UnixMillis(FROM.0 + 180_000),
            is_of_another_day: false,
            change: ", with reload".to_owned(),
        });
        let drawing = chart.draw();
        assert_eq!(drawing.matches("class=\"marker\"").count(), 3, "the one beyond the axis is left out");
        assert_eq!(drawing.matches("class=\"marker-label\"").count(), 2, "the third has no space");
        assert!(drawing.contains("class=\"onset\" x1=\"452\""), "{drawing}");
        assert!(drawing.contains("text-anchor=\"end\">since <tspan data-at=\""), "{drawing}");
        assert!(drawing.contains("</tspan>, with reload</text>"), "{drawing}");
    }

    #[test]
    fn a_word_stands_once_where_markers_are_close() {
        let mut chart = chart(vec![series("keys", Palette::One, 1)]);
        chart.markers = vec![
            marker(60, "activation"),
            marker(61, "activation"),
            marker(70, "activation"),
            marker(200, "activation"),
        ];
        let drawing = chart.draw();
        assert_eq!(drawing.matches("class=\"marker\"").count(), 3, "two of them stand upon each other");
        assert_eq!(drawing.matches("class=\"marker-label\"").count(), 2, "the third is beside the first");
        assert!(drawing.contains("activation of 4f2a; activation of 4f2a"), "{drawing}");
    }
}
