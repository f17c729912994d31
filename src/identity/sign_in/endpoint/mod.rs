//! Endpoint that is asked about opaque credentials: the calls to it, their bound, their faults, the answers that are
//! kept.

mod fault;
mod shares;

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};

use self::{fault::FaultLog, shares::Shares};
use super::{
    CredentialRefusal, NotSignedIn,
    answers::{Accepted, Answers, Outcome, unavailable},
    outbound::{JsonAnswer, Outbound, OutboundError},
    strict_json,
};
use crate::{
    address::outbound::Destination,
    clock::{ClockGuard, UnixMillis},
    domain::ids::AppName,
    identity::AppUser,
};

pub(super) use self::fault::Fault;

/// Calls that an endpoint gets at a time. Beyond them the answer is 503, so that a slow endpoint holds few of the
/// service's requests.
const CALLS: usize = 64;
/// Longest wait for one of the calls to end.
const WAIT: Duration = Duration::from_secs(1);

/// Reads the JSON object of an answer. Its content type must say that it is JSON (RFC 7662 §2.2).
///
/// # Errors
/// [`Fault::Unreadable`].
pub(super) fn object(answer: &JsonAnswer) -> Result<Value, Fault> {
    if !answer.says_json() {
        return Err(Fault::Unreadable("its content type is not application/json".to_owned()));
    }
    strict_json::object(&answer.body).map_err(Fault::Unreadable)
}

/// Parts that all endpoints share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) answers: Arc<Answers>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) clock: Arc<ClockGuard>,
}

/// Reason why a question accepted nobody.
#[derive(Debug, PartialEq)]
pub(super) enum NotAccepted {
    Refused(CredentialRefusal),
    Fault(Fault),
    Other(NotSignedIn),
}

impl From<CredentialRefusal> for NotAccepted {
    fn from(refusal: CredentialRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for NotAccepted {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Endpoint of one app that is asked about credentials.
pub(super) struct Endpoint {
    app: AppName,
    url: String,
    allow_private_addresses: bool,
    /// Number of this endpoint among all that were made: another one follows at each reload.
    number: u64,
    shared: Shared,
    calls: Semaphore,
    shares: Shares,
    log: FaultLog,
}

impl Endpoint {
    pub(super) fn new(app: AppName, url: &str, allow_private_addresses: bool, shared: Shared) -> Self {
        let number = shared.answers.next_verifier();
        let calls = Semaphore::new(CALLS);
        let (of_networks, log) = (Shares::default(), FaultLog::default());
        Self { app, url: url.to_owned(), allow_private_addresses, number, shared, calls, shares: of_networks, log }
    }

    /// App whose credentials these are.
    pub(super) fn app(&self) -> &AppName {
        &self.app
    }

    /// Client for the calls.
    pub(super) fn outbound(&self) -> &Outbound {
        &self.shared.outbound
    }

    /// Destination of the calls.
    ///
    /// # Errors
    /// [`OutboundError::Url`].
    pub(super) fn destination(&self) -> Result<Destination, OutboundError> {
        Destination::configured(&self.url, self.allow_private_addresses)
            .map_err(|why| OutboundError::Url { url: self.url.clone(), why })
    }

    /// Time, if it may be judged by.
    ///
    /// # Errors
    /// [`NotSignedIn::ClockStopped`].
    pub(super) fn now(&self) -> Result<UnixMillis, NotAccepted> {
        self.shared.clock.trusted_now().map_err(|stopped| NotAccepted::Other(stopped.into()))
    }

    /// Returns the kept answer about a credential, or asks. `question` gets the verifier and the time.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn get_or_ask<Verifier, Question>(
        verifier: &Arc<Verifier>,
        credential: &[&str],
        source: Option<IpAddr>,
        question: impl FnOnce(Arc<Verifier>, UnixMillis) -> Question,
    ) -> Result<AppUser, NotSignedIn>
    where
        Verifier: AsRef<Self> + Send + Sync + 'static,
        Question: Future<Output = Result<Accepted, NotAccepted>> + Send + 'static,
    {
        let this: &Self = (**verifier).as_ref();
        let now = this.shared.clock.trusted_now()?;
        let Ok(key) = this.shared.answers.key(&this.app, this.number, credential) else {
            tracing::error!("the system's random generator failed");
            return Err(unavailable("the system's random generator failed"));
        };
        let ask = || {
            let question = question(Arc::clone(verifier), now);
            let verifier = Arc::clone(verifier);
            async move { (*verifier).as_ref().call(source, question).await }
        };
        this.shared.answers.get_or_ask(key, now, ask).await
    }

    /// Asks one question, within the bounds on calls.
    async fn call(
        &self,
        source: Option<IpAddr>,
        question: impl Future<Output = Result<Accepted, NotAccepted>>,
    ) -> Outcome {
        let answer = match self.shares.take(source) {
            Some(_share) => match timeout(WAIT, self.calls.acquire()).await {
                Ok(Ok(_permit)) => question.await,
                _ => Err(Fault::Busy { calls: CALLS }.into()),
            },
            None => Err(Fault::BusyWithNetwork.into()),
        };
        match &answer {
            Err(NotAccepted::Fault(fault)) => {
                self.log.fault(self.app.as_str(), &self.url, fault, self.shared.clock.read().boot);
            }
            Err(NotAccepted::Other(_)) => {}
            Ok(_) | Err(NotAccepted::Refused(_)) => self.log.answered(self.app.as_str(), &self.url),
        }
        answer.map_err(|error| match error {
            NotAccepted::Refused(refusal) => NotSignedIn::Refused(refusal),
            NotAccepted::Fault(fault) => unavailable(format!("{}: {fault}", self.url)),
            NotAccepted::Other(error) => error,
        })
    }
}
