//! `countersign failures`: the causes of failures that apps report.

use std::{fmt::Write, process::ExitCode, time::Duration};

use clap::Args;

use super::context::{Access, Context};
use crate::{
    clock::UnixMillis,
    domain::ids::AppName,
    failures::{FailureRow, ShownExample},
    operate::FailureOverview,
};

/// Time for which reports are kept.
const KEPT: Duration = Duration::from_hours(90 * 24);

/// Why do Braze's SDKs refuse tokens here, since when, and what to do
///
/// Apps report failures by POST /v1/failures and beside a refresh. Each is compared with the keys, their history and the
/// clock; the rows are causes, those that began to rise last first. Times are in UTC.
#[derive(Args)]
pub(super) struct Failures {
    /// Reports of this long, at most 90 days; they are counted by the minute
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = span)]
    since: Duration,
    /// Reports of this app only [default: all apps]
    #[arg(long)]
    app: Option<AppName>,
}

impl Failures {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let found = context
            .with_operations(Access::Read, async |ops| Ok(ops.failures(self.since, self.app.as_ref()).await?))?;
        context.output.answer(&found, text(&found, self.app.as_ref()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a span for which reports are kept.
fn span(text: &str) -> Result<Duration, String> {
    let span = crate::clock::parse_duration(text).map_err(|why| why.to_string())?;
    if span > KEPT { Err("reports are kept for 90 days: at most \"90d\"".to_owned()) } else { Ok(span) }
}

fn text(found: &FailureOverview, app: Option<&AppName>) -> String {
    if found.failures.is_empty() {
        let since = shown(found.since);
        return match app {
            Some(app) => format!("App {app} has reported no failure since {since}."),
            None => format!("No app has reported a failure since {since}."),
        };
    }
    let mut text = String::new();
    for row in &found.failures {
        describe(row, &mut text);
    }
    if !found.sdk_versions.is_empty() {
        let versions = found.sdk_versions.iter().map(|one| format!("{} ({})", one.version, one.sessions));
        // Writing to a String does not fail.
        let _ = writeln!(text, "SDK versions, by sessions: {}", versions.collect::<Vec<_>>().join(", "));
    }
    text
}

fn describe(row: &FailureRow, text: &mut String) {
    let platforms: Vec<&str> = row.platforms.iter().map(|platform| platform.as_str()).collect();
    let codes: Vec<&str> = row.codes.iter().map(String::as_str).collect();
    let sessions = counted(row.sessions, "session");
    let or_more = if row.sessions_or_more { " or more" } else { "" };
    let since = match row.since {
        Some(since) => format!("rises since {}", shown(since)),
        None => format!("no rise; first {}", shown(row.first)),
    };
    let lines = [
        format!("{} · app {} · code {} · {}", row.cause.as_str(), row.app, codes.join(", "), platforms.join(", ")),
        format!("  {sessions}{or_more}, {}, {since}, last {}", counted(row.reports, "report"), shown(row.last)),
        format!("  {} ({})", row.sentence, row.confidence.as_str()),
        format!("  Fix: {}", row.fix),
    ];
    let command = row.command.iter().map(|command| format!("       {command}"));
    let changes = row.changes.iter().map(|change| format!("  Before: {} {}", shown(change.at), change.what));
    let example = row.example.iter().map(|example| format!("  Latest: {}", of_example(example)));
    for line in lines.into_iter().chain(command).chain(changes).chain(example) {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
}

fn of_example(example: &ShownExample) -> String {
    let short = |kid: &crate::domain::ids::Kid| kid.as_str().chars().take(8).chain(['…']).collect::<String>();
    let mut text = format!("{} code {} {}", shown(example.at), example.code, example.platform.as_str());
    if let Some(key) = &example.key {
        let _ = write!(text, ", key {}", short(key));
    }
    if let (Some(end), Some(report)) = (example.issue_to_end, example.issue_to_report) {
        let _ = write!(text, ", token ends {end} s after its issue, report {report} s after it");
    }
    let keys: Vec<String> =
        example.keys.iter().map(|(kid, state)| format!("{} {}", short(kid), state.as_str())).collect();
    if !keys.is_empty() {
        let _ = write!(text, ", keys: {}", keys.join(", "));
    }
    text
}

/// Number of things of a kind.
fn counted(number: u64, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}

/// Time to the second.
fn shown(time: UnixMillis) -> UnixMillis {
    UnixMillis(time.seconds().saturating_mul(1000))
}
