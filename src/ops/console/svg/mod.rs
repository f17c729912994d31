//! Drawings of the console: pure functions from data to SVG. Colours come from classes of the style sheet, so that they
//! follow the theme; there is no style attribute, which the content security policy would refuse.

mod drawing;
mod palette;
mod scale;
mod stacked_bars;
mod time_axis;
mod timeline;

pub(super) use palette::Palette;
pub(super) use stacked_bars::{ChartMarker, Onset, Series, StackedBars};
pub(super) use time_axis::{clock_time, day_and_time};
pub(super) use timeline::{KeyLane, LaneSlot, LaneSpan, Timeline};
