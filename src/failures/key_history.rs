//! History of a signing key: its states, and its stays at Braze's apps.

use std::collections::BTreeMap;

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, RingName},
        key::KeyState,
    },
};

/// Facts about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    pub ring: RingName,
    pub state: KeyState,
    /// Public half in PEM.
    pub public_key: String,
    /// States with the times at which they began, oldest first. The log may have lost the oldest.
    pub changes: Vec<(UnixMillis, KeyState)>,
    /// Requests to add the key to an app, of which no answer and no list is known: the time of the last.
    pub asked: BTreeMap<AppName, UnixMillis>,
    /// Stays at each app, oldest first.
    pub stays: BTreeMap<AppName, Vec<Stay>>,
}

/// Time in which an app of Braze had a key, by its list or an operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    pub since: UnixMillis,
    pub end: StayEnd,
}

/// End of a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StayEnd {
    /// The key is there, as far as is known.
    Open,
    /// It was deleted then: by this service, or as an operator attested.
    At(UnixMillis),
    /// Braze's list no longer has it, and this service did not delete it. The time is not on record.
    Vanished,
}

impl Stay {
    /// Returns true where the key is there now, as far as is known.
    pub fn is_open(self) -> bool {
        self.end == StayEnd::Open
    }
}

impl KeyFacts {
    /// Returns the state at a time; `None` where the key did not exist yet, or the log has lost it.
    pub fn state_at(&self, time: UnixMillis) -> Option<KeyState> {
        self.changes.iter().rev().find(|(since, _)| *since <= time).map(|(_, state)| *state)
    }

    /// Returns the time of the last change into a state.
    pub fn entered(&self, state: KeyState) -> Option<UnixMillis> {
        self.changes.iter().rev().find(|(_, entered)| *entered == state).map(|(since, _)| *since)
    }

    /// Returns the last stay at an app.
    pub fn last_stay(&self, app: &AppName) -> Option<Stay> {
        self.stays.get(app)?.last().copied()
    }

    /// Returns true where an app has the key now, as far as is known.
    pub fn is_at(&self, app: &AppName) -> bool {
        self.last_stay(app).is_some_and(Stay::is_open)
    }
}
