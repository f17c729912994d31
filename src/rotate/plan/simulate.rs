//! Simulation of the plan on a copy of the snapshot, as if every step succeeded.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    display::name_new_keys,
    rules::{due, next},
    snapshot::{Entry, KeySnapshot, Listing, Snapshot},
    step::{Blocker, Next, Observation, Step},
    transition::transition,
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid},
        key::{KeyRecord, KeyState},
        rotation::Goal,
    },
};

/// Upper bound of a forecast's rounds; three keys and some ten apps need fewer.
const LONGEST: usize = 400;
/// Time in which, by assumption, nodes and operators do their part.
const REACTION_TIME: Duration = Duration::from_secs(2);

/// Line of a forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Planned {
    /// Earliest time of the step, or of the wait.
    pub at: UnixMillis,
    /// Text of the step, or of the blocker.
    pub what: String,
    /// Reason of the step; empty for a wait.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The line is a wait.
    pub waits: bool,
}

/// Steps and waits to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Forecast {
    pub lines: Vec<Planned>,
    /// Time at which the next rotation is due by policy, after the last line.
    pub due: Option<UnixMillis>,
    /// Blockers that do not end by themselves; the lines end there.
    pub stuck: Vec<Blocker>,
}

/// Simulates the plan until nothing is left to do. Keys that are still to be made have no id in it.
pub fn forecast(snapshot: &Snapshot) -> Forecast {
    let mut simulated = snapshot.clone();
    let mut forecast = simulate_all(&mut simulated);
    let is_new = |kid: &&Kid| snapshot.key(kid).is_none();
    let new: Vec<Kid> = simulated.keys.iter().map(|key| &key.record.kid).filter(is_new).cloned().collect();
    for line in &mut forecast.lines {
        line.what = name_new_keys(&line.what, &new);
        line.why = name_new_keys(&line.why, &new);
    }
    forecast
}

fn simulate_all(snapshot: &mut Snapshot) -> Forecast {
    let mut lines = Vec::new();
    for _ in 0..LONGEST {
        let line = |what: String, why: String, waits| Planned { at: snapshot.now, what, why, waits };
        match next(snapshot) {
            Next::Do { step, reason } => {
                lines.push(line(step.to_string(), reason, false));
                simulate(snapshot, &step);
                // The next rotation is another forecast.
                if step == Step::Finish {
                    break;
                }
            }
            Next::Wait { blockers, until } => {
                // Nodes load a key within seconds, which needs no line of its own.
                let shown = blockers.iter().filter(|blocker| !matches!(blocker, Blocker::Nodes { .. }));
                lines.extend(shown.map(|blocker| line(blocker.to_string(), String::new(), true)));
                if !simulate_waiting(snapshot, &blockers, until) {
                    return Forecast { lines, due: None, stuck: blockers };
                }
            }
            Next::Idle { due } => return Forecast { lines, due, stuck: Vec::new() },
        }
    }
    Forecast { lines, due: due(snapshot), stuck: Vec::new() }
}

/// Changes the snapshot as a successful step does.
pub fn simulate(snapshot: &mut Snapshot, step: &Step) {
    match step {
        Step::Note { observations } => observations.iter().for_each(|observation| record(snapshot, observation)),
        Step::Generate => simulate_key(snapshot),
        Step::Publish { app, kid } => {
            let now = snapshot.now;
            let Some(app) = snapshot.apps.iter_mut().find(|known| known.app == *app) else { return };
            app.publications.entry(kid.clone()).or_default().asked = Some(now);
            if let Listing::Shown(entries) = &mut app.listing {
                let primary = entries.is_empty();
                entries.push(Entry { id: format!("new {}", kid.as_str()), kid: Some(kid.clone()), primary });
            }
        }
        Step::Promote { app, id, .. } => {
            change_list(snapshot, app, |entries| {
                for entry in entries {
                    entry.primary = entry.id == *id;
                }
            });
        }
        Step::Withdraw { app, kid, id } => {
            change_list(snapshot, app, |entries| entries.retain(|entry| entry.id != *id));
            if let Some(app) = snapshot.apps.iter_mut().find(|known| known.app == *app)
                && app.unlisted_id(kid) == Some(id)
            {
                app.publications.remove(kid);
            }
        }
        Step::Destroy { kid } => {
            snapshot.keys.iter_mut().filter(|key| key.record.kid == *kid).for_each(|key| key.destroyed = true);
        }
        Step::Begin | Step::Prove { .. } | Step::Activate { .. } | Step::Retire { .. } | Step::Finish => {}
    }
    if let Ok(Some(transition)) = transition(snapshot, step) {
        for (_, record) in transition.changes {
            snapshot
                .keys
                .iter_mut()
                .filter(|key| key.record.kid == record.kid)
                .for_each(|key| key.record = record.clone());
        }
        (snapshot.goal, snapshot.new_key) = (transition.goal, transition.new_key);
    }
}

/// Changes the publications as an observation says.
pub fn record(snapshot: &mut Snapshot, observation: &Observation) {
    let after = snapshot.publication_after(observation);
    let (app, kid) = observation.subject();
    let Some(app) = snapshot.apps.iter_mut().find(|known| known.app == *app) else { return };
    match after {
        Some(after) => drop(app.publications.insert(kid.clone(), after)),
        None => drop(app.publications.remove(kid)),
    }
}

fn change_list(snapshot: &mut Snapshot, app: &AppName, change: impl FnOnce(&mut Vec<Entry>)) {
    let listings = snapshot.apps.iter_mut().filter(|known| known.app == *app).map(|known| &mut known.listing);
    if let Some(Listing::Shown(entries)) = listings.into_iter().next() {
        change(entries);
    }
}

fn simulate_key(snapshot: &mut Snapshot) {
    // No thumbprint of a real key repeats one byte.
    let number = u8::MAX.saturating_sub(u8::try_from(snapshot.keys.len()).unwrap_or(0));
    let record = KeyRecord {
        kid: Kid::from_thumbprint(&[number; 32]),
        ring: snapshot.ring.clone(),
        state: KeyState::Pending,
        bits: 2048,
        public_key: String::new(),
        custody: String::new(),
        locator: String::new(),
        created: snapshot.now,
        changed: snapshot.now,
    };
    if snapshot.goal == Goal::Rotating {
        snapshot.new_key = Some(record.kid.clone());
    }
    snapshot.keys.push(KeySnapshot { record, destroyed: false, tokens_until: None });
}

/// Waits, and lets nodes and operators do their part within [`REACTION_TIME`]. Returns `false` where the end of the
/// wait is unknown.
fn simulate_waiting(snapshot: &mut Snapshot, blockers: &[Blocker], until: Option<UnixMillis>) -> bool {
    let mut helped = false;
    for blocker in blockers {
        helped |= match blocker {
            Blocker::Nodes { kid, .. } => simulate_loaded(snapshot, kid),
            Blocker::Paste { app, kid } => {
                record(snapshot, &Observation::Attested { app: app.clone(), kid: kid.clone() });
                true
            }
            Blocker::Remove { app, kid } => {
                record(snapshot, &Observation::Removed { app: app.clone(), kid: kid.clone() });
                true
            }
            _ => false,
        };
    }
    match until {
        _ if helped => snapshot.now = snapshot.now.plus(REACTION_TIME),
        Some(until) => snapshot.now = snapshot.now.plus(until.since(snapshot.now)),
        None => return false,
    }
    true
}

fn simulate_loaded(snapshot: &mut Snapshot, kid: &Kid) -> bool {
    for node in &mut snapshot.nodes {
        node.loaded.insert(kid.clone());
    }
    true
}
