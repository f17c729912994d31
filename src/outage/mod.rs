//! Answers while the store is out of reach: what may be served, and what has ended all the same.
//!
//! [`breaker`] notices that the store is out of reach, so that a slow store costs one time-out and not one a request.
//! [`ended`] has what had ended when the store was last seen. [`Outage`] joins both for `issue`; `node` keeps them up to
//! date.

mod breaker;
mod ended;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginRecord,
        session::Ended,
    },
    store::{self, OnOutage, StoreError},
    telemetry::{Alarm, Metrics},
};

pub use breaker::{Breaker, Operation};
pub use ended::EndedSessions;

/// Longest life of a token that is issued without the store.
pub const DEGRADED_LIFETIME: Duration = Duration::from_mins(15);

/// Standing of a session, as far as it is known without the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No end of it is known.
    Live,
    /// It has ended.
    Ended(Ended),
    /// It may have ended: a filter says so, which may err, or its time is not covered. It is answered with 503.
    Unsure,
}

/// Reason why a request is not answered without the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// `store.outage` is `refuse`.
    #[error("the store is out of reach, and store.outage is \"refuse\"")]
    Refused,
    /// What has ended was never read since the start.
    #[error("the store is out of reach, and this node has not read yet what has ended")]
    NeverLooked,
    /// The last complete look at what has ended is too old.
    #[error("the store is out of reach since {0}, longer than store.outage_limit")]
    TooLong(UnixMillis),
}

/// Parts with which a node answers without the store.
pub struct Outage {
    pub breaker: Breaker,
    pub ended: EndedSessions,
    /// Name of the store for people.
    store: String,
    on_outage: OnOutage,
    limit: Duration,
    /// A fault of the store is logged, and its alarm raised.
    reported: AtomicBool,
    /// Time since boot at which the store was first seen to be out of reach, in milliseconds; 0 while it is not.
    since: AtomicU64,
    pub metrics: Arc<Metrics>,
}

impl Outage {
    /// Makes it for a node that has not looked yet.
    pub fn new(config: &store::Config, metrics: Arc<Metrics>) -> Self {
        Self {
            breaker: Breaker::new(),
            ended: EndedSessions::new(config.outage_memory_mib),
            store: config.name(),
            on_outage: config.outage,
            limit: config.outage_limit,
            reported: AtomicBool::new(false),
            since: AtomicU64::new(0),
            metrics,
        }
    }

    /// Returns whether a request may be answered without the store at `now`.
    ///
    /// # Errors
    /// [`NotServed`].
    pub fn admit(&self, now: UnixMillis) -> Result<(), NotServed> {
        if self.on_outage == OnOutage::Refuse {
            return Err(NotServed::Refused);
        }
        let looked = self.ended.looked().ok_or(NotServed::NeverLooked)?;
        if now.since(looked) < self.limit { Ok(()) } else { Err(NotServed::TooLong(looked)) }
    }

    /// Returns the standing of a session without the store.
    pub fn standing(&self, session: SessionId, user: UserHash, app: &AppName, login: Option<&LoginRecord>) -> Standing {
        self.ended.standing(session, user, app, login)
    }

    /// Asks the store, unless it is known to be out of reach. Notes that it is where it does not answer.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::OutOfReach`] at once while the breaker is open.
    pub async fn ask<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(answer) = self.breaker.ask(operation, call).await else { return Err(self.not_asked()) };
        answer.inspect_err(|error| self.learn(operation, error))
    }

    /// Checks that the store is not known to be out of reach.
    ///
    /// # Errors
    /// [`StoreError::OutOfReach`].
    pub fn check(&self, operation: Operation) -> Result<(), StoreError> {
        if self.breaker.is_open(operation) { Err(self.not_asked()) } else { Ok(()) }
    }

    fn not_asked(&self) -> StoreError {
        StoreError::OutOfReach { store: self.store.clone(), why: "an earlier request was not answered".to_owned() }
    }

    /// Asks the store even where it is known to be out of reach: where it answers, everybody asks it again. For the
    /// node's background work, so that one asks and not all. An answer that the store must not be used ends an outage,
    /// too: it is no reason to answer without it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn probe<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = call.await;
        match &answer {
            Err(error) if error.is_outage() => self.learn(operation, error),
            _ => self.breaker.close(operation),
        }
        answer
    }

    fn learn(&self, operation: Operation, error: &StoreError) {
        if error.is_outage() && self.breaker.open(operation) {
            self.report_fault(error);
        }
    }

    /// Logs a fault of the store and raises the alarm, unless one is reported already.
    pub fn report_fault(&self, error: &StoreError) {
        if !self.reported.swap(true, Ordering::AcqRel) {
            tracing::error!(why = %error, "the store does not answer");
            self.metrics.alarm(Alarm::Store);
        }
    }

    /// Logs that the store can be read and written again, where a fault is reported.
    pub fn report_recovery(&self) {
        if self.reported.swap(false, Ordering::AcqRel) {
            tracing::info!("the store answers again");
        }
    }

    /// Exports for how long the store has been out of reach, at this time since boot.
    pub fn export(&self, since_boot: Duration) {
        let now = u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX).max(1);
        if !self.breaker.is_open(Operation::Write) {
            self.since.store(0, Ordering::Relaxed);
            self.metrics.store_outage(Duration::ZERO);
            return;
        }
        let first = self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let since = first.err().unwrap_or(now);
        self.metrics.store_outage(Duration::from_millis(now.saturating_sub(since)));
    }
}
