//! Failures that apps report: by cause and by code over time, the sentence and the remedy of each cause, and what
//! changed when it began.

use std::time::Duration;

use axum::response::Response;

use super::{
    failure_charts::{Bars, CountedReports, SPANS, ShownSpan, family, markers, onset},
    html::{Markup, Prose, ShellCommand, ShownTime},
    page::{Condition, Page, StateSentence, render},
    svg::{ChartMarker, TimeChart, day_and_time},
    visit::Visit,
};
use crate::{
    clock::UnixMillis,
    domain::ids::AppName,
    operate::{OperationError, OperationErrorKind},
};

/// Records of the audit log in which markers are looked for.
const RECORDS: u32 = 500;
/// Causes of one page.
const CAUSES: usize = 25;

#[derive(askama::Template)]
#[template(path = "failures.html")]
struct FailuresPage {
    page: Page,
    app: String,
    apps: Vec<String>,
    span: ShownSpan,
    spans: [ShownSpan; 4],
    selected: Option<ShownCause>,
    causes: Vec<ShownCause>,
    /// Number of causes that are not on the page.
    left_out: usize,
    by_cause: Option<ShownChart>,
    by_code: Option<ShownChart>,
}

/// Cause at an app.
#[derive(Clone)]
struct ShownCause {
    name: &'static str,
    class: &'static str,
    app: String,
    sentence: Prose,
    fix: Prose,
    command: Option<String>,
    confidence: &'static str,
    codes: String,
    platforms: String,
    sessions: String,
    reports: u64,
    /// Beginning of the rise, or the first report.
    begins: ShownTime,
    last: ShownTime,
    since: Option<UnixMillis>,
    changes: Vec<(ShownTime, Prose)>,
    is_selected: bool,
}

/// Chart, and the table of its numbers.
struct ShownChart {
    drawing: Markup,
    legend: Vec<(&'static str, String)>,
    rows: Vec<(ShownTime, Vec<u64>)>,
}

impl ShownChart {
    fn new(chart: &TimeChart) -> Self {
        Self {
            drawing: Markup(chart.draw()),
            legend: chart.series.iter().map(|series| (series.colour.class(), series.name.clone())).collect(),
            rows: chart.rows().into_iter().map(|(at, numbers)| (ShownTime(at), numbers)).collect(),
        }
    }
}

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    let (app, span) = (app_of(&visit)?, span_of(&visit)?);
    let length = Duration::from_hours(span.hours);
    let overview = visit.operations.failures(length, app.as_ref()).await?;
    let mut causes: Vec<ShownCause> = Vec::new();
    for row in &overview.failures {
        causes.push(ShownCause {
            name: row.cause.as_str(),
            class: family(row.cause).colour.class(),
            app: row.app.to_string(),
            sentence: Prose(row.sentence.clone()),
            fix: Prose(row.fix.clone()),
            command: row.command.clone(),
            confidence: row.confidence.as_str(),
            codes: row.codes.iter().cloned().collect::<Vec<_>>().join(", "),
            platforms: row.platforms.iter().map(|platform| platform.as_str()).collect::<Vec<_>>().join(", "),
            sessions: format!("{}{}", row.sessions, if row.sessions_or_more { " or more" } else { "" }),
            reports: row.reports,
            begins: ShownTime(row.since.unwrap_or(row.first)),
            last: ShownTime(row.last),
            since: row.since,
            changes: row.changes.iter().map(|change| (ShownTime(change.at), Prose(change.what.clone()))).collect(),
            is_selected: false,
        });
    }
    let selected = select(&visit, &mut causes);
    let counts = counted(&visit, length, app.as_ref()).await?;
    let charts = charts(&visit, span, &counts, selected.as_ref()).await?;
    let (by_cause, by_code) = (!counts.is_empty()).then_some(charts).unzip();
    let left_out = causes.len().saturating_sub(CAUSES);
    causes.truncate(CAUSES);
    Ok(render(&FailuresPage {
        page: visit.page("Failures", state(&causes, selected.as_ref(), span, visit.now)),
        app: app.map_or_else(String::new, |app| app.to_string()),
        apps: apps(&visit).await?,
        span,
        spans: SPANS,
        selected,
        causes,
        left_out,
        by_cause,
        by_code,
    }))
}

