//! Output of commands: text and tables for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, Write},
};

use comfy_table::{Table, presets};
use serde::Serialize;

/// Output format of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// JSON on stdout instead of text.
    pub(super) json: bool,
}

impl Output {
    /// Prints an answer: `value` for programs, `text` for people.
    pub(super) fn answer(self, value: &impl Serialize, text: impl Display) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut stdout, value)?;
            writeln!(stdout)?;
        } else {
            let text = text.to_string();
            writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
        }
        Ok(stdout.flush()?)
    }

    /// Prints a remark on stderr for people; programs do not get it.
    pub(super) fn remark(self, text: impl Display) {
        if !self.json {
            // A closed stderr is no error.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Prints an error with its causes.
    pub(super) fn error(self, error: &anyhow::Error) {
        let mut stderr = io::stderr().lock();
        let _ = if self.json {
            writeln!(stderr, "{}", serde_json::json!({ "error": format!("{error:#}") }))
        } else {
            writeln!(stderr, "countersign: {error:#}")
        };
    }
}

/// Formats a table with these columns.
pub(super) fn table<R>(columns: &[&str], rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

/// Formats a time, or a dash where there is none.
pub(super) fn time_or_dash(time: Option<crate::clock::UnixMillis>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

/// Prints a line of a running service on stdout; a closed stdout is no error.
pub(super) fn announce(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}");
    let _ = stdout.flush();
}
