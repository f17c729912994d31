//! Answers while the store is out of reach: what may be served, and what has ended all the same.
//!
//! `breaker` notices that the store is out of reach, so that a slow store costs one time-out and not one a request.
//! `ended` has what had ended when the store was last seen, `owed` what this node ended and could not write, and
//! `followers` which other nodes may not know of an end yet, `process` which of them have ended. [`Outage`] joins them for `issue`; `node` keeps them up to
//! date.

mod breaker;
mod ended;
mod followers;
mod owed;
mod process;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{ClockGuard, MAX_STEP, UnixMillis},
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginRecord,
        session::Ended,
    },
    store::{self, ENDS_KEPT, EndsPosition, Follower, OnOutage, Store, StoreError},
    telemetry::{Alarm, Metrics},
};

pub use breaker::{Breaker, Operation};
pub use ended::{Coverage, EndedSessions, IdRange, LogRead, Slice, SliceKeys, SliceReader, Taken};
pub use followers::{FRESH, LONGEST_WAIT, Pending};
use followers::{Followers, Reports};
pub use owed::{OwedEnd, OwedEnds};
pub use process::process_name;

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
    #[error("the store is out of reach, and what has ended was last read at {0}, longer ago than store.outage_limit")]
    TooLong(UnixMillis),
    /// The other nodes do not wait for this one, or no more: it has just started, or could not write for too long.
    #[error("the store is out of reach, and took no report of this node for store.outage_limit, or since its start")]
    NotTold,
}

/// Parts with which a node answers without the store.
pub struct Outage {
    pub breaker: Breaker,
    pub ended: EndedSessions,
    pub owed: OwedEnds,
    /// Other nodes.
    followers: Followers,
    /// Name of the store for people.
    store: String,
    mode: OnOutage,
    limit: Duration,
    /// Longest wait for a probe while the store is out of reach: one that was begun before the store came back must not
    /// hold up the next.
    patience: Duration,
    /// Reason for which it is out of reach, or was last.
    why: RwLock<String>,
    /// A fault of the store is logged, and its alarm raised.
    reported: AtomicBool,
    /// Time since boot at which the store was first seen to be out of reach, in milliseconds; 0 while it is not.
    since: AtomicU64,
    /// Time since boot of the last complete look, in milliseconds; 0 before the first.
    looked: AtomicU64,
    pub metrics: Arc<Metrics>,
}

impl Outage {
    /// Makes it for a node that has not looked yet.
    pub fn new(config: &store::Config, metrics: Arc<Metrics>) -> Self {
        Self {
            breaker: Breaker::new(),
            ended: EndedSessions::new(config.outage_memory_mib),
            owed: OwedEnds::default(),
            followers: Followers::new(),
            store: config.name(),
            mode: config.outage,
            limit: config.outage_limit,
            patience: config.timeout / 2,
            why: RwLock::default(),
            reported: AtomicBool::new(false),
            since: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            metrics,
        }
    }

    /// Returns the longest time for which this node may answer without the store; `None` where it never does.
    pub fn longest(&self) -> Option<Duration> {
        (self.mode == OnOutage::Serve).then_some(self.limit)
    }

    /// Returns whether a request may be answered without the store at `now`.
    ///
    /// # Errors
    /// [`NotServed`].
    pub fn admit(&self, now: UnixMillis) -> Result<(), NotServed> {
        if self.mode == OnOutage::Refuse {
            return Err(NotServed::Refused);
        }
        let looked = self.ended.looked().ok_or(NotServed::NeverLooked)?;
        // A look that lies far ahead was made when the clock was wrong.
        if now.since(looked) >= self.limit || looked.since(now) > MAX_STEP {
            return Err(NotServed::TooLong(looked));
        }
        let is_told = self.ended.promised().is_some_and(|promised| now < promised);
        if is_told { Ok(()) } else { Err(NotServed::NotTold) }
    }

    /// Returns the time until which this node may answer without the store, where it looked at `looked` and looks no
    /// more for `longest_silence`; `None` where it never does.
    pub fn may_serve_until(&self, looked: UnixMillis, longest_silence: Duration) -> Option<UnixMillis> {
        (self.mode == OnOutage::Serve).then(|| looked.plus(self.limit).plus(longest_silence))
    }

