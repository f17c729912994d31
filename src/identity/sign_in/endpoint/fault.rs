//! Faults of an endpoint that is asked about credentials. None of them is the user's: the answer is 503, and the log
//! says what to mend.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{super::outbound::OutboundError, shares::CALLS_OF_NETWORK};

/// Pause after which a fault that goes on is logged again.
const REMINDER: Duration = Duration::from_mins(1);
/// Least time between two lines: an endpoint whose faults come and go must not fill the log.
const PAUSE: Duration = Duration::from_secs(1);

/// Reason why an endpoint said nothing about a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Fault {
    #[error("all {calls} calls that it gets at a time wait for an answer: it is too slow for the logins of this app")]
    Busy { calls: usize },
    #[error("all {CALLS_OF_NETWORK} calls that it gets at a time for one client network wait for an answer")]
    BusyWithNetwork,
    #[error(
        "it refuses this service or its request ({status}): compare client_id, and the client secret or the key, with the provider's console; the client must be confidential and allowed to introspect tokens"
    )]
    ClientRefused { status: u16 },
    #[error("it answers with a redirect ({status}), which is never followed: set the URL that it leads to")]
    Moved { status: u16 },
    #[error(
        "its answer is signed or encrypted (RFC 9701), which is not accepted: let the provider answer this client with application/json"
    )]
    SignedAnswer,
    #[error("its answer is of another kind: {0}; is the URL right?")]
    Unreadable(String),
    #[error("no request could be made: {0}")]
    NoRequest(String),
    #[error("{0}")]
    NoAnswer(#[from] OutboundError),
}

/// Log of one endpoint's faults: each is logged once, again after a minute, and once more when it is over.
#[derive(Default)]
pub(super) struct FaultLog {
    last: Mutex<Option<Logged>>,
}

/// Fault that was logged last.
struct Logged {
    fault: Fault,
    since_boot: Duration,
    is_over: bool,
}

impl Logged {
    fn is_enough_for(&self, fault: &Fault, since_boot: Duration) -> bool {
        let pause = if self.fault == *fault && !self.is_over { REMINDER } else { PAUSE };
        since_boot < self.since_boot + pause
    }
}

impl FaultLog {
    /// Logs the fault of a call, if it is new. `since_boot` is the time of the call.
    pub(super) fn fault(&self, app: &str, endpoint: &str, fault: &Fault, since_boot: Duration) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.as_ref().is_some_and(|logged| logged.is_enough_for(fault, since_boot)) {
            *last = Some(Logged { fault: fault.clone(), since_boot, is_over: false });
            tracing::error!(app, endpoint, %fault, "a sign-in could not be verified");
        }
    }

    /// Logs that a fault is over.
    pub(super) fn answered(&self, app: &str, endpoint: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(logged) = last.as_mut().filter(|logged| !logged.is_over) {
            logged.is_over = true;
            tracing::info!(app, endpoint, "sign-ins can be verified again");
        }
    }
}
