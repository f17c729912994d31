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

/// Sentence of another room: its times, commands and ids of keys are shown as those of the page are.
#[derive(Clone)]
pub(super) struct Prose(pub(super) String);

impl HtmlSafe for Prose {}

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Between backticks stands what is typed.
        for (index, piece) in self.0.split('`').enumerate() {
            if index % 2 == 1 {
                write!(f, "<code>{}</code>", Escaped(piece))?;
                continue;
            }
            for word in piece.split_inclusive(char::is_whitespace) {
                write_word(f, word)?;
            }
        }
        Ok(())
    }
}

/// Writes a word, with the punctuation around it.
fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    let is_mark = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';' | '.' | ':' | '"');
    let bare = word.trim_matches(is_mark);
    let (before, after) = word.split_once(bare).filter(|_| !bare.is_empty()).unwrap_or((word, ""));
    write!(f, "{}", Escaped(before))?;
    if bare.is_empty() {
        return Ok(());
    }
    match bare.parse::<UnixMillis>() {
        Ok(at) if bare.contains('T') => write!(f, "{}", ShownTime(at))?,
        _ if is_whole_kid(bare) => {
            let first: String = bare.chars().take(8).collect();
            let (all, first) = (Escaped(bare), Escaped(&first));
            write!(f, "<code class=\"nowrap\" title=\"{all}\">{first}…</code>")?;
        }
        _ => write!(f, "{}", Escaped(bare))?,
    }
    write!(f, "{}", Escaped(after))
}

/// True for the whole id of a key: a SHA-256 thumbprint in base64url.
fn is_whole_kid(word: &str) -> bool {
    word.len() == 43 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_shows_its_times_ids_and_commands_as_the_page_does() {
        let kid = "qXYYj5gBQ1v3xY-_0123456789abcdefghijABCDEFG";
        let text =
            format!("key {kid} lives until 2026-11-26T23:09:01.123Z; `countersign rotate run`, <b>then</b> it ends.");
        let html = Prose(text).to_string();
        assert!(
            html.contains(&format!("<code class=\"nowrap\" title=\"{kid}\">qXYYj5gB…</code> lives until <time ")),
            "{html}"
        );
        assert!(
            html.contains(">2026-11-26 23:09 UTC</time>; <code>countersign rotate run</code>, &#60;b&#62;then"),
            "{html}"
        );
        assert!(html.ends_with("it ends."), "{html}");
        for plain in ["", "no mark", "a: (b), c.", "15 of 2026", "…"] {
            assert_eq!(Prose(plain.to_owned()).to_string(), plain);
        }
        assert!(!Prose("`<script>` <script>".to_owned()).to_string().contains("<script"));
    }

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
