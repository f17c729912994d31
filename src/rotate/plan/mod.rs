//! What to do next for one ring, decided purely: (keys on record, what Braze lists, what nodes have loaded, policy, now)
//! → one step with its reason, or what is waited for and until when.
//!
//! The plan looks at how things are, not at what it did before. So it may be asked again after a crash, on another node,
//! or after somebody's hand in Braze's dashboard, and goes on from there. The rules that it keeps in every case:
//!
//! * a key signs only after every app of the ring was shown to hold it and every live node has loaded it;
//! * no app is ever asked to hold more than [`SLOTS`] keys;
//! * the primary key of an app, and the key that signs, are never withdrawn;
//! * a private half is destroyed only when no token of it can be alive, or when it is compromised.

mod braze_rules;
mod display;
mod rules;
mod simulate;
mod step;
mod transition;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid, RingName},
        key::{KeyRecord, KeyState},
        rotation::{Goal, Publication},
    },
};

pub use simulate::{Forecast, Planned};
pub use step::{Blocker, Next, Observation, Step};
pub use transition::{Refusal, Transition};

/// How many keys an app of Braze holds at most.
pub const SLOTS: usize = 3;

/// How a ring is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a key signs before its successor is begun; `None`: only when an operator asks.
    pub every: Option<Duration>,
    /// How long every app has shown a key before it signs. Braze advises 5 minutes between calls that depend on each other.
    pub soak: Duration,
    /// How long after its last token's end a key is still kept at Braze.
    pub margin: Duration,
    /// The longest life of a token of this ring.
    pub longest_life: Duration,
    /// Whether a published key is kept ready beside the one that signs.
    pub standby: bool,
}

/// A key, as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySnapshot {
    /// What is on record.
    pub record: KeyRecord,
    /// Whether its private half is destroyed.
    pub destroyed: bool,
    /// The latest end of a token that a node may have signed with it.
    pub tokens_until: Option<UnixMillis>,
}

/// A key that an app of Braze lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Braze's own id for it.
    pub id: String,
    /// Which of our keys it is; `None`: none of them.
    pub kid: Option<Kid>,
    /// Whether it is the app's primary key.
    pub primary: bool,
}

/// How an app's keys at Braze are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Braze listed them just now.
    Shown(Vec<Entry>),
    /// Braze does not say, for this reason.
    Silent(String),
    /// No REST access is configured: operators attest what is there.
    Attested,
}

/// An app of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSnapshot {
    /// Its name.
    pub app: AppName,
    /// What it holds now.
    pub listing: Listing,
    /// What is on record of each key there.
    pub publications: BTreeMap<Kid, Publication>,
}

/// A live node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSnapshot {
    /// Its name.
    pub node: String,
    /// The keys it could sign with at once.
    pub loaded: BTreeSet<Kid>,
}

/// Everything that the plan for one ring depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The ring.
    pub ring: RingName,
    /// The time.
    pub now: UnixMillis,
    /// How it is to be done.
    pub policy: Policy,
    /// What is to be reached.
    pub goal: Goal,
    /// The key that the rotation under way has made.
    pub new_key: Option<Kid>,
    /// The ring's keys.
    pub keys: Vec<KeySnapshot>,
    /// The ring's apps.
    pub apps: Vec<AppSnapshot>,
    /// The nodes that are alive.
    pub nodes: Vec<NodeSnapshot>,
}

impl Snapshot {
    /// The key that signs.
    pub fn active(&self) -> Option<&KeySnapshot> {
        self.keys.iter().find(|key| key.record.state == KeyState::Active)
    }

    /// A key on record.
    pub fn key(&self, kid: &Kid) -> Option<&KeySnapshot> {
        self.keys.iter().find(|key| key.record.kid == *kid)
    }

    /// The ring's keys in this state, oldest change first.
    fn in_state(&self, state: KeyState) -> Vec<&KeySnapshot> {
        let mut keys: Vec<&KeySnapshot> = self.keys.iter().filter(|key| key.record.state == state).collect();
        keys.sort_by_key(|key| (key.record.changed, key.record.kid.clone()));
        keys
    }

    /// The nodes that have not loaded a key.
    fn nodes_without(&self, kid: &Kid) -> Vec<String> {
        self.nodes.iter().filter(|node| !node.loaded.contains(kid)).map(|node| node.node.clone()).collect()
    }

    /// Since when every app has been shown to hold a key. Where Braze is silent, what it showed before counts only if
    /// `by_record` says so.
    fn proven(&self, kid: &Kid, by_record: bool) -> Option<UnixMillis> {
        let since = |app: &AppSnapshot| app.holds(kid, by_record);
        self.apps.iter().map(since).try_fold(UnixMillis(i64::MIN), |latest, since| Some(latest.max(since?)))
    }

    /// Whether a key may sign but for its soak: proven everywhere, loaded by every live node.
    fn ready(&self, kid: &Kid, by_record: bool) -> bool {
        self.proven(kid, by_record).is_some() && self.nodes_without(kid).is_empty()
    }
}

impl AppSnapshot {
    /// Since when the app has been shown to hold a key, and does so now.
    fn holds(&self, kid: &Kid, by_record: bool) -> Option<UnixMillis> {
        let shown = self.publications.get(kid).and_then(|publication| publication.shown);
        match &self.listing {
            Listing::Shown(entries) if entries.iter().any(|entry| entry.kid.as_ref() == Some(kid)) => shown,
            Listing::Attested => shown,
            Listing::Silent(_) if by_record => shown,
            Listing::Shown(_) | Listing::Silent(_) => None,
        }
    }

    /// What Braze lists for it; nothing where that is not known.
    pub fn entries(&self) -> &[Entry] {
        match &self.listing {
            Listing::Shown(entries) => entries,
            Listing::Silent(_) | Listing::Attested => &[],
        }
    }

    /// What it lists of one key.
    fn entry(&self, kid: &Kid) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.kid.as_ref() == Some(kid))
    }

    /// How many places are taken, those included that were asked for and are not listed yet.
    fn taken(&self, settled_before: UnixMillis) -> usize {
        let counts = |(kid, publication): &(&Kid, &Publication)| match self.listing {
            Listing::Attested => publication.shown.is_some(),
            _ => self.entry(kid).is_none() && publication.asked.is_some_and(|asked| asked > settled_before),
        };
        self.entries().len() + self.publications.iter().filter(counts).count()
    }
}
