//! Rules, the most urgent first. The first rule that has a step decides.

use super::{
    braze_rules::{promote, withdraw},
    display::reason,
    outcome::RuleOutcome::{self, Blocked, Do},
    snapshot::{AppSnapshot, KeySnapshot, Listing, SLOTS, Snapshot},
    step::{Blocker, Next, Observation, Step},
};
use crate::{
    clock::UnixMillis,
    domain::{ids::Kid, key::KeyState, rotation::Goal},
};

const RULES: [fn(&Snapshot) -> RuleOutcome; 10] =
    [note, destroy_compromised, begin, repair, rotate, promote, withdraw, retire, destroy_retired, keep_standby];

/// Returns the next step with its reason, or the blockers, or that nothing is left to do.
pub fn next(snapshot: &Snapshot) -> Next {
    let mut blockers = Vec::new();
    for rule in RULES {
        match rule(snapshot) {
            Do(step) => return with_reason(snapshot, step),
            Blocked(more) => {
                for blocker in more {
                    if !blockers.contains(&blocker) {
                        blockers.push(blocker);
                    }
                }
            }
        }
    }
    if blockers.is_empty() && snapshot.goal == Goal::CleaningUp {
        return with_reason(snapshot, Step::Finish);
    }
    if !blockers.is_empty() {
        let until = blockers.iter().filter_map(Blocker::until).min();
        return Next::Wait { blockers, until };
    }
    Next::Idle { due: due(snapshot) }
}

fn with_reason(snapshot: &Snapshot, step: Step) -> Next {
    Next::Do { reason: reason(snapshot, &step), step }
}

/// Returns the time at which the next rotation is due by policy.
pub fn due(snapshot: &Snapshot) -> Option<UnixMillis> {
    let every = snapshot.policy.every?;
    Some(snapshot.active().map_or(snapshot.now, |active| active.record.changed.plus(every)))
}

fn note(snapshot: &Snapshot) -> RuleOutcome {
    let observations: Vec<Observation> = snapshot.apps.iter().flat_map(|app| observations(snapshot, app)).collect();
    if observations.is_empty() { RuleOutcome::CLEAR } else { Do(Step::Note { observations }) }
}

/// Returns the differences between an app's list and its record.
fn observations(snapshot: &Snapshot, app: &AppSnapshot) -> Vec<Observation> {
    let is_shown = |kid: &Kid| app.shown(kid).is_some();
    let entries = match &app.listing {
        Listing::Shown(entries) => entries,
        Listing::Silent(_) => return Vec::new(),
        Listing::Attested => {
            let signs = snapshot.active().map(|key| key.record.kid.clone()).filter(|kid| !is_shown(kid));
            return signs.map(|kid| Observation::Assumed { app: app.app.clone(), kid }).into_iter().collect();
        }
    };
    let new = entries.iter().filter_map(|entry| {
        let kid = entry.kid.as_ref().filter(|kid| snapshot.key(kid).is_some() && !is_shown(kid))?;
        // Of two copies the first one is recorded.
        app.entry(kid).filter(|first| first.id == entry.id)?;
        Some(Observation::Shown { app: app.app.clone(), kid: kid.clone(), id: entry.id.clone() })
    });
    let gone = app.publications.keys().filter(|kid| is_shown(kid) && app.entry(kid).is_none());
    new.chain(gone.map(|kid| Observation::Gone { app: app.app.clone(), kid: kid.clone() })).collect()
}

fn destroy_compromised(snapshot: &Snapshot) -> RuleOutcome {
    destroy(snapshot, KeyState::Compromised)
}

fn destroy_retired(snapshot: &Snapshot) -> RuleOutcome {
    destroy(snapshot, KeyState::Retired)
}

fn destroy(snapshot: &Snapshot, state: KeyState) -> RuleOutcome {
    let key = snapshot.in_state(state).into_iter().find(|key| !key.destroyed);
    key.map_or(RuleOutcome::CLEAR, |key| Do(Step::Destroy { kid: key.record.kid.clone() }))
}

fn begin(snapshot: &Snapshot) -> RuleOutcome {
    let wanted = snapshot.goal == Goal::Idle && due(snapshot).is_some_and(|due| due <= snapshot.now);
    let stuck = snapshot.goal == Goal::CleaningUp && snapshot.is_emergency();
    if wanted || stuck { Do(Step::Begin) } else { RuleOutcome::CLEAR }
}

/// Publishes again a key with valid tokens that somebody deleted at Braze. While no rotation is in progress, an
/// operator decides that: the deletion may have had a reason.
fn repair(snapshot: &Snapshot) -> RuleOutcome {
    if snapshot.goal == Goal::Idle {
        return RuleOutcome::CLEAR;
    }
    let mut blockers = Vec::new();
    let alive = [KeyState::Active, KeyState::Retiring].into_iter().flat_map(|state| snapshot.in_state(state));
    for key in alive {
        for app in snapshot.apps.iter().filter(|app| matches!(app.listing, Listing::Shown(_))) {
            if app.entry(&key.record.kid).is_some() {
                continue;
            }
            match publish_at(snapshot, app, &key.record.kid) {
                Do(step) => return Do(step),
                Blocked(more) => blockers.extend(more),
            }
        }
    }
    Blocked(blockers)
}

