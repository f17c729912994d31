//! Overview of failures: a row for each cause at each app, with its beginning, what changed then, and the remedy.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    KnownInstallation,
    changes::{Change, before},
    explain::{Explanation, explain},
    rise,
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::AuditEvent,
        failure::{Cause, Confidence, Platform},
        ids::{AppName, Kid},
        key::KeyState,
        session_sketch::SessionSketch,
    },
    store::{CountSpan, FailureCount, ServiceEvent, StoredExample},
};

/// Facts that an overview is made of.
pub struct OverviewFacts {
    /// Counts, oldest first.
    pub counts: Vec<FailureCount>,
    pub examples: Vec<StoredExample>,
    pub acts: Vec<AuditEvent>,
    pub service_events: Vec<ServiceEvent>,
    pub installation: KnownInstallation,
    /// Number of distinct sessions from which a rise counts.
    pub threshold: u64,
    pub now: UnixMillis,
}

/// Cause of failures at an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureRow {
    pub cause: Cause,
    pub app: AppName,
    pub platforms: BTreeSet<Platform>,
    /// Braze's codes, or `other`.
    pub codes: BTreeSet<String>,
    /// Keys that signed, as far as they are known.
    pub keys: BTreeSet<Kid>,
    /// Distinct sessions, as estimated.
    pub sessions: u64,
    /// The number of sessions is too large to be estimated: there are at least as many.
    pub sessions_or_more: bool,
    pub reports: u64,
    /// Beginnings of the first and the last minute, or hour, that has reports.
    pub first: UnixMillis,
    pub last: UnixMillis,
    /// First minute, or hour, of the newest rise; `None` where there is no rise.
    pub since: Option<UnixMillis>,
    /// Changes in the hour before the rise, or before the first report, newest first.
    pub changes: Vec<Change>,
    pub confidence: Confidence,
    pub sentence: String,
    pub fix: String,
    /// Command to copy into a shell, where one does it or shows more.
    pub command: Option<String>,
    pub example: Option<ShownExample>,
}

/// Latest report of a cause at an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShownExample {
    pub at: UnixMillis,
    pub platform: Platform,
    pub code: String,
    pub key: Option<Kid>,
    /// States of the ring's keys then.
    pub keys: BTreeMap<Kid, KeyState>,
    /// Seconds from the issue of the token to its end, and to the report.
    pub issue_to_end: Option<i64>,
    pub issue_to_report: Option<i64>,
}

/// Sums of one row.
#[derive(Default)]
struct Sums {
    platforms: BTreeSet<Platform>,
    codes: BTreeSet<String>,
    keys: BTreeSet<Kid>,
    sessions: SessionSketch,
    reports: u64,
    /// Sketches by the beginning of the minute or the hour.
    minutes: BTreeMap<i64, SessionSketch>,
    hours: BTreeMap<i64, SessionSketch>,
}

impl Sums {
    fn add(&mut self, count: &FailureCount) {
        self.platforms.insert(count.key.platform);
        self.codes.insert(count.key.code.label());
        self.keys.extend(count.key.kid.clone());
        self.sessions.merge(&count.sessions);
        self.reports = self.reports.saturating_add(count.reports);
        let spans = match count.span {
            CountSpan::Minute => &mut self.minutes,
            CountSpan::Hour => &mut self.hours,
        };
        spans.entry(count.since.0.div_euclid(count.span.seconds() * 1000)).or_default().merge(&count.sessions);
    }

    fn spans(&self, span: CountSpan) -> &BTreeMap<i64, SessionSketch> {
        match span {
            CountSpan::Minute => &self.minutes,
            CountSpan::Hour => &self.hours,
        }
    }

    /// Beginning of the newest rise: among the minutes, and where there is none, among the hours before them.
    fn rise(&self, threshold: u64) -> Option<UnixMillis> {
        [CountSpan::Minute, CountSpan::Hour].into_iter().find_map(|span| {
            let points: Vec<_> = self.spans(span).iter().map(|(at, sketch)| (*at, *sketch)).collect();
            rise::begins(&points, span, threshold).map(|at| beginning(at, span))
        })
    }

    fn first(&self) -> Option<UnixMillis> {
        let of = |span| self.spans(span).keys().next().map(|at| beginning(*at, span));
        of(CountSpan::Minute).into_iter().chain(of(CountSpan::Hour)).min()
    }

    fn last(&self) -> Option<UnixMillis> {
        let of = |span| self.spans(span).keys().next_back().map(|at| beginning(*at, span));
        of(CountSpan::Minute).into_iter().chain(of(CountSpan::Hour)).max()
    }
}

fn beginning(at: i64, span: CountSpan) -> UnixMillis {
    UnixMillis(at.saturating_mul(span.seconds() * 1000))
}

/// Returns a row for each cause at each app: those that began to rise last first, then those of most sessions.
pub fn overview(facts: &OverviewFacts) -> Vec<FailureRow> {
    let mut sums: BTreeMap<(AppName, Cause), Sums> = BTreeMap::new();
    for count in &facts.counts {
        sums.entry((count.key.app.clone(), count.key.cause)).or_default().add(count);
    }
    let mut rows: Vec<FailureRow> =
        sums.into_iter().filter_map(|((app, cause), sums)| row(app, cause, sums, facts)).collect();
    rows.sort_by(|one, other| {
        let order = |row: &FailureRow| (row.since, row.sessions, row.reports);
        order(other).cmp(&order(one)).then_with(|| (&one.app, one.cause).cmp(&(&other.app, other.cause)))
    });
    rows
}

fn row(app: AppName, cause: Cause, sums: Sums, facts: &OverviewFacts) -> Option<FailureRow> {
    let (first, last, since) = (sums.first()?, sums.last()?, sums.rise(facts.threshold));
    let stored = facts.examples.iter().find(|stored| stored.key.app == app && stored.key.cause == cause);
    let Explanation { sentence, fix } = explain(&app, cause, stored, &facts.installation, facts.now);
    let ring = facts.installation.apps.get(&app).map(|app| &app.ring);
    let sessions = sums.sessions.estimate();
    Some(FailureRow {
        changes: before(since.unwrap_or(first), &app, ring, &facts.acts, &facts.service_events),
        cause,
        app,
        platforms: sums.platforms,
        codes: sums.codes,
        keys: sums.keys,
        sessions,
        sessions_or_more: sessions >= SessionSketch::MOST,
        reports: sums.reports,
        first,
        last,
        since,
        confidence: stored.map_or(Confidence::Possible, |stored| stored.confidence),
        sentence,
        fix: fix.text,
        command: fix.command,
        example: stored.map(shown),
    })
}

fn shown(stored: &StoredExample) -> ShownExample {
    ShownExample {
        at: stored.at,
        platform: stored.key.platform,
        code: stored.key.code.label(),
        key: stored.key.kid.clone(),
        keys: stored.example.keys.iter().cloned().collect(),
        issue_to_end: stored.example.issue_to_end,
        issue_to_report: stored.example.issue_to_report,
    }
}
