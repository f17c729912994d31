//! Rules about the keys that apps hold: which key is the primary one, and which keys are deleted.

use super::{
    outcome::RuleOutcome::{self, Blocked, Do},
    snapshot::{AppSnapshot, Entry, Listing, Snapshot},
    step::{Blocker, Step},
};
use crate::domain::{ids::Kid, key::KeyState};

/// Makes the active key the primary of every app. Where an app does not list it, another key of ours replaces a primary
/// that must be withdrawn.
pub(super) fn promote(snapshot: &Snapshot) -> RuleOutcome {
    for app in &snapshot.apps {
        if let Some(entry) = wanted_primary(snapshot, app).filter(|entry| !entry.primary)
            && let Some(kid) = entry.kid.clone()
        {
            return Do(Step::Promote { app: app.app.clone(), kid, id: entry.id.clone() });
        }
    }
    RuleOutcome::CLEAR
}

/// Returns the entry that should be an app's primary, where there is a reason to set it.
fn wanted_primary<'a>(snapshot: &Snapshot, app: &'a AppSnapshot) -> Option<&'a Entry> {
    // Of two copies the primary one is kept.
    let best = |kid: &Kid| {
        let mut copies = app.entries().iter().filter(|entry| entry.kid.as_ref() == Some(kid));
        let first = copies.next()?;
        Some(if first.primary { first } else { copies.find(|entry| entry.primary).unwrap_or(first) })
    };
    if let Some(entry) = snapshot.active().and_then(|active| best(&active.record.kid)) {
        return Some(entry);
    }
    let primary = app.entries().iter().find(|entry| entry.primary)?;
    must_be_withdrawn(snapshot, primary.kid.as_ref()?).then_some(())?;
    let staying = [KeyState::Published, KeyState::Retiring];
    staying.into_iter().flat_map(|state| snapshot.in_state(state)).find_map(|key| best(&key.record.kid))
}

/// Returns whether a key must be deleted at Braze.
fn must_be_withdrawn(snapshot: &Snapshot, kid: &Kid) -> bool {
    snapshot.key(kid).is_some_and(|key| matches!(key.record.state, KeyState::Retired | KeyState::Compromised))
}

/// Deletes at Braze the keys that must be withdrawn, and second copies.
pub(super) fn withdraw(snapshot: &Snapshot) -> RuleOutcome {
    let mut blockers = Vec::new();
    for app in &snapshot.apps {
        match &app.listing {
            Listing::Shown(entries) => {
                let (stuck, free): (Vec<&Entry>, Vec<&Entry>) =
                    entries.iter().filter(|entry| is_surplus(snapshot, app, entry)).partition(|entry| entry.primary);
                if let Some((entry, kid)) = free.first().and_then(|entry| Some((entry, entry.kid.clone()?))) {
                    return Do(Step::Withdraw { app: app.app.clone(), kid, id: entry.id.clone() });
                }
                let kids = stuck.into_iter().filter_map(|entry| entry.kid.clone());
                blockers.extend(kids.map(|kid| Blocker::Primary { app: app.app.clone(), kid }));
                blockers.extend(unsettled(snapshot, app));
            }
            Listing::Attested => {
                let kids = shown_and_to_be_withdrawn(snapshot, app);
                blockers.extend(kids.map(|kid| Blocker::Remove { app: app.app.clone(), kid: kid.clone() }));
            }
            Listing::Silent(why) if shown_and_to_be_withdrawn(snapshot, app).next().is_some() => {
                blockers.push(Blocker::Silent { app: app.app.clone(), why: why.clone() });
            }
            Listing::Silent(_) => {}
        }
    }
    Blocked(blockers)
}

/// Returns whether an entry is a key of ours that must be withdrawn, or a second copy.
fn is_surplus(snapshot: &Snapshot, app: &AppSnapshot, entry: &Entry) -> bool {
    let Some(kid) = entry.kid.as_ref().filter(|kid| snapshot.key(kid).is_some()) else { return false };
    let copies = || app.entries().iter().filter(|other| other.kid.as_ref() == Some(kid));
    let kept = copies().find(|copy| copy.primary).or_else(|| copies().next());
    must_be_withdrawn(snapshot, kid) || kept.is_some_and(|kept| kept.id != entry.id)
}

/// Returns a blocker for each key that must be withdrawn, that Braze was asked to add, and that may still appear in the
/// list.
fn unsettled(snapshot: &Snapshot, app: &AppSnapshot) -> Vec<Blocker> {
    let coming =
        app.publications.iter().filter(|(kid, _)| must_be_withdrawn(snapshot, kid) && app.entry(kid).is_none());
    let until = coming.filter_map(|(kid, known)| Some((kid, known.asked?.plus(snapshot.settling()))));
    let until = until.filter(|(_, until)| snapshot.now < *until);
    until.map(|(kid, until)| Blocker::Settling { app: app.app.clone(), kid: kid.clone(), until }).collect()
}

/// Returns the keys that must be withdrawn and were last shown to be at an app.
fn shown_and_to_be_withdrawn<'a>(snapshot: &'a Snapshot, app: &'a AppSnapshot) -> impl Iterator<Item = &'a Kid> {
    app.publications.keys().filter(|kid| app.shown(kid).is_some() && must_be_withdrawn(snapshot, kid))
}
