//! Pieces of HTML that every page uses: times, shortened ids, commands. Each escapes what it shows.

use std::fmt;

use askama::filters::{Html, HtmlSafe, escape};

use crate::clock::UnixMillis;

/// Text, escaped for an element or a quoted attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match escape(self.0, Html) {
            Ok(text) => write!(f, "{}", text.0),
            Err(never) => match never {},
        }
    }
}

/// HTML that is safe to be shown as it is, such as a drawing.
pub(super) struct Markup(pub(super) String);

impl HtmlSafe for Markup {}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Point in time: UTC to the minute, which the script shows in the reader's zone; the title keeps UTC.
#[derive(Clone, Copy)]
pub(super) struct ShownTime(pub(super) UnixMillis);

impl HtmlSafe for ShownTime {}

impl fmt::Display for ShownTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_string();
        let minute = utc.get(..16).unwrap_or(&utc).replace('T', " ");
        write!(f, "<time class=\"nowrap\" datetime=\"{utc}\" title=\"{utc} (UTC)\">{minute} UTC</time>")
    }
}

/// Id: its first eight characters, all of it on focus, and a button that copies it.
pub(super) struct ShortId(pub(super) String);

impl HtmlSafe for ShortId {}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, first) = (Escaped(&self.0), self.0.chars().take(8).collect::<String>());
        let short = Escaped(&first);
        write!(
            f,
            "<span class=\"id\"><code tabindex=\"0\" title=\"{all}\"><span class=\"short\" aria-hidden=\"true\">{short}…\
             </span><span class=\"all\">{all}</span></code>\
             <button type=\"button\" class=\"copy\" data-copy=\"{all}\" aria-label=\"Copy {short}\">copy</button></span>"
        )
    }
}

/// Command to copy into a shell.
pub(super) struct ShellCommand(pub(super) String);

impl HtmlSafe for ShellCommand {}

impl fmt::Display for ShellCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Escaped(&self.0);
        write!(
            f,
            "<div class=\"command\"><code tabindex=\"0\">{text}</code>\
             <button type=\"button\" class=\"copy\" data-copy=\"{text}\">copy</button></div>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_escapes_what_it_shows() {
        let hostile = "<img src=x onerror=alert(1)>\"'&";
        for html in [ShortId(hostile.into()).to_string(), ShellCommand(hostile.into()).to_string()] {
            assert!(!html.contains("<img") && !html.contains("1)>\"'"), "{html}");
        }
    }

    #[test]
    fn a_moment_is_shown_to_the_minute() {
        let html = ShownTime(UnixMillis(1_795_000_000_500)).to_string();
        assert!(html.contains("datetime=\"2026-11-18T") && html.contains(" UTC</time>"), "{html}");
    }
}
