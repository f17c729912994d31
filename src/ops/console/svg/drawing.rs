//! Text of an SVG drawing: elements with escaped content and finite numbers.

use std::fmt::Write;

use super::time_text::{clock_time, day_and_time};
use crate::clock::UnixMillis;

/// Piece of a label.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// Hour and minute.
    Clock(UnixMillis),
    /// Day, hour and minute.
    Day(UnixMillis),
}

/// Alignment of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// Rectangle with its corner at the upper left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// SVG drawing under construction.
pub(super) struct Drawing {
    text: String,
}

impl Drawing {
    /// Begins a drawing of this size in CSS pixels. `id` is unique on its page.
    pub(super) fn new(id: &str, (width, height): (f64, f64), title: &str, description: &str) -> Self {
        let (width, height) = (number(width), number(height));
        let mut text = String::with_capacity(4096);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "<svg class=\"drawing\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" width=\"{width}\" \
             height=\"{height}\" viewBox=\"0 0 {width} {height}\"><title id=\"{id}-title\">{}</title>\
             <desc id=\"{id}-desc\">{}</desc>",
            escaped(title),
            escaped(description),
        );
        Self { text }
    }

    /// Adds markup that this module's callers made of constants.
    pub(super) fn raw(&mut self, markup: &str) {
        self.text.push_str(markup);
    }

    /// Opens a group whose title is shown on hover.
    pub(super) fn open(&mut self, class: &str, title: &str) {
        let _ = write!(self.text, "<g class=\"{class}\">");
        if !title.is_empty() {
            let _ = write!(self.text, "<title>{}</title>", escaped(title));
        }
    }

    /// Closes the group that was opened last.
    pub(super) fn close(&mut self) {
        self.text.push_str("</g>");
    }

    /// Adds a rectangle; one without a width or a height is left out.
    pub(super) fn rectangle(&mut self, class: &str, area: Area) {
        self.filled(class, "", area);
    }

    /// Adds a rectangle with a `fill` of its own, such as a pattern.
    pub(super) fn filled(&mut self, class: &str, fill: &str, area: Area) {
        if area.width <= 0.0 || area.height <= 0.0 {
            return;
        }
        let fill = if fill.is_empty() { String::new() } else { format!(" fill=\"{fill}\"") };
        let [x, y, width, height] = [area.x, area.y, area.width, area.height].map(number);
        let _ = write!(
            self.text,
            "<rect class=\"{class}\"{fill} x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        );
    }

    /// Adds a line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        let _ = write!(self.text, "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>");
    }

    /// Adds a closed polygon.
    pub(super) fn polygon(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
        let _ = write!(self.text, "<polygon class=\"{class}\" points=\"{}\"/>", points.join(" "));
    }

    /// Adds a text whose baseline begins, ends or has its middle at a point.
    pub(super) fn label(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let [x, y] = [x, y].map(number);
        let (anchor, text) = (anchor.as_str(), escaped(text));
        let _ = write!(self.text, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>");
    }

    /// Adds a label with times in it: in UTC, which the script shows in the reader's zone.
    pub(super) fn timed_label(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, pieces: &[Piece<'_>]) {
        let [x, y] = [x, y].map(number);
        let _ = write!(self.text, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{}\">", anchor.as_str());
        for piece in pieces {
            let (style, at, shown) = match piece {
                Piece::Text(text) => {
                    self.text.push_str(&escaped(text));
                    continue;
                }
                Piece::Clock(at) => ("clock", at, clock_time(*at)),
                Piece::Day(at) => ("day", at, day_and_time(*at)),
            };
            let _ = write!(self.text, "<tspan data-at=\"{at}\" data-as=\"{style}\">{shown}</tspan>");
        }
        self.text.push_str("</text>");
    }

    /// Adds a line through points.
    pub(super) fn polyline(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
        let _ = write!(self.text, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
    }

    /// Ends the drawing.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }
}

/// Writes a coordinate with at most one decimal; what is no finite number is 0.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Escapes a text for the content and the attributes of HTML and SVG. Control characters, which XML does not have,
/// become replacement characters.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// First characters of a text, with `…` where some are left out.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_and_short() {
        for (value, text) in [(1.0, "1"), (1.25, "1.2"), (-0.01, "0"), (f64::NAN, "0"), (f64::INFINITY, "0")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn texts_are_escaped_wherever_they_stand() {
        let hostile = "</title><script>alert(\"1\" & '2')</script>\u{0}\n";
        let mut drawing = Drawing::new("d", (10.0, 10.0), hostile, hostile);
        drawing.open("lane", hostile);
        drawing.label("tick", (0.0, 0.0), Anchor::Start, hostile);
        drawing.close();
        let text = drawing.finish();
        assert!(!text.contains("<script") && !text.contains('\u{0}') && !text.contains('\n'), "{text}");
        assert_eq!(text.matches("&lt;script&gt;").count(), 4);
        assert!(!text.contains("style="));
    }

    #[test]
    fn empty_rectangles_are_left_out() {
        let mut drawing = Drawing::new("d", (10.0, 10.0), "", "");
        drawing.rectangle("bar", Area { x: 0.0, y: 0.0, width: 0.0, height: 5.0 });
        drawing.rectangle("bar", Area { x: 0.0, y: 0.0, width: 5.0, height: -1.0 });
        assert!(!drawing.finish().contains("<rect"));
    }

    #[test]
    fn a_long_text_is_shortened_by_characters() {
        assert_eq!(shortened("ünïcödé", 7), "ünïcödé");
        assert_eq!(shortened("ünïcödés", 4), "ünï…");
    }
}
