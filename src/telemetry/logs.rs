//! Logs on stderr, one event a line. Both forms escape the text of clients, so that no client can forge a line.

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan, util::SubscriberInitExt};

use super::{log_level, request_span::ALWAYS};

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

/// Starts logging for the process. Changes nothing where a logger is installed already, as in tests.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::builder().parse_lossy(log_level::directives(&config.level));
    // An event of any target and level shows the request that it belongs to.
    let filter = match ALWAYS.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(false);
    let started = match config.format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init(),
    };
    drop(started);
}
