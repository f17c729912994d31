//! Counts of reported failures: in memory for each minute, until the node's background task writes them to the store.

mod minutes;
mod repeats;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{minutes::Minutes, repeats::Repeats};
use crate::{
    clock::UnixMillis,
    domain::{
        failure::{Cause, Confidence, FailureExample, FailureKey, ReportedCode, SdkVersion},
        ids::{SessionId, UserId},
    },
    store::{FailureBatch, Failures, StoreError},
    telemetry::Metrics,
};

/// Rows that one write takes, but for the rest of a minute.
const ROWS_OF_WRITE: usize = 1_000;

/// Largest number of sessions that one user counts for: whoever logs in often is no incident of many.
const SESSIONS_OF_USER: u64 = 4;

/// Diagnosed report of one session.
#[derive(Clone, Debug)]
pub struct Report {
    pub key: FailureKey,
    pub session: SessionId,
    pub user: UserId,
    pub confidence: Confidence,
    pub example: FailureExample,
    pub sdk_version: Option<SdkVersion>,
}

/// Counts of one node. What it holds is bounded, whatever is reported and however long the store is away.
pub struct Counts {
    metrics: Arc<Metrics>,
    /// Key of the hash of sessions: made at random at the start, and nowhere but here.
    hash: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    repeats: Repeats,
    minutes: Minutes,
}

impl Counts {
    /// Makes the counts of a new process.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, hash: RandomState::new(), state: Mutex::default() }
    }

    /// Counts a diagnosed report, unless its session was counted with the same code in the last five minutes. Returns
    /// whether it was counted.
    pub fn count(&self, now: UnixMillis, report: Report) -> bool {
        self.count_first(now, report.session, report.key.code, || report).is_some()
    }

    /// Counts the report that `diagnose` makes of this session and code, unless they were counted in the last five
    /// minutes: then nothing is made. Returns the cause that was counted.
    pub(super) fn count_first(
        &self,
        now: UnixMillis,
        session: SessionId,
        code: ReportedCode,
        diagnose: impl FnOnce() -> Report,
    ) -> Option<Cause> {
        let event = self.hash.hash_one((session.0, code));
        if !self.state().repeats.is_first(now, event) {
            return None;
        }
        // Not under the lock: a diagnosis takes longer than the count.
        let report = diagnose();
        let (app, cause) = (report.key.app.clone(), report.key.cause);
        let session = self.hash.hash_one(session.0) % SESSIONS_OF_USER;
        let session = self.hash.hash_one((report.user.as_str(), session));
        self.state().minutes.add(now, session, report);
        self.metrics.failure_reported(app.as_str(), &code.label(), cause.as_str());
        Some(cause)
    }

    /// Writes to the store what waits, in parts; where it does not answer, the rest waits on. `now` is this node's time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write_to<S: Failures + ?Sized>(&self, store: &S, now: UnixMillis) -> Result<(), StoreError> {
        // Each part takes its place among other writes.
        while let Some(batch) = self.take() {
            if let Err(error) = store.add_failures(now, batch.clone()).await {
                self.state().minutes.put_back(batch);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Number of rows that wait for the store.
    pub fn waiting_rows(&self) -> usize {
        self.state().minutes.rows()
    }

    /// Takes a part of what waits; `None` where nothing does.
    fn take(&self) -> Option<FailureBatch> {
        let batch = self.state().minutes.take(ROWS_OF_WRITE);
        (!batch.is_empty()).then_some(batch)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a report whose refresh token does not open: it is anybody's claim, and is not diagnosed.
    pub fn count_unauthenticated(&self) {
        self.metrics.unauthenticated_failure_reported();
    }
}
