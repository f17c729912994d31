//! Counts of failures that apps report.

use async_trait::async_trait;
use rusqlite::{Connection, Row, Statement, ToSql, params, params_from_iter};

use super::{SqliteStore, rows};
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, FailureExample, FailureKey, Platform, ReportedCode, SdkVersion},
        ids::Kid,
        session_sketch::{SKETCH_WORDS, SessionSketch},
    },
    store::{
        ALERT_REST, CountSpan, FAILURES_KEPT, FailureBatch, FailureCount, Failures, ReportedVersion, ServiceEvent,
        StoreError, StoredExample,
        failures::{
            SERVICE_EVENTS_KEPT, count_columns, keys_of, merged_sketch, rolled_up_before, sketch_columns, stored_keys,
            stored_sketch, versions_to_forget,
        },
    },
};

const ADD: &str = concat!(
    "INSERT INTO failure_counts AS c (",
    count_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
     ?23, ?24) ON CONFLICT DO UPDATE SET reports = c.reports + excluded.reports, ",
    merged_sketch!(),
);

const SINCE: &str = concat!(
    "SELECT ",
    count_columns!(),
    " FROM failure_counts WHERE since >= ?1 OR (span = 3600 AND since > ?1 - 3600000) ORDER BY since",
);

const PUT_EXAMPLE: &str = "INSERT INTO failure_examples AS e \
     (app, cause, at, platform, code, kid, confidence, keys, issue_to_end, issue_to_report) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO UPDATE SET at = excluded.at, \
     platform = excluded.platform, code = excluded.code, kid = excluded.kid, confidence = excluded.confidence, \
     keys = excluded.keys, issue_to_end = excluded.issue_to_end, issue_to_report = excluded.issue_to_report \
     WHERE excluded.at >= e.at";

const EXAMPLES: &str = "SELECT app, cause, at, platform, code, kid, confidence, keys, issue_to_end, issue_to_report \
     FROM failure_examples ORDER BY app, cause";

const ADD_VERSION: &str = concat!(
    "INSERT INTO failure_versions AS c (version, seen, ",
    sketch_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
     ON CONFLICT DO UPDATE SET seen = max(c.seen, excluded.seen), ",
    merged_sketch!(),
);

const VERSIONS: &str = concat!("SELECT version, seen, ", sketch_columns!(), " FROM failure_versions");

/// Each minute is merged into its hour, one after the other.
const ROLL_UP: &str = concat!(
    "INSERT INTO failure_counts AS c (",
    count_columns!(),
    ") SELECT ?1, since - since % (?1 * 1000), app, platform, code, cause, kid, reports, ",
    sketch_columns!(),
    " FROM failure_counts WHERE span = ?2 AND since < ?3 \
     ON CONFLICT DO UPDATE SET reports = c.reports + excluded.reports, ",
    merged_sketch!(),
);

const FORGET_MINUTES: &str = "DELETE FROM failure_counts WHERE span = ?1 AND since < ?2";

const FORGET: [&str; 5] = [
    "DELETE FROM failure_counts WHERE since < ?1",
    "DELETE FROM failure_examples WHERE at < ?1",
    "DELETE FROM failure_versions WHERE seen < ?1",
    "DELETE FROM failure_alerts WHERE at < ?1",
    "DELETE FROM service_events WHERE at < ?1",
];

const CLAIM_ALERT: &str = "INSERT INTO failure_alerts AS a (cause, at) VALUES (?1, ?2) \
     ON CONFLICT DO UPDATE SET at = excluded.at WHERE a.at <= ?3";

const RECORD_EVENT: &str =
    "INSERT INTO service_events (at, node, kind, version) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";

const FORGET_EVENTS: &str = "DELETE FROM service_events \
     WHERE at < (SELECT at FROM service_events ORDER BY at DESC LIMIT 1 OFFSET ?1)";

const EVENTS: &str = "SELECT at, node, kind, version FROM service_events WHERE at >= ?1 ORDER BY at, node, kind";

#[async_trait]
impl Failures for SqliteStore {
    async fn add_failures(&self, now: UnixMillis, batch: FailureBatch) -> Result<(), StoreError> {
        self.write(move |c| add(c, now, &batch)).await
    }

    async fn failures_since(&self, since: UnixMillis) -> Result<Vec<FailureCount>, StoreError> {
        self.read_long(move |c| c.prepare_cached(SINCE)?.query_map([since.0], count_of)?.collect()).await
    }

    async fn failure_examples(&self) -> Result<Vec<StoredExample>, StoreError> {
        self.read_long(|c| c.prepare_cached(EXAMPLES)?.query_map([], example_of)?.collect()).await
    }

    async fn failure_versions(&self) -> Result<Vec<ReportedVersion>, StoreError> {
        self.read_long(versions).await
    }

    async fn roll_up_failures(&self, now: UnixMillis) -> Result<(), StoreError> {
        let (before, oldest) = (rolled_up_before(now).0, now.minus(FAILURES_KEPT).0);
        self.write(move |c| {
            c.prepare_cached(ROLL_UP)?.execute([CountSpan::Hour.seconds(), CountSpan::Minute.seconds(), before])?;
            c.prepare_cached(FORGET_MINUTES)?.execute([CountSpan::Minute.seconds(), before])?;
            FORGET.iter().try_for_each(|forget| c.prepare_cached(forget)?.execute([oldest]).map(drop))
        })
        .await
    }

    async fn claim_failure_alert(&self, cause: Cause, now: UnixMillis) -> Result<bool, StoreError> {
        self.write(move |c| {
            let values = params![cause.as_str(), now.0, now.minus(ALERT_REST).0];
            Ok(c.prepare_cached(CLAIM_ALERT)?.execute(values)? > 0)
        })
        .await
    }

