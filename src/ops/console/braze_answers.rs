//! Answers about Braze that pages show for half a minute, so that a view does not wait for Braze each time, nor for the
//! checks of doctor, which sign with every key. One question is under way for each ring, and those who ask meanwhile get
//! its answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::visit::Visit;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{Kid, RingName},
        key::{KeyRecord, KeyState},
    },
    operate::{BrazeKeys, Check, OperationError, RingPlan, RingStatus},
};

/// Time for which an answer is shown.
const LASTS: Duration = Duration::from_secs(30);
/// Largest number of rings whose answers are kept.
const MOST: usize = 256;

/// State of every key on record: an answer from before a change of it is not shown.
type Records = Vec<(Kid, KeyState, UnixMillis)>;

/// Answer with what was on record when it was asked for.
struct Kept<T> {
    records: Records,
    at: UnixMillis,
    value: Arc<T>,
}

type Slot<T> = Arc<tokio::sync::Mutex<Option<Kept<T>>>>;

/// Answers of one kind, by ring.
struct ByRing<T>(Mutex<BTreeMap<String, Slot<T>>>);

impl<T> Default for ByRing<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> ByRing<T> {
    fn slot(&self, name: &str) -> Slot<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(name) {
            slots.clear();
        }
        Arc::clone(slots.entry(name.to_owned()).or_default())
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Answers that are shown again.
#[derive(Default)]
pub(super) struct BrazeAnswers {
    statuses: ByRing<RingStatus>,
    plans: ByRing<RingPlan>,
    keys: ByRing<BrazeKeys>,
    checks: ByRing<Vec<Check>>,
}

impl BrazeAnswers {
    /// Forgets everything, because an operator has changed something.
    pub(super) fn forget(&self) {
        self.statuses.forget();
        self.plans.forget();
        self.keys.forget();
        self.checks.forget();
    }
}

/// Questions of one page.
pub(super) struct BrazeQuestions<'a> {
    visit: &'a Visit,
    records: Records,
    /// Time of the oldest answer.
    asked: UnixMillis,
}

impl<'a> BrazeQuestions<'a> {
    /// Makes the questions of a page that shows these keys.
    pub(super) fn new(visit: &'a Visit, keys: &[KeyRecord]) -> Self {
        let records = keys.iter().map(|key| (key.kid.clone(), key.state, key.changed)).collect();
        Self { visit, records, asked: visit.now }
    }

    /// Time of the oldest answer that the page shows.
    pub(super) fn asked(&self) -> UnixMillis {
        self.asked
    }

    /// State of a ring.
    pub(super) async fn status(&mut self, ring: &RingName) -> Result<Arc<RingStatus>, OperationError> {
        let visit = self.visit;
        let slot = visit.console.braze.statuses.slot(ring.as_str());
        self.ask(slot, visit.operations.rotation_status(ring)).await
    }

    /// Forecast of the rotation of a ring.
    pub(super) async fn plan(&mut self, ring: &RingName) -> Result<Arc<RingPlan>, OperationError> {
        let visit = self.visit;
        let slot = visit.console.braze.plans.slot(ring.as_str());
        self.ask(slot, visit.operations.rotation_plan(ring)).await
    }

    /// Keys of every app.
    pub(super) async fn keys(&mut self) -> Result<Arc<BrazeKeys>, OperationError> {
        let visit = self.visit;
        let slot = visit.console.braze.keys.slot("");
        self.ask(slot, visit.operations.braze_keys(None)).await
    }

    /// Checks of doctor.
    pub(super) async fn checks(&mut self) -> Result<Arc<Vec<Check>>, OperationError> {
        let visit = self.visit;
        let slot = visit.console.braze.checks.slot("");
        self.ask(slot, visit.operations.checks()).await
    }

    async fn ask<T>(
        &mut self,
        slot: Slot<T>,
        question: impl Future<Output = Result<T, OperationError>>,
    ) -> Result<Arc<T>, OperationError> {
        let mut kept = slot.lock().await;
        let now = self.visit.now;
        // The clock may have been set back since.
        let is_recent =
            |kept: &&Kept<T>| kept.records == self.records && now.since(kept.at) < LASTS && kept.at.since(now) < LASTS;
        if let Some(recent) = kept.as_ref().filter(is_recent) {
            self.asked = self.asked.min(recent.at);
            return Ok(Arc::clone(&recent.value));
        }
        let value = Arc::new(question.await?);
        *kept = Some(Kept { records: self.records.clone(), at: now, value: Arc::clone(&value) });
        Ok(value)
    }
}
