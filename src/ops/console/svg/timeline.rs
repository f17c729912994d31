//! Timeline of keys: one lane for each key, on one axis of time.

use super::{
    drawing::{Anchor, Area, Drawing, Piece, shortened},
    time_axis::TimeAxis,
    time_text::day_and_time,
};
use crate::{clock::UnixMillis, domain::key::KeyState};

/// Height of a lane.
const LANE: f64 = 28.0;
/// Height of the bar in a lane.
const BAR: f64 = 20.0;
/// Width of the whole drawing.
const WIDTH: f64 = 1184.0;
/// Width of the column of key ids, each with its state.
const IDS: f64 = 168.0;
/// Width of a key id in it.
const KID: f64 = 76.0;
/// Width of the column of ring names, where there are several.
const RINGS: f64 = 96.0;
/// Width of the column of slots.
const SLOTS: f64 = 168.0;
/// Space above the first lane, for the label of "now".
const HEAD: f64 = 20.0;
/// Height of the labels of the axis.
const FOOT: f64 = 24.0;
/// Height of a row of flags.
const FLAG: f64 = 18.0;
/// Maximal number of rows of flags; a flag beyond them has no label.
const FLAG_ROWS: usize = 4;
/// Width of a character of a label, a little more than the average.
const CHARACTER: f64 = 7.4;
/// Least width of the present state of a key, which is seen also where it has just begun.
const PRESENT: f64 = 6.0;

/// Keys with their states over time.
#[derive(Clone, Debug)]
pub(in crate::ops::console) struct Timeline {
    pub(in crate::ops::console) from: UnixMillis,
    pub(in crate::ops::console) until: UnixMillis,
    pub(in crate::ops::console) now: UnixMillis,
    pub(in crate::ops::console) lanes: Vec<KeyLane>,
}

/// Lane of one key.
#[derive(Clone, Debug)]
pub(in crate::ops::console) struct KeyLane {
    pub(in crate::ops::console) kid: String,
    pub(in crate::ops::console) ring: String,
    /// Spans in the order of time.
    pub(in crate::ops::console) spans: Vec<LaneSpan>,
    pub(in crate::ops::console) slots: Vec<LaneSlot>,
    /// Time from which the key may be deleted at Braze.
    pub(in crate::ops::console) safe_to_delete: Option<UnixMillis>,
}

/// Span of time in which a key was in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::console) struct LaneSpan {
    pub(in crate::ops::console) state: KeyState,
    pub(in crate::ops::console) from: UnixMillis,
    /// End of the span; `None`: it lasts.
    pub(in crate::ops::console) until: Option<UnixMillis>,
}

/// Slot of a key at an app of Braze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops::console) struct LaneSlot {
    pub(in crate::ops::console) app: String,
    /// Position in Braze's list, from 1; `None` where Braze is not asked.
    pub(in crate::ops::console) number: Option<usize>,
}

impl std::fmt::Display for LaneSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "{} {number}", self.app),
            None => write!(f, "{} ·", self.app),
        }
    }
}

impl Timeline {
    /// Draws the timeline.
    pub(in crate::ops::console) fn draw(&self) -> String {
        let axis = self.axis();
        let (bottom, flags) = (HEAD + self.lanes_height(), self.placed_flags(&axis));
        let rows = flags.iter().filter_map(|flag| flag.row).max().map_or(0, |row| row + 1);
        let height = bottom + FOOT + count(rows) * FLAG + 4.0;
        let mut drawing = Drawing::new("keys-timeline", (WIDTH, height), "Timeline of keys", &self.description());
        drawing.raw(concat!(
            "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">",
            "<path class=\"hatch\" d=\"M-1 7 7 -1M-1 1 1 -1M5 7 7 5\"/></pattern></defs>"
        ));
        draw_axis(&mut drawing, &axis, bottom);
        for (index, lane) in self.lanes.iter().enumerate() {
            self.draw_lane(&mut drawing, &axis, lane, HEAD + count(index) * LANE);
        }
        for flag in &flags {
            Self::draw_flag(&mut drawing, &axis, flag, bottom);
        }
        self.draw_now(&mut drawing, &axis, bottom);
        drawing.finish()
    }

    fn axis(&self) -> TimeAxis {
        let left = IDS + if self.has_rings() { RINGS } else { 0.0 };
        TimeAxis { from: self.from, until: self.until, left, right: WIDTH - SLOTS }
    }

    fn has_rings(&self) -> bool {
        self.lanes.windows(2).any(|pair| matches!(pair, [one, other] if one.ring != other.ring))
    }

