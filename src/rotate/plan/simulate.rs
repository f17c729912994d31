//! What would happen and when: the plan, played forward on itself as if everything went well.

use std::time::Duration;

use serde::Serialize;

use super::{Blocker, Entry, KeySnapshot, Listing, Next, Observation, Snapshot, Step};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::Kid,
        key::{KeyRecord, KeyState},
        rotation::Goal,
    },
};

/// Longer than any honest plan: three keys, some ten apps.
const LONGEST: usize = 400;
/// How long a forecast gives nodes and people for what is theirs to do.
const MOMENT: Duration = Duration::from_secs(2);

/// A line of the forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The earliest time of it.
    pub at: UnixMillis,
    /// What is done or waited for, in words.
    pub what: String,
    /// Why; nothing for a wait.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Whether this is a wait.
    pub waits: bool,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Line by line.
    pub lines: Vec<Planned>,
    /// When the next rotation is due by policy, once this is done.
    pub due: Option<UnixMillis>,
    /// What stops it for good, unless somebody does something; the lines end there.
    pub stuck: Vec<Blocker>,
}

impl Snapshot {
    /// Plays the plan forward until nothing is left to do.
    pub fn forecast(&self) -> Forecast {
        let mut snapshot = self.clone();
        let mut lines = Vec::new();
        for _ in 0..LONGEST {
            let line = |what: String, why: String, waits| Planned { at: snapshot.now, what, why, waits };
            match snapshot.next() {
                Next::Do { step, reason } => {
                    lines.push(line(step.to_string(), reason, false));
                    snapshot.simulate(&step);
                    // The next rotation is another forecast.
                    if step == Step::Finish {
                        break;
                    }
                }
                Next::Wait { blockers, until } => {
                    // Nodes report by themselves, within a moment: that is no line of its own.
                    let told = blockers.iter().filter(|blocker| !matches!(blocker, Blocker::Nodes { .. }));
                    lines.extend(told.map(|blocker| line(blocker.to_string(), String::new(), true)));
                    if !snapshot.simulate_waiting(&blockers, until) {
                        return Forecast { lines, due: None, stuck: blockers };
                    }
                }
                Next::Idle { due } => return Forecast { lines, due, stuck: Vec::new() },
            }
        }
        Forecast { lines, due: snapshot.due(), stuck: Vec::new() }
    }

    /// The snapshot after a step that goes well.
    pub fn simulate(&mut self, step: &Step) {
        match step {
            Step::Note { observations } => observations.iter().for_each(|observation| self.record(observation)),
            Step::Generate => self.simulate_key(),
            Step::Publish { app, kid } => {
                let now = self.now;
                let Some(app) = self.apps.iter_mut().find(|snapshot| snapshot.app == *app) else { return };
                app.publications.entry(kid.clone()).or_default().asked = Some(now);
                if let Listing::Shown(entries) = &mut app.listing {
                    let primary = entries.is_empty();
                    entries.push(Entry { id: format!("new {}", kid.as_str()), kid: Some(kid.clone()), primary });
                }
            }
            Step::Promote { app, id, .. } => {
                self.change_list(app, |entries| entries.iter_mut().for_each(|entry| entry.primary = entry.id == *id));
            }
            Step::Withdraw { app, id, .. } => self.change_list(app, |entries| entries.retain(|entry| entry.id != *id)),
            Step::Destroy { kid } => {
                self.keys.iter_mut().filter(|key| key.record.kid == *kid).for_each(|key| key.destroyed = true);
            }
            Step::Begin | Step::Prove { .. } | Step::Activate { .. } | Step::Retire { .. } | Step::Finish => {}
        }
        if let Ok(Some(transition)) = self.transition(step) {
            for (_, record) in transition.changes {
                self.keys
                    .iter_mut()
                    .filter(|key| key.record.kid == record.kid)
                    .for_each(|key| key.record = record.clone());
            }
            (self.goal, self.new_key) = (transition.goal, transition.new_key);
        }
    }

    /// Takes what an app shows into the publications.
    pub fn record(&mut self, observation: &Observation) {
        let now = self.now;
        let (Observation::Shown { app, kid, .. } | Observation::Assumed { app, kid } | Observation::Gone { app, kid }) =
            observation;
        let Some(app) = self.apps.iter_mut().find(|snapshot| snapshot.app == *app) else { return };
        match observation {
            Observation::Shown { id, .. } => {
                let known = app.publications.entry(kid.clone()).or_default();
                (known.shown, known.braze_id) = (Some(now), Some(id.clone()));
            }
            Observation::Assumed { .. } => app.publications.entry(kid.clone()).or_default().shown = Some(now),
            Observation::Gone { .. } => drop(app.publications.remove(kid)),
        }
    }

    fn change_list(&mut self, app: &crate::domain::ids::AppName, change: impl FnOnce(&mut Vec<Entry>)) {
        let listings =
            self.apps.iter_mut().filter(|snapshot| snapshot.app == *app).map(|snapshot| &mut snapshot.listing);
        if let Some(Listing::Shown(entries)) = listings.into_iter().next() {
            change(entries);
        }
    }

    fn simulate_key(&mut self) {
        // No hash of a real key looks like this.
        let number = u8::MAX.saturating_sub(u8::try_from(self.keys.len()).unwrap_or(0));
        let record = KeyRecord {
            kid: Kid::from_thumbprint(&[number; 32]),
            ring: self.ring.clone(),
            state: KeyState::Pending,
            bits: 2048,
            public_key: String::new(),
            custody: String::new(),
            locator: String::new(),
            created: self.now,
            changed: self.now,
        };
        if self.goal == Goal::Rotating {
            self.new_key = Some(record.kid.clone());
        }
        self.keys.push(KeySnapshot { record, destroyed: false, tokens_until: None });
    }

    /// Waits, as if all that others have to do were done in a moment. `false`: nobody can tell how this goes away.
    fn simulate_waiting(&mut self, blockers: &[Blocker], until: Option<UnixMillis>) -> bool {
        let mut helped = false;
        for blocker in blockers {
            helped |= match blocker {
                Blocker::Nodes { kid, .. } => self.simulate_loaded(kid),
                Blocker::Paste { app, kid } => {
                    self.record(&Observation::Assumed { app: app.clone(), kid: kid.clone() });
                    true
                }
                Blocker::Remove { app, kid } => {
                    self.record(&Observation::Gone { app: app.clone(), kid: kid.clone() });
                    true
                }
                _ => false,
            };
        }
        match until {
            _ if helped => self.now = self.now.plus(MOMENT),
            Some(until) => self.now = self.now.plus(until.since(self.now)),
            None => return false,
        }
        true
    }

    fn simulate_loaded(&mut self, kid: &Kid) -> bool {
        for node in &mut self.nodes {
            node.loaded.insert(kid.clone());
        }
        true
    }
}
