//! Drawings of the console: pure functions from data to SVG. Colours come from classes of the style sheet, so that they
//! follow the theme; there is no style attribute, which the content security policy would refuse.

mod chart_labels;
mod drawing;
mod palette;
mod scale;
mod time_axis;
mod time_chart;
mod time_text;
mod timeline;

pub(super) use palette::Palette;
pub(super) use time_chart::{ChartMarker, ChartShape, Onset, Series, TimeChart};
pub(super) use time_text::day_and_time;
pub(super) use timeline::{KeyLane, LaneSlot, LaneSpan, Timeline};
