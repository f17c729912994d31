//! Output of commands: text and tables for people, JSON for programs.
//!
//! SIGPIPE stays ignored in every command, as the standard library sets it: in a server a client or a log reader that
//! goes away must not end the process. A closed pipe is therefore an error of a write, and this module decides about it:
//! on stdout it is no error, because the reader has what it wanted (`countersign keys list | head -1`); on stderr
//! nothing is an error. Everything that a command prints passes here.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::operate::Endpoint;

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
        let mut text = if self.json { serde_json::to_string(value)? } else { text.to_string() };
        text.truncate(text.trim_end_matches('\n').len());
        text.push('\n');
        to_stdout(text.as_bytes()).context("the answer cannot be written to stdout")
    }

    /// Prints a remark on stderr for people; programs do not get it.
    pub(super) fn remark(self, text: impl Display) {
        if !self.json {
            // A closed stderr is no error.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Prints the service that is asked, before it is.
    pub(super) fn target(self, endpoint: &Endpoint) {
        let text = if self.json {
            serde_json::json!({ "asks": endpoint.to_string() }).to_string()
        } else {
            format!("Asking {endpoint}")
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Prints an error with its causes.
    pub(super) fn error(self, error: &anyhow::Error) {
        let text = if self.json {
            serde_json::json!({ "error": format!("{error:#}") }).to_string()
        } else {
            format!("countersign: {error:#}")
        };
        let (printed, done) = mpsc::channel();
        let print = move || {
            let _ = writeln!(io::stderr(), "{text}");
            let _ = printed.send(());
        };
        if thread::Builder::new().spawn(print).is_ok() {
            let _ = done.recv_timeout(STDERR_WAIT);
        }
    }
}

/// Writes on stdout. A reader that has closed the pipe wants no more, which is no error.
///
/// # Errors
/// Each other error, e.g. of a full disk.
pub(super) fn to_stdout(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Replaces control characters by spaces: what somebody wrote, or wrote into the store, must not look like another line, or
/// move the cursor.
pub(super) fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
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
