//! Rules about the keys that apps hold: which key is the primary one, and which keys are deleted.

use super::{
    outcome::RuleOutcome::{self, Blocked, Do},
    snapshot::{AppSnapshot, Entry, Listing, Snapshot},
    step::{Blocker, Step},
};
use crate::domain::{ids::Kid, key::KeyState, rotation::Goal};

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
    Blocked(unfinished(snapshot))
}

/// Returns a blocker for each app without a list now: nothing shows that it holds what it should, so that the rotation
/// is not finished.
fn unfinished(snapshot: &Snapshot) -> Vec<Blocker> {
    let silent = snapshot.apps.iter().filter(|_| snapshot.goal == Goal::CleaningUp);
    let blocker = |app: &AppSnapshot| match &app.listing {
        Listing::Silent(why) => Some(Blocker::Silent { app: app.app.clone(), why: why.clone() }),
        Listing::Shown(_) | Listing::Attested => None,
    };
    silent.filter_map(blocker).collect()
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
    snapshot.must_be_withdrawn(primary.kid.as_ref()?).then_some(())?;
    let staying = [KeyState::Published, KeyState::Retiring];
    staying.into_iter().flat_map(|state| snapshot.in_state(state)).find_map(|key| best(&key.record.kid))
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
                if let Some(step) = unlisted(snapshot, app) {
                    return Do(step);
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
    snapshot.must_be_withdrawn(kid) || kept.is_some_and(|kept| kept.id != entry.id)
}

/// Deletes by its id a key that must be withdrawn, that Braze was asked to add, and that it has not listed for the soak.
fn unlisted(snapshot: &Snapshot, app: &AppSnapshot) -> Option<Step> {
    let (kid, id) = snapshot.unlisted(app).find(|(kid, _)| snapshot.must_be_withdrawn(kid))?;
    Some(Step::Withdraw { app: app.app.clone(), kid: kid.clone(), id: id.clone() })
}

/// Returns a blocker for each key that must be withdrawn, that Braze was asked to add, and that may still appear in the
/// list.
fn unsettled(snapshot: &Snapshot, app: &AppSnapshot) -> Vec<Blocker> {
    let coming = app.publications.iter().filter(|(kid, _)| snapshot.must_be_withdrawn(kid) && app.entry(kid).is_none());
    let until = coming.filter_map(|(kid, known)| Some((kid, snapshot.settled(known.asked?))));
    let until = until.filter(|(_, until)| snapshot.now < *until);
    until.map(|(kid, until)| Blocker::Settling { app: app.app.clone(), kid: kid.clone(), until }).collect()
}

/// Returns the keys that must be withdrawn and were last shown to be at an app.
fn shown_and_to_be_withdrawn<'a>(snapshot: &'a Snapshot, app: &'a AppSnapshot) -> impl Iterator<Item = &'a Kid> {
    app.publications.keys().filter(|kid| app.shown(kid).is_some() && snapshot.must_be_withdrawn(kid))
}
