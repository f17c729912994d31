//! The rules about what apps hold: which key is the primary one, and which have to go.

use super::{
    AppSnapshot, Blocker, Entry, Listing, Snapshot, Step,
    rules::{
        CLEAR,
        Finding::{self, Blocked, Do},
    },
};
use crate::domain::{ids::Kid, key::KeyState};

impl Snapshot {
    /// The key that signs is the primary of every app; where that cannot be, one of ours that stays takes the place of
    /// one that has to go.
    pub(super) fn promote(&self) -> Finding {
        for app in &self.apps {
            if let Some(entry) = self.heir(app).filter(|entry| !entry.primary)
                && let Some(kid) = entry.kid.clone()
            {
                return Do(Step::Promote { app: app.app.clone(), kid, id: entry.id.clone() });
            }
        }
        CLEAR
    }

    /// The entry that should be an app's primary, where there is a reason to say so.
    fn heir<'a>(&self, app: &'a AppSnapshot) -> Option<&'a Entry> {
        // Of two copies the primary one stays.
        let best = |kid: &Kid| {
            let mut copies = app.entries().iter().filter(|entry| entry.kid.as_ref() == Some(kid));
            let first = copies.next()?;
            Some(if first.primary { first } else { copies.find(|entry| entry.primary).unwrap_or(first) })
        };
        if let Some(entry) = self.active().and_then(|active| best(&active.record.kid)) {
            return Some(entry);
        }
        let primary = app.entries().iter().find(|entry| entry.primary)?;
        self.must_go(primary.kid.as_ref()?).then_some(())?;
        let staying = [KeyState::Published, KeyState::Retiring];
        staying.into_iter().flat_map(|state| self.in_state(state)).find_map(|key| best(&key.record.kid))
    }

    /// Whether a key has no business at Braze any more.
    fn must_go(&self, kid: &Kid) -> bool {
        self.key(kid).is_some_and(|key| matches!(key.record.state, KeyState::Retired | KeyState::Compromised))
    }

    pub(super) fn withdraw(&self) -> Finding {
        let mut blockers = Vec::new();
        for app in &self.apps {
            match &app.listing {
                Listing::Shown(entries) => {
                    let (stuck, free): (Vec<&Entry>, Vec<&Entry>) =
                        entries.iter().filter(|entry| self.is_surplus(app, entry)).partition(|entry| entry.primary);
                    if let Some((entry, kid)) = free.first().and_then(|entry| Some((entry, entry.kid.clone()?))) {
                        return Do(Step::Withdraw { app: app.app.clone(), kid, id: entry.id.clone() });
                    }
                    let kids = stuck.into_iter().filter_map(|entry| entry.kid.clone());
                    blockers.extend(kids.map(|kid| Blocker::Primary { app: app.app.clone(), kid }));
                    blockers.extend(self.unsettled(app));
                }
                Listing::Attested => {
                    blockers.extend(self.to_go(app).map(|kid| Blocker::Remove { app: app.app.clone(), kid }));
                }
                Listing::Silent(why) if self.to_go(app).next().is_some() => {
                    blockers.push(Blocker::Silent { app: app.app.clone(), why: why.clone() });
                }
                Listing::Silent(_) => {}
            }
        }
        Blocked(blockers)
    }

    /// A key of ours that has to go, or a second copy of one that stays.
    fn is_surplus(&self, app: &AppSnapshot, entry: &Entry) -> bool {
        let Some(kid) = entry.kid.as_ref().filter(|kid| self.key(kid).is_some()) else { return false };
        let copies = || app.entries().iter().filter(|other| other.kid.as_ref() == Some(kid));
        let stays = copies().find(|copy| copy.primary).or_else(|| copies().next());
        self.must_go(kid) || stays.is_some_and(|stays| stays.id != entry.id)
    }

    /// Keys that have to go, that an app was asked to take, and that may yet appear there.
    fn unsettled(&self, app: &AppSnapshot) -> Vec<Blocker> {
        let coming = app.publications.iter().filter(|(kid, _)| self.must_go(kid) && app.entry(kid).is_none());
        let until = coming.filter_map(|(kid, known)| Some((kid, known.asked?.plus(self.settling()))));
        let until = until.filter(|(_, until)| self.now < *until);
        until.map(|(kid, until)| Blocker::Settling { app: app.app.clone(), kid: kid.clone(), until }).collect()
    }

    /// The keys that have to go and were last known to be at an app.
    fn to_go(&self, app: &AppSnapshot) -> impl Iterator<Item = Kid> {
        let known = app.publications.iter().filter(|(_, known)| known.shown.is_some());
        known.filter(|(kid, _)| self.must_go(kid)).map(|(kid, _)| kid.clone()).collect::<Vec<_>>().into_iter()
    }
}
