//! What a form showed: its lines, by which a later change is found and described.

use super::{form::version_of, visit::Visit};

/// Largest number of lines that a form carries.
const MOST_LINES: usize = 25;

/// Lines that a form is about, as they are now.
pub(super) struct ShownLines(Vec<String>);

impl ShownLines {
    /// Makes the lines, in their order.
    pub(super) fn new(lines: impl IntoIterator<Item = String>) -> Self {
        Self(lines.into_iter().collect())
    }

    /// Version for the field `version` of a form.
    pub(super) fn version(&self) -> String {
        version_of(self.0.iter().map(String::as_str))
    }

    /// Text for the field `shown` of a form: the first lines, where there are many.
    pub(super) fn text(&self) -> String {
        self.0[..self.0.len().min(MOST_LINES)].join("\n")
    }

    /// Compares the lines with those that a form showed.
    ///
    /// # Errors
    /// The differences, where it showed others.
    pub(super) fn check(&self, visit: &Visit) -> Result<(), Vec<String>> {
        if visit.form.text("version") == self.version() {
            return Ok(());
        }
        Err(self.differences(visit.form.text("shown")))
    }

    fn differences(&self, shown: &str) -> Vec<String> {
        // Browsers send line breaks as CRLF.
        let before: Vec<&str> = shown.lines().take(MOST_LINES).collect();
        let gone = before.iter().filter(|line| !self.0.iter().any(|now| now == *line));
        let new = self.comparable(&before).iter().filter(|line| !before.contains(&line.as_str()));
        let mut lines: Vec<String> = gone.map(|line| format!("It showed: {line}")).collect();
        lines.extend(new.map(|line| format!("Now it is: {line}")));
        if lines.is_empty() {
            lines.push("The form does not say what it showed.".to_owned());
        }
        lines
    }

    /// Lines that the form would have carried: of a full form, those up to the last one of it that is still there.
    fn comparable(&self, before: &[&str]) -> &[String] {
        if before.len() < MOST_LINES {
            return &self.0;
        }
        let last = self.0.iter().rposition(|line| before.contains(&line.as_str()));
        &self.0[..last.map_or(0, |last| last + 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> ShownLines {
        ShownLines::new(lines.iter().map(|line| (*line).to_owned()))
    }

    #[test]
    fn differences_are_the_lines_that_changed() {
        let now = lines(&["key a: retiring", "key b: active", "key c: retired"]);
        let differences = now.differences("key a: active\r\nkey b: published\r\nkey c: retired");
        assert_eq!(
            differences,
            [
                "It showed: key a: active",
                "It showed: key b: published",
                "Now it is: key a: retiring",
                "Now it is: key b: active"
            ]
        );
    }

    #[test]
    fn of_many_lines_a_form_carries_the_first() {
        let many = |count: usize| ShownLines::new((0..count).map(|n| format!("key {n:04}")));
        assert_eq!(many(1000).text().lines().count(), MOST_LINES);
        assert_ne!(many(1000).version(), many(1001).version());
        let mut now = many(1000);
        now.0.insert(1, "key 0000a".to_owned());
        assert_eq!(now.differences(&many(1000).text()), ["Now it is: key 0000a"]);
    }

    #[test]
    fn a_form_without_its_lines_has_a_difference_too() {
        assert_eq!(lines(&[]).differences("").len(), 1);
        assert_ne!(lines(&["a"]).version(), lines(&["b"]).version());
    }
}
