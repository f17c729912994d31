//! Counts of failures that apps report.

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction, types::Type};

use super::{
    PostgresStore,
    database::{Done, Param, Steps},
    rows::{self, RowError},
};
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

/// Rows come in the order of their key, so that no two nodes wait for each other.
const ADD: &str = concat!(
    "INSERT INTO countersign.failure_counts AS c (",
    count_columns!(),
    ") SELECT n.* FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
     $20, $21, $22, $23, $24) AS n (",
    count_columns!(),
    ") ORDER BY since, app, platform, code, cause, kid \
     ON CONFLICT (span, since, app, platform, code, cause, kid) \
     DO UPDATE SET reports = c.reports + excluded.reports, ",
    merged_sketch!(),
);

const SINCE: &str = concat!(
    "SELECT ",
    count_columns!(),
    " FROM countersign.failure_counts WHERE since >= $1 OR (span = 3600 AND since > $1 - 3600000) ORDER BY since",
);

const PUT_EXAMPLE: &str = "INSERT INTO countersign.failure_examples AS e \
     (app, cause, at, platform, code, kid, confidence, keys, issue_to_end, issue_to_report) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (app, cause) DO UPDATE SET at = excluded.at, \
     platform = excluded.platform, code = excluded.code, kid = excluded.kid, confidence = excluded.confidence, \
     keys = excluded.keys, issue_to_end = excluded.issue_to_end, issue_to_report = excluded.issue_to_report \
     WHERE excluded.at >= e.at";

const EXAMPLES: &str = "SELECT app, cause, at, platform, code, kid, confidence, keys, issue_to_end, issue_to_report \
     FROM countersign.failure_examples ORDER BY app COLLATE \"C\", cause COLLATE \"C\"";

const ADD_VERSIONS: &str = concat!(
    "INSERT INTO countersign.failure_versions AS c (version, seen, ",
    sketch_columns!(),
    ") SELECT n.version, $1, ",
    sketch_columns!(),
    " FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) AS n (version, ",
    sketch_columns!(),
    ") ORDER BY n.version ON CONFLICT (version) DO UPDATE SET seen = greatest(c.seen, excluded.seen), ",
    merged_sketch!(),
);

const VERSIONS: &str = concat!("SELECT version, seen, ", sketch_columns!(), " FROM countersign.failure_versions");

/// One after the other: each sees the versions that the one before left.
const LOCK_VERSIONS: &str = "LOCK TABLE countersign.failure_versions IN SHARE ROW EXCLUSIVE MODE";

const FORGET_VERSIONS: &str = "DELETE FROM countersign.failure_versions WHERE version = ANY($1)";

const ROLL_UP: &str = concat!(
    "WITH minutes AS (DELETE FROM countersign.failure_counts WHERE span = $1 AND since < $2 RETURNING *) \
     INSERT INTO countersign.failure_counts AS c (",
    count_columns!(),
    ") SELECT $3::bigint, since - since % ($3::bigint * 1000) AS hour, app, platform, code, cause, kid, \
         sum(reports)::bigint, bit_or(w0), bit_or(w1), bit_or(w2), bit_or(w3), bit_or(w4), bit_or(w5), bit_or(w6), \
         bit_or(w7), bit_or(w8), bit_or(w9), bit_or(w10), bit_or(w11), bit_or(w12), bit_or(w13), bit_or(w14), \
         bit_or(w15) \
     FROM minutes GROUP BY hour, app, platform, code, cause, kid ORDER BY hour, app, platform, code, cause, kid \
     ON CONFLICT (span, since, app, platform, code, cause, kid) \
     DO UPDATE SET reports = c.reports + excluded.reports, ",
    merged_sketch!(),
);

const FORGET: [&str; 5] = [
    "DELETE FROM countersign.failure_counts WHERE since < $1",
    "DELETE FROM countersign.failure_examples WHERE at < $1",
    "DELETE FROM countersign.failure_versions WHERE seen < $1",
    "DELETE FROM countersign.failure_alerts WHERE at < $1",
    "DELETE FROM countersign.service_events WHERE at < $1",
];

/// Of all nodes, one rolls up at a time: "roll" in ASCII.
const LOCK_ROLL_UP: &str = "SELECT pg_advisory_xact_lock(x'726f6c6c'::int8)";

const CLAIM_ALERT: &str = "INSERT INTO countersign.failure_alerts AS a (cause, at) VALUES ($1, $2) \
     ON CONFLICT (cause) DO UPDATE SET at = excluded.at WHERE a.at <= $3 RETURNING true";

const RECORD_EVENT: &str = "WITH old AS (DELETE FROM countersign.service_events \
         WHERE at < (SELECT at FROM countersign.service_events ORDER BY at DESC LIMIT 1 OFFSET $5)) \
     INSERT INTO countersign.service_events (at, node, kind, version) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

const EVENTS: &str = "SELECT at, node, kind, version FROM countersign.service_events WHERE at >= $1 \
     ORDER BY at, node COLLATE \"C\", kind COLLATE \"C\"";

