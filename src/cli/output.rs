//! Output of commands: text and tables for people, JSON for programs.
//!
//! SIGPIPE stays ignored in every command, as the standard library sets it: in a server a client or a log reader that
//! goes away must not end the process. A closed pipe is therefore an error of a write, and this module decides about it:
//! on stdout it is no error, because the reader has what it wanted (`countersign keys list | head -1`); on stderr
//! nothing is an error. Everything that a command prints passes here.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::{domain::ids::is_invisible, files::output_fault, operate::Endpoint};

/// Longest wait until an error is printed. A service that ends must end, even if nobody reads its stderr.
const STDERR_WAIT: Duration = Duration::from_secs(1);

/// Output format of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// JSON on stdout instead of text.
    pub(super) json: bool,
}

impl Output {
    /// Prints an answer: `value` for programs, `text` for people.
    pub(super) fn answer(self, value: &impl Serialize, text: impl Display) -> anyhow::Result<()> {
        let mut text = if self.json { serde_json::to_string(value)? } else { printable(&text.to_string()) };
        text.truncate(text.trim_end_matches('\n').len());
        text.push('\n');
        Ok(to_stdout(text.as_bytes())?)
    }

    /// Prints a remark on stderr for people; programs do not get it.
    pub(super) fn remark(self, text: impl Display) {
        if !self.json {
            // A closed stderr is no error.
            let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
        }
    }

    /// Prints the service that is asked, before it is.
    pub(super) fn target(self, endpoint: &Endpoint) {
        let text = if self.json {
            serde_json::json!({ "asks": endpoint.to_string() }).to_string()
        } else {
            printable(&format!("Asking {endpoint}"))
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Prints an error with its causes.
    pub(super) fn error(self, error: &anyhow::Error) {
        let text = if self.json {
            serde_json::json!({ "error": format!("{error:#}") }).to_string()
        } else {
            printable(&format!("countersign: {error:#}"))
        };
        let (printed, done) = mpsc::channel();
        let text = Arc::new(text);
        let print = {
            let text = Arc::clone(&text);
            move || {
                let _ = writeln!(io::stderr(), "{text}");
                let _ = printed.send(());
            }
        };
        match thread::Builder::new().spawn(print) {
            Ok(_) => drop(done.recv_timeout(STDERR_WAIT)),
            // That limit is met more often than a reader that hangs.
            Err(_) => drop(writeln!(io::stderr(), "{text}")),
        }
    }
}

/// Writes on stdout. A reader that has closed the pipe wants no more, which is no error.
///
/// # Errors
/// Each other error, e.g. of a full disk; it says what to do.
pub(super) fn to_stdout(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|why| {
            io::Error::new(why.kind(), format!("the answer cannot be written to stdout: {}", output_fault(&why)))
        }),
    }
}

/// Escapes what a terminal does not show as it is: control characters move the cursor, and bidirectional and invisible
/// ones make one text look like another. What a client sent or somebody wrote into the store may have them. Lines stay
/// lines.
pub(super) fn printable(text: &str) -> String {
    escaped(text, |c| c != '\n')
}

/// Escapes the same, and the ends of lines: what somebody wrote must not look like another line.
pub(super) fn on_one_line(text: &str) -> String {
    escaped(text, |_| true)
}

fn escaped(text: &str, may_be: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !may_be(c) => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c if is_invisible(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Formats a table with these columns. Each row is one line.
pub(super) fn table<R>(columns: &[&str], rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().map(|cell| on_one_line(&cell)));
    }
    table.trim_fmt()
}

/// Formats a time, or a dash where there is none.
pub(super) fn time_or_dash(time: Option<crate::clock::UnixMillis>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

/// Prints a line of a running service on stdout, which may be closed or full.
pub(super) fn announce(text: &str) {
    let _ = to_stdout(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_does_not_show_is_escaped() {
        let table = [
            ("plain, Größe, 名前, 🦀", "plain, Größe, 名前, 🦀"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("\u{200f}\u{61c}", "\\u{200f}\\u{61c}"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("line\u{2028}separator", "line\\u{2028}separator"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("\u{1b}[2K\r\t\0\u{7f}\u{9b}", "\\u{1b}[2K\\r\\t\\u{0}\\u{7f}\\u{9b}"),
        ];
        for (given, shown) in table {
            assert_eq!((printable(given).as_str(), on_one_line(given).as_str()), (shown, shown));
        }
        assert_eq!((printable("a\nb"), on_one_line("a\nb")), ("a\nb".to_owned(), "a\\nb".to_owned()));
    }

    #[test]
    fn cells_of_a_table_are_escaped_before_they_are_aligned() {
        let rows = [["a\u{202e}\nb", "x"], ["plain", "y"]];
        let shown = table(&["NAME", "NEXT"], rows.map(|row| row.map(str::to_owned)));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[1].contains("a\\u{202e}\\nb"), "{shown}");
        assert_eq!(lines[1].find('x'), lines[2].find('y'), "{shown}");
    }
}
