//! The rules, in the order of their urgency. The first that has something to do, does it.

use std::time::Duration;

use super::{AppSnapshot, Blocker, KeySnapshot, Listing, Next, Observation, SLOTS, Snapshot, Step, display};
use crate::{
    clock::UnixMillis,
    domain::{ids::Kid, key::KeyState, rotation::Goal},
};

/// What one rule finds.
pub(super) enum Finding {
    /// Do this.
    Do(Step),
    /// This is in the way; other rules may still have something to do.
    Blocked(Vec<Blocker>),
}

use Finding::{Blocked, Do};

/// How long a lost answer is waited for where nothing signs; calls usually become consistent in 100 ms
/// (Braze, "API limits").
const HASTE: Duration = Duration::from_secs(10);

/// Nothing to do, nothing in the way.
pub(super) const CLEAR: Finding = Blocked(Vec::new());

const RULES: [fn(&Snapshot) -> Finding; 10] = [
    Snapshot::note,
    Snapshot::destroy_compromised,
    Snapshot::begin,
    Snapshot::repair,
    Snapshot::rotate,
    Snapshot::promote,
    Snapshot::withdraw,
    Snapshot::retire,
    Snapshot::destroy_retired,
    Snapshot::keep_standby,
];

impl Snapshot {
    /// What to do now.
    pub fn next(&self) -> Next {
        let mut blockers = Vec::new();
        for rule in RULES {
            match rule(self) {
                Do(step) => return self.with_reason(step),
                Blocked(more) => blockers.extend(more),
            }
        }
        if blockers.is_empty() && self.goal == Goal::CleaningUp {
            return self.with_reason(Step::Finish);
        }
        if !blockers.is_empty() {
            let until = blockers.iter().filter_map(Blocker::until).min();
            return Next::Wait { blockers, until };
        }
        Next::Idle { due: self.due() }
    }

    fn with_reason(&self, step: Step) -> Next {
        Next::Do { reason: display::reason(self, &step), step }
    }

    /// When the next rotation is due by policy.
    pub fn due(&self) -> Option<UnixMillis> {
        let every = self.policy.every?;
        Some(self.active().map_or(self.now, |active| active.record.changed.plus(every)))
    }

    /// Whether tokens cannot be signed at all, so that waiting harms more than haste.
    pub fn is_emergency(&self) -> bool {
        self.active().is_none()
    }

    fn note(&self) -> Finding {
        let observations: Vec<Observation> = self.apps.iter().flat_map(|app| self.observations(app)).collect();
        if observations.is_empty() { CLEAR } else { Do(Step::Note { observations }) }
    }

    fn observations(&self, app: &AppSnapshot) -> Vec<Observation> {
        let shown = |kid: &Kid| app.publications.get(kid).is_some_and(|known| known.shown.is_some());
        let entries = match &app.listing {
            Listing::Shown(entries) => entries,
            Listing::Silent(_) => return Vec::new(),
            Listing::Attested => {
                let signs = self.active().map(|key| key.record.kid.clone()).filter(|kid| !shown(kid));
                return signs.map(|kid| Observation::Assumed { app: app.app.clone(), kid }).into_iter().collect();
            }
        };
        let new = entries.iter().filter_map(|entry| {
            let kid = entry.kid.as_ref().filter(|kid| self.key(kid).is_some() && !shown(kid))?;
            Some(Observation::Shown { app: app.app.clone(), kid: kid.clone(), id: entry.id.clone() })
        });
        let gone = app.publications.iter().filter(|(kid, known)| known.shown.is_some() && app.entry(kid).is_none());
        new.chain(gone.map(|(kid, _)| Observation::Gone { app: app.app.clone(), kid: kid.clone() })).collect()
    }

    fn destroy_compromised(&self) -> Finding {
        self.destroy(KeyState::Compromised)
    }

    fn destroy_retired(&self) -> Finding {
        self.destroy(KeyState::Retired)
    }

    fn destroy(&self, state: KeyState) -> Finding {
        let key = self.in_state(state).into_iter().find(|key| !key.destroyed);
        key.map_or(CLEAR, |key| Do(Step::Destroy { kid: key.record.kid.clone() }))
    }

    fn begin(&self) -> Finding {
        let wanted = self.goal == Goal::Idle && self.due().is_some_and(|due| due <= self.now);
        let stuck = self.goal == Goal::CleaningUp && self.is_emergency();
        if wanted || stuck { Do(Step::Begin) } else { CLEAR }
    }

    /// A key whose tokens are alive, and that somebody deleted at Braze, is published again; at rest that is for an
    /// operator to say, who may have had a reason.
    fn repair(&self) -> Finding {
        if self.goal == Goal::Idle {
            return CLEAR;
        }
        let alive = [KeyState::Active, KeyState::Retiring].into_iter().flat_map(|state| self.in_state(state));
        for key in alive {
            for app in self.apps.iter().filter(|app| matches!(app.listing, Listing::Shown(_))) {
                if app.entry(&key.record.kid).is_none()
                    && let Do(step) = self.publish_at(app, &key.record.kid)
                {
                    return Do(step);
                }
            }
        }
        CLEAR
    }