#[async_trait]
impl Failures for PostgresStore {
    async fn add_failures(&self, now: UnixMillis, batch: FailureBatch) -> Result<(), StoreError> {
        self.database.run(&Adding { now, batch }).await
    }

    async fn failures_since(&self, since: UnixMillis) -> Result<Vec<FailureCount>, StoreError> {
        let found = self.read(SINCE, &[(&since.0, Type::INT8)]).await?;
        self.database.name.check(found.iter().map(count_of).collect())
    }

    async fn failure_examples(&self) -> Result<Vec<StoredExample>, StoreError> {
        let found = self.read(EXAMPLES, &[]).await?;
        self.database.name.check(found.iter().map(example_of).collect())
    }

    async fn failure_versions(&self) -> Result<Vec<ReportedVersion>, StoreError> {
        let found = self.read(VERSIONS, &[]).await?;
        self.database.name.check(found.iter().map(version_of).collect())
    }

    async fn roll_up_failures(&self, now: UnixMillis) -> Result<(), StoreError> {
        self.database.run(&RollingUp { now }).await
    }

    async fn claim_failure_alert(&self, cause: Cause, now: UnixMillis) -> Result<bool, StoreError> {
        let (cause, until) = (cause.as_str(), now.minus(ALERT_REST).0);
        let params: [Param<'_>; 3] = [(&cause, Type::TEXT), (&now.0, Type::INT8), (&until, Type::INT8)];
        self.has_written(CLAIM_ALERT, &params).await
    }

    async fn record_service_event(&self, event: ServiceEvent) -> Result<(), StoreError> {
        let kind = event.kind.as_str();
        let params: [Param<'_>; 5] = [
            (&event.at.0, Type::INT8),
            (&event.node, Type::TEXT),
            (&kind, Type::TEXT),
            (&event.version, Type::TEXT),
            (&(SERVICE_EVENTS_KEPT - 2), Type::INT8),
        ];
        self.database.write(RECORD_EVENT, &params).await.map(drop)
    }

    async fn service_events(&self, since: UnixMillis) -> Result<Vec<ServiceEvent>, StoreError> {
        let found = self.read(EVENTS, &[(&since.0, Type::INT8)]).await?;
        self.database.name.check(found.iter().map(event_of).collect())
    }
}

/// Adding of one batch.
struct Adding {
    now: UnixMillis,
    batch: FailureBatch,
}

#[async_trait]
impl Steps for Adding {
    type Answer = ();

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<()>, RowError> {
        self.add_counts(transaction).await?;
        for example in &self.batch.examples {
            put_example(transaction, example).await?;
        }
        if !self.batch.versions.is_empty() {
            self.add_versions(transaction).await?;
        }
        Ok(Done::Commit(()))
    }
}

impl Adding {
    async fn add_counts(&self, transaction: &Transaction<'_>) -> Result<(), RowError> {
        let counts = &self.batch.counts;
        let spans: Vec<i64> = counts.iter().map(|count| count.span.seconds()).collect();
        let since: Vec<i64> = counts.iter().map(|count| count.since.0).collect();
        let apps: Vec<&str> = counts.iter().map(|count| count.key.app.as_str()).collect();
        let platforms: Vec<&str> = counts.iter().map(|count| count.key.platform.as_str()).collect();
        let codes: Vec<String> = counts.iter().map(|count| count.key.code.label()).collect();
        let causes: Vec<&str> = counts.iter().map(|count| count.key.cause.as_str()).collect();
        let kids: Vec<&str> = counts.iter().map(|count| kid_column(&count.key)).collect();
        let reports: Vec<i64> = counts.iter().map(|count| rows::stored(count.reports)).collect::<Result<_, _>>()?;
        let words = columns(counts.iter().map(|count| &count.sessions));
        let mut params: Vec<Param<'_>> = vec![
            (&spans, Type::INT8_ARRAY),
            (&since, Type::INT8_ARRAY),
            (&apps, Type::TEXT_ARRAY),
            (&platforms, Type::TEXT_ARRAY),
            (&codes, Type::TEXT_ARRAY),
            (&causes, Type::TEXT_ARRAY),
            (&kids, Type::TEXT_ARRAY),
            (&reports, Type::INT8_ARRAY),
        ];
        params.extend(words.iter().map(|column| (column as _, Type::INT8_ARRAY)));
        transaction.execute_typed(ADD, &params).await?;
        Ok(())
    }

    async fn add_versions(&self, transaction: &Transaction<'_>) -> Result<(), RowError> {
        transaction.execute_typed(LOCK_VERSIONS, &[]).await?;
        let versions: Vec<&str> = self.batch.versions.iter().map(|(version, _)| version.as_str()).collect();
        let words = columns(self.batch.versions.iter().map(|(_, sketch)| sketch));
        let mut params: Vec<Param<'_>> = vec![(&self.now.0, Type::INT8), (&versions, Type::TEXT_ARRAY)];
        params.extend(words.iter().map(|column| (column as _, Type::INT8_ARRAY)));
        transaction.execute_typed(ADD_VERSIONS, &params).await?;
        let all = transaction.query_typed(VERSIONS, &[]).await?;
        let forgotten = versions_to_forget(all.iter().map(version_of).collect::<Result<_, _>>()?);
        let forgotten: Vec<&str> = forgotten.iter().map(SdkVersion::as_str).collect();
        transaction.execute_typed(FORGET_VERSIONS, &[(&forgotten, Type::TEXT_ARRAY)]).await?;
        Ok(())
    }
}