/// Publishes the next key and activates it.
fn rotate(snapshot: &Snapshot) -> RuleOutcome {
    if snapshot.goal != Goal::Rotating {
        return RuleOutcome::CLEAR;
    }
    let Some(candidate) = candidate(snapshot) else { return Do(Step::Generate) };
    let kid = &candidate.record.kid;
    let published = publish(snapshot, candidate);
    if !matches!(&published, Blocked(blockers) if blockers.is_empty()) {
        return published;
    }
    let since = snapshot.proven(kid, snapshot.is_emergency()).unwrap_or(snapshot.now);
    let until = since.plus(snapshot.policy.soak);
    if !snapshot.is_emergency() && snapshot.now < until {
        return Blocked(vec![Blocker::Soak { kid: kid.clone(), until }]);
    }
    let nodes = snapshot.nodes_without(kid);
    if !nodes.is_empty() {
        return Blocked(vec![Blocker::Nodes { kid: kid.clone(), nodes }]);
    }
    let retiring = snapshot.active().map(|active| active.record.kid.clone());
    Do(Step::Activate { kid: kid.clone(), retiring })
}

/// Returns the key to activate next: a published one, else a pending one. In an emergency, a key that may sign at once
/// comes first, a retiring one too.
fn candidate(snapshot: &Snapshot) -> Option<&KeySnapshot> {
    if snapshot.is_emergency()
        && let Some(ready) = snapshot.successor(true)
    {
        return Some(ready);
    }
    let next = |state| snapshot.in_state(state).into_iter().next();
    next(KeyState::Published).or_else(|| next(KeyState::Pending))
}

/// Publishes a key at every app, then records that every app holds it.
fn publish(snapshot: &Snapshot, key: &KeySnapshot) -> RuleOutcome {
    let kid = &key.record.kid;
    let mut blockers = Vec::new();
    for app in &snapshot.apps {
        if app.holds(kid, snapshot.is_emergency()).is_some() {
            continue;
        }
        match publish_at(snapshot, app, kid) {
            Do(step) => return Do(step),
            Blocked(more) => blockers.extend(more),
        }
    }
    if blockers.is_empty() && key.record.state == KeyState::Pending {
        return Do(Step::Prove { kid: kid.clone() });
    }
    Blocked(blockers)
}

fn publish_at(snapshot: &Snapshot, app: &AppSnapshot, kid: &Kid) -> RuleOutcome {
    let name = app.app.clone();
    if let Listing::Silent(why) = &app.listing {
        return Blocked(vec![Blocker::Silent { app: name, why: why.clone() }]);
    }
    let asked = app.publications.get(kid).and_then(|known| known.asked);
    if let Some(until) = asked.map(|asked| snapshot.settled(asked)).filter(|until| snapshot.now < *until) {
        return Blocked(vec![Blocker::Settling { app: name, kid: kid.clone(), until }]);
    }
    if let Some((id, asked)) = app.unlisted_id(kid).zip(asked) {
        return Blocked(vec![Blocker::Unlisted { app: name, kid: kid.clone(), id: id.clone(), asked }]);
    }
    if app.slots_taken(snapshot.now.minus(snapshot.policy.soak)) >= SLOTS {
        return Blocked(vec![Blocker::Full { app: name }]);
    }
    match app.listing {
        Listing::Attested => Blocked(vec![Blocker::Paste { app: name, kid: kid.clone() }]),
        _ => Do(Step::Publish { app: name, kid: kid.clone() }),
    }
}

/// Retires a key whose last token has expired, once Braze was shown to hold its successor.
fn retire(snapshot: &Snapshot) -> RuleOutcome {
    let mut blockers = Vec::new();
    for key in snapshot.in_state(KeyState::Retiring) {
        let kid = key.record.kid.clone();
        let until = tokens_expired(snapshot, key);
        if snapshot.now < until {
            blockers.push(Blocker::Tokens { kid, until });
            continue;
        }
        let blocking = without_successor(snapshot, &kid);
        if blocking.is_empty() {
            return Do(Step::Retire { kid });
        }
        blockers.extend(blocking);
    }
    Blocked(blockers)
}

/// Returns the time at which the last token of a retiring key has expired, margin included.
pub fn tokens_expired(snapshot: &Snapshot, key: &KeySnapshot) -> UnixMillis {
    let by_record = key.record.changed.plus(snapshot.policy.longest_life);
    key.tokens_until.map_or(by_record, |until| until.max(by_record)).plus(snapshot.policy.margin)
}

/// Returns the reasons why a retiring key is still needed beside the key that signs.
fn without_successor(snapshot: &Snapshot, key: &Kid) -> Vec<Blocker> {
    let Some(active) = snapshot.active() else { return vec![Blocker::NoSuccessor { kid: key.clone() }] };
    let kid = &active.record.kid;
    let lacking = snapshot.apps.iter().filter(|app| app.holds(kid, false).is_none());
    lacking
        .map(|app| match &app.listing {
            Listing::Silent(why) => Blocker::Silent { app: app.app.clone(), why: why.clone() },
            _ => Blocker::Missing { app: app.app.clone(), kid: kid.clone() },
        })
        .collect()
}

/// Keeps one published key ready beside the one that signs.
fn keep_standby(snapshot: &Snapshot) -> RuleOutcome {
    if !snapshot.policy.standby || snapshot.is_emergency() || snapshot.goal == Goal::Rotating {
        return RuleOutcome::CLEAR;
    }
    match candidate(snapshot) {
        Some(key) => publish(snapshot, key),
        None => Do(Step::Generate),
    }
}