    /// Brings the next key to sign.
    fn rotate(&self) -> Finding {
        if self.goal != Goal::Rotating {
            return CLEAR;
        }
        let Some(candidate) = self.candidate() else { return Do(Step::Generate) };
        let kid = &candidate.record.kid;
        let published = self.publish(candidate);
        if !matches!(&published, Blocked(blockers) if blockers.is_empty()) {
            return published;
        }
        let since = self.proven(kid, self.is_emergency()).unwrap_or(self.now);
        let until = since.plus(self.policy.soak);
        if !self.is_emergency() && self.now < until {
            return Blocked(vec![Blocker::Soak { kid: kid.clone(), until }]);
        }
        let nodes = self.nodes_without(kid);
        if !nodes.is_empty() {
            return Blocked(vec![Blocker::Nodes { kid: kid.clone(), nodes }]);
        }
        let retiring = self.active().map(|active| active.record.kid.clone());
        Do(Step::Activate { kid: kid.clone(), retiring })
    }

    /// The key that signs next: one that is published, else one that is on record; in an emergency, whatever may sign at
    /// once before anything else, a retiring key too.
    fn candidate(&self) -> Option<&KeySnapshot> {
        if self.is_emergency()
            && let Some(ready) = self.successor(true)
        {
            return Some(ready);
        }
        let next = |state| self.in_state(state).into_iter().next();
        next(KeyState::Published).or_else(|| next(KeyState::Pending))
    }

    /// A key that may take over at once, the soak aside. Where Braze is silent, what it showed before counts only if
    /// `by_record` says so.
    pub(super) fn successor(&self, by_record: bool) -> Option<&KeySnapshot> {
        let ready = |state| self.in_state(state).into_iter().find(|key| self.ready(&key.record.kid, by_record));
        ready(KeyState::Published).or_else(|| ready(KeyState::Retiring))
    }

    /// Sees to it that every app holds a key, and that this is on record.
    fn publish(&self, key: &KeySnapshot) -> Finding {
        let kid = &key.record.kid;
        let mut blockers = Vec::new();
        for app in &self.apps {
            if app.holds(kid, self.is_emergency()).is_some() {
                continue;
            }
            match self.publish_at(app, kid) {
                Do(step) => return Do(step),
                Blocked(more) => blockers.extend(more),
            }
        }
        if blockers.is_empty() && key.record.state == KeyState::Pending {
            return Do(Step::Prove { kid: kid.clone() });
        }
        Blocked(blockers)
    }

    /// How long an unanswered publication may yet appear in a list, before it is asked for once more.
    pub(super) fn settling(&self) -> Duration {
        if self.is_emergency() { self.policy.soak.min(HASTE) } else { self.policy.soak }
    }

    fn publish_at(&self, app: &AppSnapshot, kid: &Kid) -> Finding {
        let name = app.app.clone();
        if let Listing::Silent(why) = &app.listing {
            return Blocked(vec![Blocker::Silent { app: name, why: why.clone() }]);
        }
        let asked = app.publications.get(kid).and_then(|known| known.asked);
        if let Some(until) = asked.map(|asked| asked.plus(self.settling())).filter(|until| self.now < *until) {
            return Blocked(vec![Blocker::Settling { app: name, kid: kid.clone(), until }]);
        }
        if app.taken(self.now.minus(self.settling())) >= SLOTS {
            return Blocked(vec![Blocker::Full { app: name }]);
        }
        match app.listing {
            Listing::Attested => Blocked(vec![Blocker::Paste { app: name, kid: kid.clone() }]),
            _ => Do(Step::Publish { app: name, kid: kid.clone() }),
        }
    }

    /// A key whose last token is dead signs never again, once Braze was shown to hold its successor.
    fn retire(&self) -> Finding {
        let mut blockers = Vec::new();
        for key in self.in_state(KeyState::Retiring) {
            let kid = key.record.kid.clone();
            let until = self.tokens_dead(key);
            if self.now < until {
                blockers.push(Blocker::Tokens { kid, until });
                continue;
            }
            let in_the_way = self.without_successor(&kid);
            if in_the_way.is_empty() {
                return Do(Step::Retire { kid });
            }
            blockers.extend(in_the_way);
        }
        Blocked(blockers)
    }

    /// When the last token of a retiring key is dead, margin included.
    pub(super) fn tokens_dead(&self, key: &KeySnapshot) -> UnixMillis {
        let by_record = key.record.changed.plus(self.policy.longest_life);
        key.tokens_until.map_or(by_record, |until| until.max(by_record)).plus(self.policy.margin)
    }

    /// Why the key that signs cannot do without the one before it yet.
    fn without_successor(&self, key: &Kid) -> Vec<Blocker> {
        let Some(active) = self.active() else { return vec![Blocker::NoSuccessor { kid: key.clone() }] };
        let kid = &active.record.kid;
        let lacking = self.apps.iter().filter(|app| app.holds(kid, false).is_none());
        lacking
            .map(|app| match &app.listing {
                Listing::Silent(why) => Blocker::Silent { app: app.app.clone(), why: why.clone() },
                _ => Blocker::Missing { app: app.app.clone(), kid: kid.clone() },
            })
            .collect()
    }

    /// Keeps one published key ready beside the one that signs.
    fn keep_standby(&self) -> Finding {
        if !self.policy.standby || self.is_emergency() || self.goal == Goal::Rotating {
            return CLEAR;
        }
        match self.candidate() {
            Some(key) => self.publish(key),
            None => Do(Step::Generate),
        }
    }
}