async fn put_example(transaction: &Transaction<'_>, stored: &StoredExample) -> Result<(), RowError> {
    let StoredExample { at, key, confidence, example } = stored;
    let params: [Param<'_>; 10] = [
        (&key.app.as_str(), Type::TEXT),
        (&key.cause.as_str(), Type::TEXT),
        (&at.0, Type::INT8),
        (&key.platform.as_str(), Type::TEXT),
        (&key.code.label(), Type::TEXT),
        (&kid_column(key), Type::TEXT),
        (&confidence.as_str(), Type::TEXT),
        (&stored_keys(&example.keys), Type::TEXT),
        (&example.issue_to_end, Type::INT8),
        (&example.issue_to_report, Type::INT8),
    ];
    transaction.execute_typed(PUT_EXAMPLE, &params).await?;
    Ok(())
}

/// Roll-up of minutes into hours, and purge.
struct RollingUp {
    now: UnixMillis,
}

#[async_trait]
impl Steps for RollingUp {
    type Answer = ();

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<()>, RowError> {
        transaction.query_typed(LOCK_ROLL_UP, &[]).await?;
        let (before, oldest) = (rolled_up_before(self.now).0, self.now.minus(FAILURES_KEPT).0);
        let params: [Param<'_>; 3] = [
            (&CountSpan::Minute.seconds(), Type::INT8),
            (&before, Type::INT8),
            (&CountSpan::Hour.seconds(), Type::INT8),
        ];
        transaction.execute_typed(ROLL_UP, &params).await?;
        for forget in FORGET {
            transaction.execute_typed(forget, &[(&oldest, Type::INT8)]).await?;
        }
        Ok(Done::Commit(()))
    }
}

/// Words of sketches by column.
fn columns<'a>(sketches: impl Iterator<Item = &'a SessionSketch>) -> [Vec<i64>; SKETCH_WORDS] {
    let mut columns = [const { Vec::new() }; SKETCH_WORDS];
    for sketch in sketches {
        for (column, word) in columns.iter_mut().zip(stored_sketch(sketch)) {
            column.push(word);
        }
    }
    columns
}

fn kid_column(key: &FailureKey) -> &str {
    key.kid.as_ref().map_or("", Kid::as_str)
}

/// Reads the column `kid`, which is empty where the key is not known.
fn kid(row: &Row, column: usize) -> Result<Option<Kid>, RowError> {
    if rows::get::<&str>(row, column)?.is_empty() { Ok(None) } else { rows::parsed(row, column).map(Some) }
}

fn sketch(row: &Row, column: usize) -> Result<SessionSketch, RowError> {
    let mut words = [0; SKETCH_WORDS];
    for (word, at) in words.iter_mut().zip(column..) {
        *word = rows::get::<i64>(row, at)?.cast_unsigned();
    }
    Ok(SessionSketch(words))
}

fn count_of(row: &Row) -> Result<FailureCount, RowError> {
    let key = FailureKey {
        app: rows::parsed(row, 2)?,
        platform: Platform::from_store(rows::get(row, 3)?),
        code: ReportedCode::from_label(rows::get(row, 4)?),
        cause: Cause::from_store(rows::get(row, 5)?),
        kid: kid(row, 6)?,
    };
    Ok(FailureCount {
        span: CountSpan::of_seconds(rows::get(row, 0)?).ok_or_else(|| rows::damaged(0, "not a span of counts"))?,
        since: rows::time(row, 1)?,
        key,
        reports: rows::unsigned(row, 7)?,
        sessions: sketch(row, 8)?,
    })
}

fn example_of(row: &Row) -> Result<StoredExample, RowError> {
    let key = FailureKey {
        app: rows::parsed(row, 0)?,
        cause: Cause::from_store(rows::get(row, 1)?),
        platform: Platform::from_store(rows::get(row, 3)?),
        code: ReportedCode::from_label(rows::get(row, 4)?),
        kid: kid(row, 5)?,
    };
    let keys = keys_of(rows::get(row, 7)?).ok_or_else(|| rows::damaged(7, "not a list of keys"))?;
    let example = FailureExample { keys, issue_to_end: rows::get(row, 8)?, issue_to_report: rows::get(row, 9)? };
    Ok(StoredExample { at: rows::time(row, 2)?, key, confidence: rows::parsed(row, 6)?, example })
}

fn version_of(row: &Row) -> Result<ReportedVersion, RowError> {
    Ok(ReportedVersion { version: rows::parsed(row, 0)?, seen: rows::time(row, 1)?, sessions: sketch(row, 2)? })
}

fn event_of(row: &Row) -> Result<ServiceEvent, RowError> {
    Ok(ServiceEvent {
        at: rows::time(row, 0)?,
        node: rows::get(row, 1)?,
        kind: rows::parsed(row, 2)?,
        version: rows::get(row, 3)?,
    })
}