    async fn record_service_event(&self, event: ServiceEvent) -> Result<(), StoreError> {
        self.write(move |c| {
            let values = params![event.at.0, event.node, event.kind.as_str(), event.version];
            c.prepare_cached(RECORD_EVENT)?.execute(values)?;
            c.prepare_cached(FORGET_EVENTS)?.execute([SERVICE_EVENTS_KEPT - 1]).map(drop)
        })
        .await
    }

    async fn service_events(&self, since: UnixMillis) -> Result<Vec<ServiceEvent>, StoreError> {
        self.read_long(move |c| c.prepare_cached(EVENTS)?.query_map([since.0], event_of)?.collect()).await
    }
}

fn add(c: &Connection, now: UnixMillis, batch: &FailureBatch) -> rusqlite::Result<()> {
    let mut add = c.prepare_cached(ADD)?;
    for count in &batch.counts {
        add_count(&mut add, count)?;
    }
    let mut put = c.prepare_cached(PUT_EXAMPLE)?;
    for StoredExample { at, key, confidence, example } in &batch.examples {
        put.execute(params![
            key.app.as_str(),
            key.cause.as_str(),
            at.0,
            key.platform.as_str(),
            key.code.label(),
            kid_column(key),
            confidence.as_str(),
            stored_keys(&example.keys),
            example.issue_to_end,
            example.issue_to_report,
        ])?;
    }
    if batch.versions.is_empty() {
        return Ok(());
    }
    for (version, sketch) in &batch.versions {
        let words = stored_sketch(sketch);
        let start: [&dyn ToSql; 2] = [&version.as_str(), &now.0];
        let values = start.into_iter().chain(words.iter().map(|word| word as &dyn ToSql));
        c.prepare_cached(ADD_VERSION)?.execute(params_from_iter(values))?;
    }
    let forgotten = versions_to_forget(versions(c)?);
    let mut forget = c.prepare_cached("DELETE FROM failure_versions WHERE version = ?1")?;
    forgotten.iter().try_for_each(|version| forget.execute([version.as_str()]).map(drop))
}

fn add_count(add: &mut Statement<'_>, count: &FailureCount) -> rusqlite::Result<()> {
    let FailureCount { span, since, key, reports, sessions } = count;
    let (code, reports, words) = (key.code.label(), rows::stored(*reports)?, stored_sketch(sessions));
    let start: [&dyn ToSql; 8] = [
        &span.seconds(),
        &since.0,
        &key.app.as_str(),
        &key.platform.as_str(),
        &code,
        &key.cause.as_str(),
        &kid_column(key),
        &reports,
    ];
    let values = start.into_iter().chain(words.iter().map(|word| word as &dyn ToSql));
    add.execute(params_from_iter(values)).map(drop)
}

fn kid_column(key: &FailureKey) -> &str {
    key.kid.as_ref().map_or("", Kid::as_str)
}

/// Reads the column `kid`, which is empty where the key is not known.
fn kid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Kid>> {
    if row.get_ref(column)?.as_str()?.is_empty() { Ok(None) } else { rows::parsed(row, column).map(Some) }
}

fn sketch(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionSketch> {
    let mut words = [0; SKETCH_WORDS];
    for (word, at) in words.iter_mut().zip(column..) {
        *word = row.get::<_, i64>(at)?.cast_unsigned();
    }
    Ok(SessionSketch(words))
}

fn count_of(row: &Row<'_>) -> rusqlite::Result<FailureCount> {
    let seconds: i64 = row.get(0)?;
    let key = FailureKey {
        app: rows::parsed(row, 2)?,
        platform: Platform::from_store(row.get_ref(3)?.as_str()?),
        code: ReportedCode::from_label(row.get_ref(4)?.as_str()?),
        cause: Cause::from_store(row.get_ref(5)?.as_str()?),
        kid: kid(row, 6)?,
    };
    Ok(FailureCount {
        span: CountSpan::of_seconds(seconds).ok_or_else(|| rows::unknown(0, &seconds.to_string()))?,
        since: rows::time(row, 1)?,
        key,
        reports: rows::unsigned(row, 7)?,
        sessions: sketch(row, 8)?,
    })
}

fn example_of(row: &Row<'_>) -> rusqlite::Result<StoredExample> {
    let key = FailureKey {
        app: rows::parsed(row, 0)?,
        cause: Cause::from_store(row.get_ref(1)?.as_str()?),
        platform: Platform::from_store(row.get_ref(3)?.as_str()?),
        code: ReportedCode::from_label(row.get_ref(4)?.as_str()?),
        kid: kid(row, 5)?,
    };
    let keys = row.get_ref(7)?.as_str()?;
    let keys = keys_of(keys).ok_or_else(|| rows::unknown(7, keys))?;
    let example = FailureExample { keys, issue_to_end: row.get(8)?, issue_to_report: row.get(9)? };
    Ok(StoredExample { at: rows::time(row, 2)?, key, confidence: rows::variant(row, 6)?, example })
}

fn versions(c: &Connection) -> rusqlite::Result<Vec<ReportedVersion>> {
    let version = |row: &Row<'_>| {
        let version: SdkVersion = rows::parsed(row, 0)?;
        Ok(ReportedVersion { version, seen: rows::time(row, 1)?, sessions: sketch(row, 2)? })
    };
    c.prepare_cached(VERSIONS)?.query_map([], version)?.collect()
}

fn event_of(row: &Row<'_>) -> rusqlite::Result<ServiceEvent> {
    Ok(ServiceEvent { at: rows::time(row, 0)?, node: row.get(1)?, kind: rows::variant(row, 2)?, version: row.get(3)? })
}
