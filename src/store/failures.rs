//! The part of the store's interface that keeps counts of failures that apps report.

use std::{cmp::Reverse, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::StoreError;
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence, FailureExample, FailureKey, SdkVersion},
        ids::Kid,
        key::KeyState,
        session_sketch::{SKETCH_WORDS, SessionSketch},
    },
};

/// Time that a row of counts is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountSpan {
    Minute,
    Hour,
}

impl CountSpan {
    /// Length in seconds: the value in the store.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// Span of this length; `None` where there is none.
    pub(super) fn of_seconds(seconds: i64) -> Option<Self> {
        [Self::Minute, Self::Hour].into_iter().find(|span| span.seconds() == seconds)
    }
}

/// Counts of one row: reports of one kind in one minute, or in one hour after the roll-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureCount {
    pub span: CountSpan,
    /// Beginning of the minute or the hour.
    pub since: UnixMillis,
    #[serde(flatten)]
    pub key: FailureKey,
    pub reports: u64,
    /// Sketch of the distinct sessions that reported.
    pub sessions: SessionSketch,
}

/// Latest report of a cause at an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredExample {
    pub at: UnixMillis,
    pub key: FailureKey,
    pub confidence: Confidence,
    pub example: FailureExample,
}

/// Counts of one node that are written together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureBatch {
    pub counts: Vec<FailureCount>,
    /// At most one for each app and cause.
    pub examples: Vec<StoredExample>,
    /// SDK versions, with the sessions that reported with them.
    pub versions: Vec<(SdkVersion, SessionSketch)>,
}

impl FailureBatch {
    /// Returns true where there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.examples.is_empty() && self.versions.is_empty()
    }
}

/// SDK version that reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedVersion {
    pub version: SdkVersion,
    /// Time of the last report.
    pub seen: UnixMillis,
    pub sessions: SessionSketch,
}

/// Event of the service that may begin a rise of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ServiceEventKind {
    /// A process began to serve.
    Started,
    /// A process read its configuration again.
    Reloaded,
}

impl ServiceEventKind {
    /// Name in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Start or reload of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEvent {
    pub at: UnixMillis,
    pub node: String,
    pub kind: ServiceEventKind,
    /// Version of the program.
    pub version: String,
}

/// Operations on counts of failures.
#[async_trait]
pub trait Failures: Send + Sync {
    /// Adds counts to those on record, in one transaction: numbers are added, sketches are merged, later examples
    /// replace earlier ones, and of the versions those stay that most sessions reported with.
    async fn add_failures(&self, now: UnixMillis, batch: FailureBatch) -> Result<(), StoreError>;

    /// Returns the counts from `since` on, oldest first: minutes, and hours where the minutes were rolled up. An hour
    /// counts where a part of it is at or after `since`.
    async fn failures_since(&self, since: UnixMillis) -> Result<Vec<FailureCount>, StoreError>;

    /// Returns the latest example of each app and cause, in this order.
    async fn failure_examples(&self) -> Result<Vec<StoredExample>, StoreError>;

    /// Returns the SDK versions that reported, no more than [`VERSIONS_KEPT`], in no order.
    async fn failure_versions(&self) -> Result<Vec<ReportedVersion>, StoreError>;

    /// Adds up the minutes of hours that are long over, and deletes what is older than [`FAILURES_KEPT`].
    async fn roll_up_failures(&self, now: UnixMillis) -> Result<(), StoreError>;

    /// Returns true, and records it, where no event about this cause was claimed in the last [`ALERT_REST`]: of all
    /// nodes, one gets it.
    async fn claim_failure_alert(&self, cause: Cause, now: UnixMillis) -> Result<bool, StoreError>;

    /// Records a start or a reload. Of all of them, the newest thousand stay.
    async fn record_service_event(&self, event: ServiceEvent) -> Result<(), StoreError>;

    /// Returns the starts and reloads from `since` on, oldest first.
    async fn service_events(&self, since: UnixMillis) -> Result<Vec<ServiceEvent>, StoreError>;
}

/// Time for which counts are kept.
pub const FAILURES_KEPT: Duration = Duration::from_hours(90 * 24);
/// Time for which counts are kept by the minute, before they are rolled up.
pub const MINUTES_KEPT: Duration = Duration::from_hours(25);
/// Least time between two events about one cause.
pub const ALERT_REST: Duration = Duration::from_mins(15);
/// Number of SDK versions that are kept: those that most sessions reported with.
pub const VERSIONS_KEPT: usize = 50;
/// Number of starts and reloads that are kept.
pub(super) const SERVICE_EVENTS_KEPT: i64 = 1000;

/// Beginning of the oldest hour that has minutes of its own.
pub(super) fn rolled_up_before(now: UnixMillis) -> UnixMillis {
    let oldest = now.minus(MINUTES_KEPT).0;
    UnixMillis(oldest - oldest.rem_euclid(CountSpan::Hour.seconds() * 1000))
}

/// Columns of a sketch.
macro_rules! sketch_columns {
    () => {
        "w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15"
    };
}

/// Assignments that merge the sketch of an inserted row into that of row `c`.
macro_rules! merged_sketch {
    () => {
        "w0 = c.w0 | excluded.w0, w1 = c.w1 | excluded.w1, w2 = c.w2 | excluded.w2, w3 = c.w3 | excluded.w3, \
         w4 = c.w4 | excluded.w4, w5 = c.w5 | excluded.w5, w6 = c.w6 | excluded.w6, w7 = c.w7 | excluded.w7, \
         w8 = c.w8 | excluded.w8, w9 = c.w9 | excluded.w9, w10 = c.w10 | excluded.w10, w11 = c.w11 | excluded.w11, \
         w12 = c.w12 | excluded.w12, w13 = c.w13 | excluded.w13, w14 = c.w14 | excluded.w14, \
         w15 = c.w15 | excluded.w15"
    };
}

/// Columns of a count.
macro_rules! count_columns {
    () => {
        concat!("span, since, app, platform, code, cause, kid, reports, ", sketch_columns!())
    };
}

pub(super) use {count_columns, merged_sketch, sketch_columns};

/// Words of a sketch as the store holds them.
pub(super) fn stored_sketch(sketch: &SessionSketch) -> [i64; SKETCH_WORDS] {
    sketch.0.map(u64::cast_signed)
}

/// Returns the versions that are not kept: all but those that most sessions reported with, of alike ones the newest.
pub(super) fn versions_to_forget(mut versions: Vec<ReportedVersion>) -> Vec<SdkVersion> {
    versions.sort_by_key(|one| Reverse((one.sessions.estimate(), one.seen)));
    versions.into_iter().skip(VERSIONS_KEPT).map(|one| one.version).collect()
}

/// Writes the keys of an example as one text.
pub(super) fn stored_keys(keys: &[(Kid, KeyState)]) -> String {
    let keys: Vec<String> = keys.iter().map(|(kid, state)| format!("{kid} {}", state.as_str())).collect();
    keys.join(",")
}

/// Reads the keys of an example; `None` where the text is damaged.
pub(super) fn keys_of(text: &str) -> Option<Vec<(Kid, KeyState)>> {
    let keys = text.split(',').filter(|key| !key.is_empty());
    keys.map(|key| key.split_once(' ').and_then(|(kid, state)| Some((kid.parse().ok()?, state.parse().ok()?))))
        .collect()
}