    /// Publishes how far the other nodes have followed; `nodes` has this one, too.
    pub fn publish_followers(&self, own: &str, mut nodes: Vec<Follower>, since_boot: Duration) {
        nodes.retain(|node| node.node != own);
        self.followers.publish(Reports { own: own.to_owned(), others: nodes, read: Some(since_boot) });
    }

    /// Waits until every other node that may answer without the store knows what has ended by now, but not for long.
    /// Returns the nodes that may not know it yet. One node alone waits for nobody.
    pub async fn pending(&self, store: &dyn Store, clock: &ClockGuard) -> Pending {
        let reports = self.followers.reports();
        let reading = clock.read();
        if reports.is_alone(reading.wall, reading.boot) {
            return Pending::default();
        }
        let since = reading.wall.minus(ENDS_KEPT);
        let known = self.ask(Operation::Read, store.followers(since)).await;
        let mut known = known.unwrap_or(reports.others);
        known.retain(|node| node.node != reports.own);
        // Without a position none of them is known to have followed far enough.
        let position = self.ask(Operation::Read, store.ends_position()).await;
        let position = position.unwrap_or(EndsPosition(u64::MAX));
        self.followers.wait(position, reading.wall, &known).await
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
        let why = self.why.read().unwrap_or_else(PoisonError::into_inner);
        self.out_of_reach(&format!("{why} (known from an earlier request)"))
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
        let answer = if self.breaker.is_open(operation) {
            let answer = tokio::time::timeout(self.patience, call).await;
            answer.unwrap_or_else(|_| {
                Err(self.out_of_reach(&format!("a probe got no answer within {:?}", self.patience)))
            })
        } else {
            call.await
        };
        match &answer {
            Err(error) if error.is_outage() => self.learn(operation, error),
            _ => self.breaker.close(operation),
        }
        answer
    }

    /// Makes the error of a store that is not asked.
    pub fn out_of_reach(&self, why: &str) -> StoreError {
        StoreError::OutOfReach { store: self.store.clone(), why: why.to_owned() }
    }

    fn learn(&self, operation: Operation, error: &StoreError) {
        let StoreError::OutOfReach { why, .. } = error else { return };
        self.why.write().unwrap_or_else(PoisonError::into_inner).clone_from(why);
        if self.breaker.open(operation) {
            self.report_fault(error);
        }
    }

    /// Logs a fault of the store and raises the alarm, unless one is reported already.
    pub fn report_fault(&self, error: &StoreError) {
        if !self.reported.swap(true, Ordering::AcqRel) {
            if error.is_outage() {
                tracing::error!(why = %error, "the store is out of reach");
            } else {
                tracing::error!(why = %error, "the store cannot be used");
            }
            self.metrics.alarm(Alarm::Store);
        }
    }

    /// Logs that the store can be read and written again, where a fault is reported.
    pub fn report_recovery(&self) {
        if self.reported.swap(false, Ordering::AcqRel) {
            tracing::info!("the store answers again");
        }
    }

    /// Records the time since boot at which a complete look began.
    pub fn record_look(&self, since_boot: Duration) {
        self.looked.store(millis(since_boot), Ordering::Relaxed);
    }

    /// Exports for how long the store has been out of reach, and what is known of what has ended, at this time since boot.
    pub fn export(&self, since_boot: Duration) {
        self.export_outage(since_boot);
        self.export_staleness(since_boot);
        let (_, bytes) = self.ended.size();
        self.metrics.ended_sessions(bytes, self.ended.coverage() == Coverage::All);
    }

    /// Exports how old the knowledge of what has ended is; before the first look, for how long this process has had none.
    fn export_staleness(&self, since_boot: Duration) {
        let now = millis(since_boot);
        let looked = self.looked.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).err().unwrap_or(now);
        self.metrics.revocation_staleness(Duration::from_millis(now.saturating_sub(looked)));
    }

    fn export_outage(&self, since_boot: Duration) {
        let now = millis(since_boot);
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

/// Whole milliseconds, never 0, which stands for none.
fn millis(since_boot: Duration) -> u64 {
    u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX).max(1)
}
