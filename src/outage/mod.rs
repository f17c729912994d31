//! Answers while the store is out of reach: what may be served, and what has ended all the same.
//!
//! [`breaker`] notices that the store is out of reach, so that a slow store costs one time-out and not one a request.
//! [`ended`] has what had ended when the store was last seen. [`Outage`] joins both for `issue`; `node` keeps them up to
//! date.

mod breaker;
mod ended;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginRecord,
        session::Ended,
    },
    store::{self, OnOutage, StoreError},
    telemetry::Metrics,
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

/// What a node needs to answer without the store.
pub struct Outage {
    pub breaker: Breaker,
    pub ended: EndedSessions,
    on_outage: OnOutage,
    limit: Duration,
    pub metrics: Arc<Metrics>,
}

impl Outage {
    /// Makes it for a node that has not looked yet.
    pub fn new(config: &store::Config, metrics: Arc<Metrics>) -> Self {
        Self {
            breaker: Breaker::new(),
            ended: EndedSessions::new(config.outage_memory_mib),
            on_outage: config.outage,
            limit: config.outage_limit,
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

    /// Asks the store, unless it is known to be out of reach. Notes what is learned of it.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::OutOfReach`] at once while the breaker is open.
    pub async fn ask<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.breaker.ask(operation, call).await
    }
}
