//! State of one ring at one time, and queries on it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::step::Observation;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid, RingName},
        key::{KeyRecord, KeyState},
        rotation::{Goal, Publication},
    },
    rotate::config::Config,
};

/// Number of keys that an app of Braze holds at most (Braze, "SDK authentication").
pub const SLOTS: usize = 3;

/// Key of the ring, with the facts that the plan needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySnapshot {
    pub record: KeyRecord,
    /// The private half is destroyed.
    pub destroyed: bool,
    /// Latest end of a token that a node may have signed with it.
    pub tokens_until: Option<UnixMillis>,
}

/// Key that an app of Braze lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Braze's id of the key.
    pub id: String,
    /// Our id of the key; `None`: it is not ours.
    pub kid: Option<Kid>,
    /// The key is the app's primary key.
    pub primary: bool,
}

/// Keys of an app at Braze, by their source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Braze's present list.
    Shown(Vec<Entry>),
    /// Braze gave no list, for this reason.
    Silent(String),
    /// No REST access is configured: operators attest which keys are there.
    Attested,
}

/// App of the ring, with its keys at Braze and on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSnapshot {
    pub app: AppName,
    pub listing: Listing,
    /// Record of each key at this app.
    pub publications: BTreeMap<Kid, Publication>,
}

/// Live node, with the keys that it has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSnapshot {
    pub node: String,
    /// Keys that the node could sign with at once.
    pub loaded: BTreeSet<Kid>,
}

/// Everything that the plan for one ring depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub ring: RingName,
    pub now: UnixMillis,
    pub policy: Config,
    pub goal: Goal,
    /// Key that the rotation in progress has made.
    pub new_key: Option<Kid>,
    pub keys: Vec<KeySnapshot>,
    pub apps: Vec<AppSnapshot>,
    /// Nodes that are alive.
    pub nodes: Vec<NodeSnapshot>,
}

impl Snapshot {
    /// Returns the key that signs.
    pub fn active(&self) -> Option<&KeySnapshot> {
        self.keys.iter().find(|key| key.record.state == KeyState::Active)
    }

    /// Returns a key on record.
    pub fn key(&self, kid: &Kid) -> Option<&KeySnapshot> {
        self.keys.iter().find(|key| key.record.kid == *kid)
    }

    /// Returns whether no key signs, so that waiting does more harm than haste.
    pub fn is_emergency(&self) -> bool {
        self.active().is_none()
    }

    /// Returns whether every app was shown, or is attested, to hold a key.
    pub fn is_held_everywhere(&self, kid: &Kid) -> bool {
        self.apps.iter().all(|app| app.shown(kid).is_some())
    }

    /// Returns the ring's keys in a state, oldest change first.
    pub(super) fn in_state(&self, state: KeyState) -> Vec<&KeySnapshot> {
        let mut keys: Vec<&KeySnapshot> = self.keys.iter().filter(|key| key.record.state == state).collect();
        keys.sort_by_key(|key| (key.record.changed, key.record.kid.clone()));
        keys
    }

    /// Returns the nodes that have not loaded a key.
    pub(super) fn nodes_without(&self, kid: &Kid) -> Vec<String> {
        self.nodes.iter().filter(|node| !node.loaded.contains(kid)).map(|node| node.node.clone()).collect()
    }

    /// Returns the time since which every app has been shown to hold a key. For an app without a list now, its last
    /// list counts only where `by_record` is set.
    pub(super) fn proven(&self, kid: &Kid, by_record: bool) -> Option<UnixMillis> {
        let since = |app: &AppSnapshot| app.holds(kid, by_record);
        self.apps.iter().map(since).try_fold(UnixMillis(i64::MIN), |latest, since| Some(latest.max(since?)))
    }

    /// Returns whether a key may sign after its soak: proven everywhere, loaded by every live node.
    fn ready(&self, kid: &Kid, by_record: bool) -> bool {
        self.proven(kid, by_record).is_some() && self.nodes_without(kid).is_empty()
    }

    /// Returns a key that may take over at once, without its soak. For an app without a list now, its last list counts
    /// only where `by_record` is set.
    pub(super) fn successor(&self, by_record: bool) -> Option<&KeySnapshot> {
        let ready = |state| self.in_state(state).into_iter().find(|key| self.ready(&key.record.kid, by_record));
        ready(KeyState::Published).or_else(|| ready(KeyState::Retiring))
    }