fn app_of(visit: &Visit) -> Result<Option<AppName>, OperationError> {
    let name = visit.query.trimmed("app");
    let unknown = |_| {
        let shown: String = name.chars().take(64).collect();
        OperationError::new(OperationErrorKind::NotFound, format!("there is no app {shown:?}"))
    };
    if name.is_empty() { Ok(None) } else { name.parse().map(Some).map_err(unknown) }
}

fn span_of(visit: &Visit) -> Result<ShownSpan, OperationError> {
    let name = visit.query.trimmed("span");
    let name = if name.is_empty() { "24h" } else { name };
    let invalid = || OperationError::new(OperationErrorKind::Invalid, "the span is one of 1h, 24h, 7d, 90d");
    SPANS.into_iter().find(|span| span.name == name).ok_or_else(invalid)
}

/// Apps of the configuration.
async fn apps(visit: &Visit) -> Result<Vec<String>, OperationError> {
    let configuration = visit.operations.configuration().await?;
    let apps = configuration.json.get("apps").and_then(|apps| apps.as_object());
    Ok(apps.map(|apps| apps.keys().cloned().collect()).unwrap_or_default())
}

/// Cause that the address names, or the first one.
fn select(visit: &Visit, causes: &mut [ShownCause]) -> Option<ShownCause> {
    let (name, at) = (visit.query.trimmed("cause"), visit.query.trimmed("at"));
    let named = causes.iter().position(|cause| cause.name == name && (at.is_empty() || cause.app == at));
    let selected = causes.get_mut(named.unwrap_or(0))?;
    selected.is_selected = true;
    Some(selected.clone())
}

async fn counted(visit: &Visit, span: Duration, app: Option<&AppName>) -> Result<Vec<CountedReports>, OperationError> {
    let counts = visit.operations.failure_counts(span, app).await?.into_iter().map(|count| CountedReports {
        at: count.since,
        cause: count.key.cause,
        code: count.key.code,
        reports: count.reports,
    });
    Ok(counts.collect())
}

async fn charts(
    visit: &Visit,
    span: ShownSpan,
    counts: &[CountedReports],
    selected: Option<&ShownCause>,
) -> Result<(ShownChart, ShownChart), OperationError> {
    let begun = visit.operations.audit_records(Some(0), 1).await?.into_iter().next().map(|first| first.event.at);
    let records = visit.operations.audit_records(None, RECORDS).await?;
    let mut markers = markers(records.iter().map(|record| &record.event));
    // Reloads are no acts of the audit log; the overview names those before a rise.
    let changes = selected.into_iter().flat_map(|cause| &cause.changes);
    markers.extend(changes.filter(|(_, what)| what.0 == "configuration reloaded").map(|(at, _)| ChartMarker {
        at: at.0,
        word: "reload",
        title: format!("reload, {} UTC", day_and_time(at.0)),
    }));
    markers.sort_by_key(|marker| marker.at);
    let bars = Bars::new(span, visit.now, begun);
    let (mut by_cause, mut by_code) = (bars.by_cause(counts), bars.by_code(counts));
    by_cause.onset = selected.and_then(|cause| cause.since).map(|since| onset(since, visit.now, &markers));
    by_cause.markers.clone_from(&markers);
    by_code.markers = markers;
    Ok((ShownChart::new(&by_cause), ShownChart::new(&by_code)))
}

fn state(causes: &[ShownCause], selected: Option<&ShownCause>, span: ShownSpan, now: UnixMillis) -> StateSentence {
    if selected.is_none() {
        let sentence = format!("no app reported a failure in the last {}.", span.name);
        return StateSentence::new(Condition::Serving, sentence, now);
    }
    let reports = causes.iter().map(|cause| cause.reports).fold(0, u64::saturating_add);
    let rising = causes.iter().filter(|cause| cause.since.is_some()).count();
    let number = if causes.len() == 1 { "one cause".to_owned() } else { format!("{} causes", causes.len()) };
    let reports = format!("{reports} reports in the last {}, of {number}", span.name);
    if rising == 0 {
        return StateSentence::new(Condition::Serving, format!("{reports}; none of them rises."), now);
    }
    StateSentence::new(Condition::Attention, format!("{reports}; {rising} of them rose."), now)
}