    fn lanes_height(&self) -> f64 {
        count(self.lanes.len()) * LANE
    }

    fn description(&self) -> String {
        let lanes = self.lanes.iter().map(|lane| {
            let state = lane.spans.last().map_or("unknown", |span| span.state.as_str());
            format!("{} is {state}", shortened(&lane.kid, 9))
        });
        let lanes: Vec<String> = lanes.take(12).collect();
        let (from, until) = (day_and_time(self.from), day_and_time(self.until));
        let more = self.lanes.len().saturating_sub(lanes.len());
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        format!("From {from} to {until} UTC. {}{more}.", lanes.join("; "))
    }

    fn draw_lane(&self, drawing: &mut Drawing, axis: &TimeAxis, lane: &KeyLane, top: f64) {
        let middle = top + LANE / 2.0;
        drawing.open("lane", "");
        drawing.line("lane-edge", (0.0, top + LANE), (WIDTH, top + LANE));
        let kid: String = lane.kid.chars().take(8).collect();
        drawing.label("kid", (0.0, middle + 4.0), Anchor::Start, &kid);
        let state = lane.spans.last().map_or("", |span| span.state.as_str());
        drawing.label("tick", (KID, middle + 4.0), Anchor::Start, state);
        if self.has_rings() {
            drawing.label("tick", (IDS, middle + 4.0), Anchor::Start, &shortened(&lane.ring, 13));
        }
        for span in &lane.spans {
            self.draw_span(drawing, axis, span, top);
        }
        // A narrow page shows the axis around "now", and not the column of ids.
        drawing.label("kid narrow", (axis.x(self.now) + 8.0, middle + 4.0), Anchor::Start, &kid);
        let slots: Vec<String> = lane.slots.iter().map(ToString::to_string).collect();
        let text = slots.join(", ");
        drawing.open("slots", &text);
        drawing.label("tick", (WIDTH - SLOTS + 28.0, middle + 4.0), Anchor::Start, &shortened(&text, 19));
        drawing.close();
        drawing.close();
    }

    fn draw_span(&self, drawing: &mut Drawing, axis: &TimeAxis, span: &LaneSpan, top: f64) {
        let until = span.until.unwrap_or(self.now).min(self.until);
        if until < self.from || span.from > self.until {
            return;
        }
        let (left, right, middle) = (axis.x(span.from), axis.x(until), top + LANE / 2.0);
        let end = span.until.map_or_else(|| "now".to_owned(), day_and_time);
        let state = span.state.as_str();
        drawing.open("span", &format!("{state} from {} to {end} UTC", day_and_time(span.from)));
        // A state that lasted for less than two pixels is seen all the same; the present one ends at "now".
        let width = (right - left).max(if span.until.is_none() { PRESENT } else { 2.0 });
        let left = if span.until.is_none() { right - width } else { left };
        let bar = Area { x: left, y: top + (LANE - BAR) / 2.0, width, height: BAR };
        match span.state {
            KeyState::Pending => drawing.filled("key-pending", "url(#hatch)", bar),
            KeyState::Published => drawing.rectangle("key-published", inset(bar)),
            KeyState::Active => {
                drawing.rectangle("key-active", bar);
                if bar.width >= 52.0 {
                    drawing.label("key-label", (left + 8.0, middle + 4.0), Anchor::Start, "active");
                }
            }
            KeyState::Retiring => drawing.rectangle("key-retiring", bar),
            KeyState::Retired => drawing.line("key-retired", (left, middle), (right, middle)),
            KeyState::Compromised => {
                drawing.line("key-compromised", (left, middle), (right, middle));
                drawing.label("key-cross", (left, middle + 5.0), Anchor::Middle, "✕");
            }
        }
        drawing.close();
    }

    fn draw_now(&self, drawing: &mut Drawing, axis: &TimeAxis, bottom: f64) {
        if !axis.contains(self.now) {
            return;
        }
        let x = axis.x(self.now);
        drawing.line("now", (x, HEAD - 4.0), (x, bottom));
        drawing.label("now-label", (x, 12.0), Anchor::Middle, "now");
    }

