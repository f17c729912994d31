//! Counts that wait for the store.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
};

use super::Report;
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence, FailureExample, FailureKey, Platform, ReportedCode, SdkVersion},
        ids::AppName,
        session_sketch::SessionSketch,
    },
    store::{CountSpan, FailureBatch, FailureCount, StoredExample},
};

/// Largest number of rows of one minute.
pub(super) const ROWS_OF_MINUTE: usize = 500;
/// Rows of a minute that have a platform and a key of their own; the others are for those beyond.
const OWN_ROWS: usize = 400;
/// Largest number of rows that wait: those of an hour. They take less than 16 MiB.
pub(super) const WAITING_ROWS: usize = 60 * ROWS_OF_MINUTE;
/// Largest number of SDK versions between two writes.
const VERSIONS: usize = 200;
/// Largest number of examples between two writes.
const EXAMPLES: usize = 2_000;

/// One minute in milliseconds.
const MINUTE: i64 = 60_000;

#[derive(Clone, Copy, Default)]
struct Row {
    reports: u64,
    sessions: SessionSketch,
}

/// Counts that are not in the store yet.
#[derive(Default)]
pub(super) struct Minutes {
    waiting: BTreeMap<UnixMillis, HashMap<FailureKey, Row>>,
    rows: usize,
    /// The newest minute, and its rows since it began, of which some are in the store already.
    current: (Option<UnixMillis>, HashSet<FailureKey>),
    examples: BTreeMap<(AppName, Cause), StoredExample>,
    versions: HashMap<SdkVersion, SessionSketch>,
}

impl Minutes {
    /// Adds a report of the session with this hash.
    pub(super) fn add(&mut self, now: UnixMillis, session: u64, report: Report) {
        let Report { key, confidence, example, sdk_version, .. } = report;
        let minute = minute_of(now);
        if let Some(key) = self.row_of(minute, &key) {
            self.row(minute, key, |row| {
                row.reports = row.reports.saturating_add(1);
                row.sessions.add(session);
            });
            self.make_room();
        }
        self.keep_example(now, key, confidence, example);
        if let Some(version) = sdk_version
            && (self.versions.len() < VERSIONS || self.versions.contains_key(&version))
        {
            self.versions.entry(version).or_default().add(session);
        }
    }

    /// Takes the oldest counts, at most about `limit` rows, and all else that waits.
    pub(super) fn take(&mut self, limit: usize) -> FailureBatch {
        let mut counts = Vec::new();
        while counts.len() < limit
            && let Some((since, rows)) = self.waiting.pop_first()
        {
            self.rows -= rows.len();
            counts.extend(rows.into_iter().map(|(key, row)| FailureCount {
                span: CountSpan::Minute,
                since,
                key,
                reports: row.reports,
                sessions: row.sessions,
            }));
        }
        FailureBatch {
            counts,
            examples: mem::take(&mut self.examples).into_values().collect(),
            versions: mem::take(&mut self.versions).into_iter().collect(),
        }
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&mut self, batch: FailureBatch) {
        for FailureCount { since, key, reports, sessions, .. } in batch.counts {
            self.row(since, key, |row| {
                row.reports = row.reports.saturating_add(reports);
                row.sessions.merge(&sessions);
            });
        }
        self.make_room();
        for stored in batch.examples {
            self.examples.entry((stored.key.app.clone(), stored.key.cause)).or_insert(stored);
        }
        for (version, sketch) in batch.versions {
            if self.versions.len() < VERSIONS || self.versions.contains_key(&version) {
                self.versions.entry(version).or_default().merge(&sketch);
            }
        }
    }

    /// Number of rows that wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the row that a report of this key is counted in: its own, else that of its app, code and cause, else that
    /// of its app. `None` where the minute has no room left.
    fn row_of(&mut self, minute: UnixMillis, key: &FailureKey) -> Option<FailureKey> {
        let (current, keys) = &mut self.current;
        if *current != Some(minute) {
            *current = Some(minute);
            keys.clear();
        }
        let beyond = FailureKey { platform: Platform::Other, kid: None, ..key.clone() };
        let last = FailureKey { code: ReportedCode::Other, cause: Cause::Unknown, ..beyond.clone() };
        let steps = [(key.clone(), OWN_ROWS), (beyond, ROWS_OF_MINUTE - 50), (last, ROWS_OF_MINUTE)];
        let (key, _) = steps.into_iter().find(|(key, most)| keys.contains(key) || keys.len() < *most)?;
        keys.insert(key.clone());
        Some(key)
    }

    fn row(&mut self, minute: UnixMillis, key: FailureKey, change: impl FnOnce(&mut Row)) {
        let rows = self.waiting.entry(minute).or_default();
        let before = rows.len();
        change(rows.entry(key).or_default());
        self.rows += rows.len() - before;
    }

    /// Merges the two oldest minutes while too many rows wait: their counts stay, in rows without platform and key.
    fn make_room(&mut self) {
        while self.rows > WAITING_ROWS {
            let Some((minute, rows)) = self.waiting.pop_first() else { return };
            let next = self.waiting.pop_first().map(|(_, rows)| rows).unwrap_or_default();
            self.rows -= rows.len() + next.len();
            let mut merged: HashMap<FailureKey, Row> = HashMap::new();
            for (key, row) in rows.into_iter().chain(next) {
                let beyond = FailureKey { platform: Platform::Other, kid: None, ..key };
                let last = FailureKey { code: ReportedCode::Other, cause: Cause::Unknown, ..beyond.clone() };
                let is_own = merged.contains_key(&beyond) || merged.len() < OWN_ROWS;
                let sum = merged.entry(if is_own { beyond } else { last }).or_default();
                sum.reports = sum.reports.saturating_add(row.reports);
                sum.sessions.merge(&row.sessions);
            }
            self.rows += merged.len();
            self.waiting.insert(minute, merged);
            if self.waiting.len() == 1 {
                return;
            }
        }
    }

    fn keep_example(&mut self, now: UnixMillis, key: FailureKey, confidence: Confidence, mut example: FailureExample) {
        let place = (key.app.clone(), key.cause);
        if self.examples.len() < EXAMPLES || self.examples.contains_key(&place) {
            example.keys.truncate(FailureExample::KEYS_OF_EXAMPLE);
            self.examples.insert(place, StoredExample { at: now, key, confidence, example });
        }
    }
}

fn minute_of(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0 - now.0.rem_euclid(MINUTE))
}