    /// Returns the time until which a key that Braze was asked for at `asked` may appear in its list. Also while no key
    /// signs: a second request would make a duplicate, and duplicates use up the slots of the app.
    pub(super) fn settled(&self, asked: UnixMillis) -> UnixMillis {
        asked.plus(self.policy.soak)
    }

    /// Returns whether a key must be deleted at Braze.
    pub(super) fn must_be_withdrawn(&self, kid: &Kid) -> bool {
        self.key(kid).is_some_and(|key| matches!(key.record.state, KeyState::Retired | KeyState::Compromised))
    }

    /// Returns the record of a key at an app after an observation; `None`: there is no record of it any more.
    pub fn publication_after(&self, observation: &Observation) -> Option<Publication> {
        let (app, kid) = observation.subject();
        let app = self.apps.iter().find(|known| known.app == *app);
        let known = app.and_then(|app| app.publications.get(kid));
        let asked = known.and_then(|known| known.asked);
        let shown = Some(self.now);
        match observation {
            Observation::Shown { id, .. } => Some(Publication { asked, shown, braze_id: Some(id.clone()) }),
            Observation::Assumed { .. } => Some(Publication { asked: None, shown, braze_id: None }),
            Observation::Attested { .. } => {
                let shown = known.and_then(|known| known.shown).or(shown);
                Some(Publication { asked: None, shown, braze_id: None })
            }
            Observation::Removed { .. } => None,
            // Lists of Braze may differ for a while, so that the request still counts.
            Observation::Gone { .. } => asked
                .filter(|asked| self.now < self.settled(*asked) && !self.must_be_withdrawn(kid))
                .map(|asked| Publication { asked: Some(asked), ..Publication::default() }),
        }
    }

    /// Returns the keys that Braze gave an id when it was asked to add them to an app, each with that id, and has not
    /// listed for the soak.
    pub(in crate::rotate) fn unlisted<'a>(
        &'a self,
        app: &'a AppSnapshot,
    ) -> impl Iterator<Item = (&'a Kid, &'a String)> {
        let is_late = |asked: UnixMillis| self.settled(asked) <= self.now;
        let late = app.publications.iter().filter(move |(_, known)| known.asked.is_none_or(is_late));
        late.filter_map(|(kid, _)| Some((kid, app.unlisted_id(kid)?)))
    }
}

impl AppSnapshot {
    /// Returns the entries of Braze's list; none where there is no list.
    pub fn entries(&self) -> &[Entry] {
        match &self.listing {
            Listing::Shown(entries) => entries,
            Listing::Silent(_) | Listing::Attested => &[],
        }
    }

    /// Returns the entry of one key.
    pub(super) fn entry(&self, kid: &Kid) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.kid.as_ref() == Some(kid))
    }

    /// Returns the time since which the app is on record as holding a key.
    pub(super) fn shown(&self, kid: &Kid) -> Option<UnixMillis> {
        self.publications.get(kid).and_then(|publication| publication.shown)
    }

    /// Returns the time since which the app has been shown to hold a key, where it holds it now.
    pub(super) fn holds(&self, kid: &Kid, by_record: bool) -> Option<UnixMillis> {
        let shown = self.shown(kid);
        match &self.listing {
            Listing::Shown(entries) if entries.iter().any(|entry| entry.kid.as_ref() == Some(kid)) => shown,
            Listing::Attested => shown,
            Listing::Silent(_) if by_record => shown,
            Listing::Shown(_) | Listing::Silent(_) => None,
        }
    }

    /// Returns Braze's id of a key that Braze has not listed since it answered with the id.
    pub(in crate::rotate) fn unlisted_id(&self, kid: &Kid) -> Option<&String> {
        let known = self.publications.get(kid).filter(|known| known.shown.is_none() && self.entry(kid).is_none())?;
        known.braze_id.as_ref()
    }

    /// Returns the number of slots in use. A slot that was asked for after `settled_before`, or that Braze gave an id,
    /// counts, even while it is not listed.
    pub(super) fn slots_taken(&self, settled_before: UnixMillis) -> usize {
        let counts = |(kid, publication): &(&Kid, &Publication)| {
            if self.listing == Listing::Attested {
                return publication.shown.is_some();
            }
            let may_appear = publication.asked.is_some_and(|asked| asked > settled_before);
            self.unlisted_id(kid).is_some() || (self.entry(kid).is_none() && may_appear)
        };
        self.entries().len() + self.publications.iter().filter(counts).count()
    }
}