    /// Flags in the order of time, each in the first row where its label has space.
    fn placed_flags(&self, axis: &TimeAxis) -> Vec<Flag> {
        let flags = self.lanes.iter().enumerate().filter_map(|(lane, key)| {
            // One beyond the axis stands at its end; its label has the time.
            let at = key.safe_to_delete.filter(|at| *at >= axis.from)?;
            let kid: String = key.kid.chars().take(4).collect();
            let is_beyond = at > axis.until;
            Some(Flag { at, lane, text: format!("{kid}… safe to delete "), is_beyond, row: None })
        });
        let mut flags: Vec<Flag> = flags.collect();
        flags.sort_by_key(|flag| flag.at);
        let mut ends = [0.0_f64; FLAG_ROWS];
        for flag in &mut flags {
            let (left, right) = flag.reach(axis);
            let free = ends.iter_mut().enumerate().find(|(_, end)| **end <= left);
            flag.row = free.map(|(row, end)| {
                *end = right + 12.0;
                row
            });
        }
        flags
    }

    fn draw_flag(drawing: &mut Drawing, axis: &TimeAxis, flag: &Flag, bottom: f64) {
        let (x, top) = (axis.x(flag.at), HEAD + count(flag.lane) * LANE + LANE / 2.0);
        drawing.open("flag", &format!("{}{} UTC", flag.text, day_and_time(flag.at)));
        drawing.line("flag-pole", (x, top), (x, bottom));
        drawing.polygon("flag-cloth", &[(x, bottom - 9.0), (x + 8.0, bottom - 5.0), (x, bottom - 1.0)]);
        if let Some(row) = flag.row {
            let baseline = bottom + FOOT + count(row) * FLAG + 10.0;
            drawing.line("flag-pole", (x, bottom), (x, baseline - 10.0));
            let beyond = Piece::Text(if flag.is_beyond { " →" } else { "" });
            let pieces = [Piece::Text(&flag.text), Piece::Day(flag.at), beyond];
            drawing.timed_label("flag-label", (flag.reach(axis).0, baseline), Anchor::Start, &pieces);
        }
        drawing.close();
    }
}

/// Flag on the axis: a key may be deleted from then on.
struct Flag {
    at: UnixMillis,
    lane: usize,
    /// Text before the time.
    text: String,
    /// True where the time is later than the axis shows.
    is_beyond: bool,
    /// Row of the label; `None`: there is no space for it.
    row: Option<usize>,
}

impl Flag {
    /// Left and right end of the label, which stays within the drawing.
    fn reach(&self, axis: &TimeAxis) -> (f64, f64) {
        let width = count(self.text.chars().count() + "26 Nov 10:02 →".chars().count()) * CHARACTER;
        let left = axis.x(self.at).min(WIDTH - width).max(0.0);
        (left, left + width)
    }
}

fn draw_axis(drawing: &mut Drawing, axis: &TimeAxis, bottom: f64) {
    drawing.line("axis", (axis.left, bottom), (axis.right, bottom));
    axis.draw_ticks(drawing, "gridline", (bottom, HEAD));
    drawing.label("tick", (WIDTH - SLOTS + 28.0, 12.0), Anchor::Start, "slot at Braze");
}

/// Area inside of a stroke of one pixel and a half.
fn inset(area: Area) -> Area {
    let by = 0.75;
    Area { x: area.x + by, y: area.y + by, width: area.width - 2.0 * by, height: area.height - 2.0 * by }
}

