//! Events: a cause whose reports come from as many sessions as the threshold says.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use crate::{
    clock::UnixMillis,
    domain::{failure::Cause, ids::AppName, session_sketch::SessionSketch},
    store::{CountSpan, FailureCount},
};

/// Time in which sessions are counted.
pub const EVENT_WINDOW: Duration = Duration::from_mins(15);

/// Cause that crossed its threshold: names and numbers only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureEvent {
    /// Unique id of the event.
    pub id: String,
    pub time: UnixMillis,
    pub cause: Cause,
    /// Distinct sessions that reported in the quarter of an hour before.
    pub sessions: u64,
    pub reports: u64,
    pub apps: BTreeSet<AppName>,
    /// Braze's codes, or `other`.
    pub codes: BTreeSet<String>,
    pub threshold: u64,
}

impl FailureEvent {
    /// Returns one sentence about the event.
    pub fn text(&self) -> String {
        let apps: Vec<&str> = self.apps.iter().map(AppName::as_str).collect();
        format!(
            "{} sessions of {} reported failures to authenticate at Braze within 15 minutes: {}. Run \
             `countersign failures` for the reason and the fix.",
            self.sessions,
            apps.join(", "),
            self.cause.as_str()
        )
    }
}

/// Returns the causes that crossed the threshold at `now`, as events without an id.
pub fn events(counts: &[FailureCount], now: UnixMillis, threshold: u64) -> Vec<FailureEvent> {
    let mut causes: BTreeMap<Cause, (FailureEvent, SessionSketch)> = BTreeMap::new();
    let recent = |count: &&FailureCount| {
        count.span == CountSpan::Minute && count.since > now.minus(EVENT_WINDOW) && count.since <= now
    };
    for count in counts.iter().filter(recent) {
        let (event, sketch) = causes.entry(count.key.cause).or_insert_with(|| {
            let event = FailureEvent {
                id: String::new(),
                time: now,
                cause: count.key.cause,
                sessions: 0,
                reports: 0,
                apps: BTreeSet::new(),
                codes: BTreeSet::new(),
                threshold,
            };
            (event, SessionSketch::default())
        });
        event.reports = event.reports.saturating_add(count.reports);
        event.apps.insert(count.key.app.clone());
        event.codes.insert(count.key.code.label());
        sketch.merge(&count.sessions);
    }
    let counted = causes.into_values().map(|(event, sketch)| FailureEvent { sessions: sketch.estimate(), ..event });
    counted.filter(|event| event.sessions >= threshold).collect()
}
