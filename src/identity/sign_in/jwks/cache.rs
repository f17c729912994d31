//! Key set of one provider, in memory: one fetch at a time, and the requests that wait for it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::DecodingKey;
use tokio::sync::watch;

use super::{
    super::outbound::Outbound,
    KeysUnavailable, WantedKey,
    decision::{Decision, FetchNumber, KeySet, KeySetState},
    fetch::{FetchFault, Fetched, Provider},
    keys::UnusableKey,
};
use crate::clock::ClockGuard;

/// Decisions about one credential: it waits for a fetch that began before it came, and for one of its own.
const MAX_DECISIONS: usize = 4;
/// Least time between two lines about a key that the last set lacks.
const LACK_REMINDER: Duration = Duration::from_mins(1);

/// Key sets of one issuer.
pub(in super::super) struct ProviderKeys {
    shared: Arc<Shared>,
}

struct Shared {
    provider: Provider,
    outbound: Arc<Outbound>,
    /// Gives the boot time, which a stopped clock has, too.
    clock: Arc<ClockGuard>,
    held: Mutex<Held>,
}

struct Held {
    state: KeySetState,
    /// Changes when the fetch in flight ends.
    flight: watch::Receiver<()>,
    /// Keys that could not be used, as they were last reported.
    reported: Vec<UnusableKey>,
    /// Fault of the last fetch; `None` where it brought keys, and before the first.
    fault: Option<FetchFault>,
    /// Time of the last line about a key that the set lacks.
    lack_logged: Option<Duration>,
}

/// A fetch. It ends when this is dropped, so that no fetch stays in flight for ever.
struct Flight {
    shared: Arc<Shared>,
    number: FetchNumber,
    set: Option<KeySet>,
    /// Wakes those who wait, by being dropped after the end is recorded.
    _ended: watch::Sender<()>,
}

impl ProviderKeys {
    /// Makes an empty cache; the first credential fills it.
    pub(in super::super) fn new(provider: Provider, outbound: Arc<Outbound>, clock: Arc<ClockGuard>) -> Self {
        let state = KeySetState::new(provider.max_stale);
        let flight = watch::channel(()).1;
        let held = Mutex::new(Held { state, flight, reported: Vec::new(), fault: None, lack_logged: None });
        Self { shared: Arc::new(Shared { provider, outbound, clock, held }) }
    }

    /// Returns the keys that may have signed a credential, at most 4: those whose `kid`, `kty`, `use`, `key_ops`, `alg`
    /// and `crv` agree with the header. It is empty where a set fetched after the `kid` was first seen lacks it, and where
    /// the key of this `kid` is for other algorithms. A `kid` has at most [`MAX_KID`](super::MAX_KID) bytes: a longer one
    /// is refused when the header is read.
    ///
    /// # Errors
    /// [`KeysUnavailable`].
    pub(in super::super) async fn candidates(
        &self,
        wanted: WantedKey<'_>,
    ) -> Result<Vec<Arc<DecodingKey>>, KeysUnavailable> {
        let seen = self.shared.held().state.seen(wanted);
        for _ in 0..MAX_DECISIONS {
            let mut flight = {
                let mut held = self.shared.held();
                let now = self.shared.clock.read().boot;
                match held.state.decide(wanted, seen, now) {
                    Decision::Try { keys, refresh } => {
                        let begun = refresh.then(|| self.shared.begin(&mut held));
                        drop(held);
                        begun.into_iter().for_each(Flight::start);
                        return Ok(keys);
                    }
                    Decision::Fetch => {
                        let begun = self.shared.begin(&mut held);
                        let flight = held.flight.clone();
                        drop(held);
                        begun.start();
                        flight
                    }
                    Decision::Wait => held.flight.clone(),
                    Decision::Unavailable(retry_after) => {
                        return Err(held.unavailable(&self.shared.provider.issuer, retry_after, now));
                    }
                }
            };
            // The sender never sends: it is dropped when the fetch has ended.
            let _ = flight.changed().await;
        }
        let now = self.shared.clock.read().boot;
        let mut held = self.shared.held();
        let retry_after = held.state.time_to_next_fetch(now);
        Err(held.unavailable(&self.shared.provider.issuer, retry_after, now))
    }
}

impl Held {
    /// Says why the keys are out of reach. A fault of a fetch has its line already; a key that the set lacks gets one, as
    /// nothing else tells an operator why logins wait.
    fn unavailable(&mut self, issuer: &str, retry_after: Duration, now: Duration) -> KeysUnavailable {
        if let Some(fault) = &self.fault {
            return KeysUnavailable { retry_after, why: fault.to_string() };
        }
        let seconds = retry_after.as_secs();
        let why = format!(
            "{issuer}: a credential names a key that the last key set lacks: the next fetch is allowed in {seconds} s"
        );
        if self.lack_logged.is_none_or(|logged| now.saturating_sub(logged) >= LACK_REMINDER) {
            self.lack_logged = Some(now);
            tracing::warn!(
                issuer,
                "a credential names a key that the last key set lacks: the next fetch is allowed in {seconds} s \
                 (one line a minute)"
            );
        }
        KeysUnavailable { retry_after, why }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a fetch begins. It is started without the lock: a runtime that stops drops the task where it is
    /// spawned, and the end of a flight takes the lock.
    fn begin(self: &Arc<Self>, held: &mut Held) -> Flight {
        let (ended, flight) = watch::channel(());
        held.flight = flight;
        let number = held.state.begin(self.clock.read().boot);
        Flight { shared: self.clone(), number, set: None, _ended: ended }
    }

    /// Logs faults: of a fetch each time (it is limited by the interval of fetches), of keys when they change.
    fn report(&self, fetched: Result<Fetched, FetchFault>) -> Option<KeySet> {
        let issuer = &self.provider.issuer;
        let Fetched { set, unusable, .. } = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                tracing::warn!(%issuer, %error, "the provider's key set could not be fetched");
                self.held().fault = Some(error);
                return None;
            }
        };
        let mut held = self.held();
        held.fault = None;
        if held.reported != unusable {
            for key in &unusable {
                tracing::warn!(%issuer, %key, "a key of the provider cannot be used");
            }
            held.reported = unusable;
        }
        Some(set)
    }
}

impl Flight {
    /// Fetches in a task of its own: a request that is given up must not end it.
    fn start(self) {
        let mut begun = self;
        tokio::spawn(async move {
            let fetched = begun.shared.provider.fetch(&begun.shared.outbound).await;
            begun.set = begun.shared.report(fetched);
            drop(begun);
        });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let now = self.shared.clock.read().boot;
        self.shared.held().state.end(self.number, self.set.take(), now);
    }
}
