//! Decision which keys of a provider may verify a credential, and when its key set is fetched. Pure: every fact, the
//! time too, is an argument. Times are boot times, which never go back and do not follow a clock that was set.
//!
//! A `kid` is refused only by a set of which the fetch began after the `kid` was first seen: an older set cannot have a
//! key that is newer. Fetches are numbered, and a `kid` is seen after so many of them, so equal times do no harm.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jsonwebtoken::DecodingKey;

use super::{WantedKey, keys::UsableKey};

/// Shortest time between the beginnings of two fetches.
pub(super) const FETCH_INTERVAL: Duration = Duration::from_secs(30);
/// Time after a failed fetch in which requests use the old set without waiting for the next fetch.
const FAILURE_IS_RECENT: Duration = Duration::from_mins(1);
/// Number of keys that are tried for one credential.
const MAX_CANDIDATES: usize = 4;
/// Number of `kid`s that are remembered as missing. One that is not remembered counts as seen for the first time each
/// time, so it waits where it could be refused; it is never refused where it could be accepted.
const MAX_REMEMBERED: usize = 1024;

/// Number of a fetch: the first one is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FetchNumber(u64);

/// Number of fetches that had begun when a `kid` was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeenAfter(u64);

/// Next act for a credential.
#[derive(Clone, Debug)]
pub(super) enum Decision {
    /// Try these keys; none of them: refuse the credential. `refresh`: begin a fetch, and do not wait for it.
    Try { keys: Vec<Arc<DecodingKey>>, refresh: bool },
    /// Begin a fetch, wait for it, decide again.
    Fetch,
    /// Wait for the fetch in flight, decide again.
    Wait,
    /// Say that the keys are out of reach for so long: the time to the next allowed fetch.
    Unavailable(Duration),
}

/// Key set that was fetched.
#[derive(Clone, Debug)]
pub(super) struct KeySet {
    pub(super) keys: Vec<UsableKey>,
    /// Time from the beginning of the fetch in which the set is fresh.
    pub(super) fresh_for: Duration,
}

/// A provider's key set, and the record of its fetches.
#[derive(Debug)]
pub(super) struct KeySetState {
    max_stale: Duration,
    loaded: Option<Loaded>,
    begun: u64,
    last_begun: Option<Duration>,
    in_flight: bool,
    last_failed: Option<Duration>,
    missing: HashMap<Option<Box<str>>, SeenAfter>,
}

#[derive(Debug)]
struct Loaded {
    set: KeySet,
    number: FetchNumber,
    begun: Duration,
}

impl KeySetState {
    /// State before the first fetch.
    pub(super) fn new(max_stale: Duration) -> Self {
        Self {
            max_stale,
            loaded: None,
            begun: 0,
            last_begun: None,
            in_flight: false,
            last_failed: None,
            missing: HashMap::new(),
        }
    }

    /// Notes that a credential asks for a key; each of its decisions gets the result.
    pub(super) fn seen(&mut self, wanted: WantedKey<'_>) -> SeenAfter {
        let now = SeenAfter(self.begun);
        if self.loaded.as_ref().is_some_and(|loaded| loaded.set.find(wanted).is_some()) {
            return now;
        }
        let kid = wanted.kid.map(Box::from);
        match self.missing.get(&kid) {
            Some(before) => *before,
            None if self.missing.len() < MAX_REMEMBERED => *self.missing.entry(kid).or_insert(now),
            None => now,
        }
    }

    /// Decides on a credential.
    pub(super) fn decide(&self, wanted: WantedKey<'_>, seen: SeenAfter, now: Duration) -> Decision {
        let usable = |loaded: &&Loaded| loaded.age(now) <= self.max_stale;
        let Some(loaded) = self.loaded.as_ref().filter(usable) else { return self.reload(now) };
        match loaded.set.find(wanted) {
            Some(keys) => self.known(loaded, keys, now),
            None if self.may_fetch(now) => Decision::Fetch,
            None if loaded.number.0 > seen.0 => Decision::Try { keys: Vec::new(), refresh: false },
            None => self.reload(now),
        }
    }

    fn known(&self, loaded: &Loaded, keys: Vec<Arc<DecodingKey>>, now: Duration) -> Decision {
        let lifetime = loaded.set.fresh_for.min(self.max_stale);
        let age = loaded.age(now);
        let failed = self.last_failed.is_some_and(|failed| now.saturating_sub(failed) <= FAILURE_IS_RECENT);
        if age > lifetime && !failed && (self.in_flight || self.may_fetch(now)) {
            return self.reload(now);
        }
        let ahead = age >= lifetime * 4 / 5;
        Decision::Try { keys, refresh: ahead && self.may_fetch(now) }
    }

    fn reload(&self, now: Duration) -> Decision {
        if self.in_flight {
            Decision::Wait
        } else if self.may_fetch(now) {
            Decision::Fetch
        } else {
            Decision::Unavailable(self.time_to_next_fetch(now))
        }
    }

    /// Returns true where a fetch may begin.
    pub(super) fn may_fetch(&self, now: Duration) -> bool {
        !self.in_flight && self.last_begun.is_none_or(|begun| now.saturating_sub(begun) >= FETCH_INTERVAL)
    }

    /// Returns the time to the next allowed fetch, at least a second.
    pub(super) fn time_to_next_fetch(&self, now: Duration) -> Duration {
        let next = self.last_begun.map_or(now, |begun| begun + FETCH_INTERVAL);
        next.saturating_sub(now).max(Duration::from_secs(1))
    }

    /// Records that a fetch begins.
    pub(super) fn begin(&mut self, now: Duration) -> FetchNumber {
        self.begun += 1;
        self.last_begun = Some(now);
        self.in_flight = true;
        FetchNumber(self.begun)
    }

    /// Records the end of the fetch in flight; `None`: it failed.
    pub(super) fn end(&mut self, number: FetchNumber, set: Option<KeySet>, now: Duration) {
        self.in_flight = false;
        let (Some(set), Some(begun)) = (set, self.last_begun) else {
            self.last_failed = Some(now);
            return;
        };
        self.last_failed = None;
        // What is forgotten is seen for the first time again, so that random kids do not fill the memory for good.
        let before = self.loaded.as_ref().map_or(0, |loaded| loaded.number.0);
        self.missing.retain(|_, seen| seen.0 >= before);
        self.loaded = Some(Loaded { set, number, begun });
    }
}

impl Loaded {
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.begun)
    }
}

impl KeySet {
    /// Returns the keys for a credential; `None` where the set has no key of its `kid`, or, without a `kid`, none that
    /// fits.
    pub(super) fn find(&self, wanted: WantedKey<'_>) -> Option<Vec<Arc<DecodingKey>>> {
        let named = |key: &&UsableKey| wanted.kid.is_none_or(|kid| key.kid() == Some(kid));
        let fitting = self.keys.iter().filter(named).filter(|key| key.fits(wanted.algorithm));
        let keys: Vec<_> = fitting.take(MAX_CANDIDATES).map(|key| Arc::clone(key.decoded())).collect();
        let known = if wanted.kid.is_some() { self.keys.iter().any(|key| named(&key)) } else { !keys.is_empty() };
        known.then_some(keys)
    }
}