/// Number as a factor of a length.
#[expect(clippy::cast_precision_loss, reason = "numbers of lanes and characters are small")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn at(hours: i64) -> UnixMillis {
        UnixMillis(NOW.0 + hours * HOUR)
    }

    fn lane(kid: &str, spans: &[(KeyState, i64, Option<i64>)]) -> KeyLane {
        let spans =
            spans.iter().map(|(state, from, until)| LaneSpan { state: *state, from: at(*from), until: until.map(at) });
        KeyLane {
            kid: kid.to_owned(),
            ring: "main".to_owned(),
            spans: spans.collect(),
            slots: vec![LaneSlot { app: "web".to_owned(), number: Some(2) }],
            safe_to_delete: None,
        }
    }

    fn timeline(lanes: Vec<KeyLane>) -> Timeline {
        Timeline { from: at(-90), until: at(10), now: NOW, lanes }
    }

    /// Value of an attribute of the first element of a class.
    fn attribute(drawing: &str, class: &str, name: &str) -> f64 {
        let (_, rest) = drawing.split_once(&format!("class=\"{class}\"")).unwrap();
        let (element, _) = rest.split_once('>').unwrap();
        let (_, value) = element.split_once(&format!(" {name}=\"")).unwrap();
        value.split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn bars_stand_where_their_spans_are() {
        let spans = [(KeyState::Published, -90, Some(-40)), (KeyState::Active, -40, None)];
        let drawing = timeline(vec![lane("4f2a1b3cXYZ", &spans)]).draw();
        // The axis has 100 hours between 168 and 1016.
        let x = |hours: f64| 168.0 + (hours + 90.0) * 8.48;
        assert!((attribute(&drawing, "key-active", "x") - x(-40.0)).abs() < 0.1);
        assert!((attribute(&drawing, "key-active", "width") - 40.0 * 8.48).abs() < 0.1);
        assert!((attribute(&drawing, "key-published", "x") - 168.75).abs() < 0.1);
        assert!((attribute(&drawing, "now", "x1") - x(0.0)).abs() < 0.1);
        assert!(drawing.contains(">4f2a1b3c</text>") && drawing.contains(">active</text>"), "{drawing}");
        assert!(drawing.contains(">web 2</text>") && drawing.contains(" data-step=\"86400000\""), "{drawing}");
    }

    #[test]
    fn lanes_are_28_pixels_apart() {
        let spans = [(KeyState::Active, -40, None)];
        let tops: Vec<f64> = (1..4)
            .map(|lanes| {
                let mut all = vec![lane("a", &[]); lanes - 1];
                all.push(lane("b", &spans));
                attribute(&timeline(all).draw(), "key-active", "y")
            })
            .collect();
        assert_eq!(tops, [24.0, 52.0, 80.0]);
    }

    #[test]
    fn every_state_has_its_shape() {
        for (state, shape) in [
            (KeyState::Pending, "<rect class=\"key-pending\" fill=\"url(#hatch)\""),
            (KeyState::Published, "<rect class=\"key-published\""),
            (KeyState::Active, "<rect class=\"key-active\""),
            (KeyState::Retiring, "<rect class=\"key-retiring\""),
            (KeyState::Retired, "<line class=\"key-retired\""),
            (KeyState::Compromised, ">✕</text>"),
        ] {
            assert!(timeline(vec![lane("a", &[(state, -50, None)])]).draw().contains(shape), "{state:?}");
        }
    }

    #[test]
    fn flags_whose_labels_would_overlap_have_rows_of_their_own() {
        let mut lanes = vec![lane("4f2a", &[]), lane("77b0", &[]), lane("9c1d", &[])];
        for (lane, hours) in lanes.iter_mut().zip([1, 2, -80]) {
            lane.safe_to_delete = Some(at(hours));
        }
        let timeline = timeline(lanes);
        let flags = timeline.placed_flags(&timeline.axis());
        let rows: Vec<_> = flags.iter().map(|flag| (flag.lane, flag.row)).collect();
        assert_eq!(rows, [(2, Some(0)), (0, Some(0)), (1, Some(1))]);
        assert_eq!(timeline.draw().matches("safe to delete").count(), 6, "a label and a title each");
    }

    #[test]
    fn flags_beyond_the_rows_have_no_label_and_those_beyond_the_axis_stand_at_its_end() {
        let mut lanes = vec![lane("4f2a", &[]); 9];
        for lane in &mut lanes {
            lane.safe_to_delete = Some(at(1));
        }
        lanes[8].safe_to_delete = Some(at(500));
        let timeline = timeline(lanes);
        let flags = timeline.placed_flags(&timeline.axis());
        let (beyond, rows) =
            (flags.iter().filter(|flag| flag.is_beyond), flags.iter().filter(|flag| flag.row.is_some()));
        assert_eq!((flags.len(), beyond.count(), rows.count()), (9, 1, FLAG_ROWS));
    }

    #[test]
    fn nothing_to_draw_is_drawn_without_a_fault() {
        let empty = timeline(Vec::new()).draw();
        let beyond = timeline(vec![lane("a", &[(KeyState::Retired, -900, Some(-800))])]).draw();
        let mut flat = timeline(vec![lane("a", &[(KeyState::Active, 0, None)])]);
        (flat.from, flat.until) = (NOW, NOW);
        for drawing in [empty, beyond.clone(), flat.draw()] {
            assert!(drawing.ends_with("</svg>") && !drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        }
        assert!(!beyond.contains("key-retired"));
    }

    #[test]
    fn hostile_names_are_escaped_and_shortened() {
        let mut hostile = lane(&"<b>".repeat(200), &[(KeyState::Active, -1, None)]);
        hostile.ring = "<i onload=x>".to_owned();
        hostile.slots[0].app = "\"'&".repeat(171);
        let drawing = timeline(vec![hostile, lane("a", &[])]).draw();
        assert!(!drawing.contains("<b>") && !drawing.contains("<i "), "{drawing}");
    }
}
