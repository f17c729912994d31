//! Logs on stderr, one event a line. Both forms escape the text of clients, so that no client can forge a line.

use std::{io, panic, sync::Arc};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    Registry,
    filter::LevelFilter,
    fmt::{self, format::FmtSpan},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{
    log_level,
    log_writer::{LineQueue, LineWriter, dropped_lines},
    request_span::TARGET,
    span_fields::{JsonMembers, SpanFields, TextFields},
};

/// Level and form of the logs: `[log]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or a list of `target=level`.
    pub level: String,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
    /// Requests that have an access line.
    pub requests: RequestLog,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text, requests: RequestLog::All }
    }
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object.
    Json,
}

/// Requests that have an access line, at the level `info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestLog {
    /// Each request for a token, and each refusal on any route.
    All,
    /// Each refusal.
    Refusals,
    /// No request.
    None,
}

impl LogConfig {
    /// Returns the errors of a level that cannot be used.
    pub fn level_errors(&self) -> Vec<String> {
        log_level::errors(&self.level)
    }
}

/// Running log. When it is dropped it waits a little for the lines that are still to be written.
#[must_use = "the last lines are lost unless this is kept until the end"]
pub struct Log(Arc<LineQueue>);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts logging for the process; panics are log lines too. Changes nothing where a logger is installed already, as in
/// tests.
///
/// # Errors
/// The system's error where the thread that writes does not start.
pub fn init(config: &LogConfig) -> io::Result<Log> {
    // The request's span is always there: an event of any target and level shows the request that it belongs to.
    let filter = log_level::filter(&config.level).with_target(TARGET, LevelFilter::ERROR);
    let queue = LineQueue::start(io::stderr(), dropped_lines())?;
    let log = Log(Arc::clone(&queue));
    let lines = fmt::layer()
        .with_writer(move || LineWriter(Arc::clone(&queue)))
        // They would go to stderr with `eprintln!`, which panics where stderr is closed.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(false);
    let started = match config.format {
        LogFormat::Text => {
            let lines = lines.fmt_fields(TextFields::default());
            Registry::default().with(SpanFields::text(TARGET)).with(lines).with(filter).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).fmt_fields(JsonMembers::default());
            Registry::default().with(SpanFields::json(TARGET)).with(lines).with(filter).try_init()
        }
    };
    if started.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
    Ok(log)
}

/// Logs a panic. The hook of the standard library writes to stderr on the panicking thread, which a full pipe stops.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let location = panic.location().map(tracing::field::display);
    tracing::error!(location, why = panic.payload_as_str(), "a thread panicked");
}
