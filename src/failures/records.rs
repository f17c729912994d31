//! Histories of keys, from the records and the audit log.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    evidence::{AppFacts, KnownInstallation},
    key_history::{KeyFacts, Stay, StayEnd},
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome},
        ids::{AppName, Kid},
        key::KeyState,
    },
    store::RingRecords,
};

impl KnownInstallation {
    /// Derives the histories of keys from the records of each ring and the events about them, oldest first.
    ///
    /// Braze's last list is not in the store as such: a publication is on record while Braze lists the key, so that the
    /// publications of an app are the last list of our keys there. Keys that are not ours are not on record.
    pub fn from_records(
        apps: BTreeMap<AppName, AppFacts>,
        rings: &[RingRecords],
        events: &[AuditEvent],
        clock_offset: Option<i64>,
    ) -> Self {
        let mut keys = BTreeMap::new();
        for ring in rings {
            for (record, _) in &ring.keys {
                let facts = KeyFacts {
                    ring: record.ring.clone(),
                    state: record.state,
                    public_key: record.public_key.clone(),
                    changes: vec![(record.created, KeyState::Pending)],
                    asked: BTreeMap::new(),
                    stays: BTreeMap::new(),
                };
                keys.insert(record.kid.clone(), facts);
            }
        }
        let mut known = Self { apps, keys, clock_offset };
        // An intent is no change: its outcome follows.
        let happened = |event: &&AuditEvent| matches!(event.outcome, AuditOutcome::Done | AuditOutcome::Unknown);
        events.iter().filter(happened).for_each(|event| known.apply(event));
        for ring in rings {
            known.compare(ring);
        }
        known.forget_assumptions(events);
        known
    }

    /// Forgets where a key was only taken to be, if another app is proven to have it: the rotation takes every app without
    /// a workspace to hold the key that signs, until an operator confirms it.
    fn forget_assumptions(&mut self, events: &[AuditEvent]) {
        let mut assumed: BTreeSet<(&Kid, &AppName)> = BTreeSet::new();
        for event in events.iter().filter(|event| event.action == AuditAction::Published) {
            let (Some(kid), Some(app)) = (&event.target.kid, &event.target.app) else { continue };
            match event.outcome {
                AuditOutcome::Unknown => drop(assumed.insert((kid, app))),
                AuditOutcome::Done => drop(assumed.remove(&(kid, app))),
                _ => {}
            }
        }
        for (kid, key) in &mut self.keys {
            if key.stays.keys().any(|app| !assumed.contains(&(kid, app))) {
                key.stays.retain(|app, _| !assumed.contains(&(kid, app)));
            }
        }
    }

    fn apply(&mut self, event: &AuditEvent) {
        let Some(kid) = &event.target.kid else { return };
        if event.action == AuditAction::Activated {
            self.supersede(kid, event.at);
        }
        let Some(key) = self.keys.get_mut(kid) else { return };
        match (event.action, &event.target.app) {
            (AuditAction::Publishing, Some(app)) => drop(key.asked.insert(app.clone(), event.at)),
            (AuditAction::Published, Some(app)) => key.arrives(app, event.at),
            (AuditAction::Withdrawn, Some(app)) => key.leaves(app, StayEnd::At(event.at)),
            (action, _) => key.changes.extend(entered(action).map(|state| (event.at, state))),
        }
    }

    /// Another key of the ring was activated: the one that was active retires. The log has no event of its own for that.
    fn supersede(&mut self, activated: &Kid, at: UnixMillis) {
        let Some(ring) = self.keys.get(activated).map(|key| key.ring.clone()) else { return };
        for (kid, key) in &mut self.keys {
            if key.ring == ring && kid != activated && key.state_at(at) == Some(KeyState::Active) {
                key.changes.push((at, KeyState::Retiring));
            }
        }
    }

    /// Corrects the histories by the records, which are newer than the last event read, and outlive the log.
    fn compare(&mut self, ring: &RingRecords) {
        for (record, _) in &ring.keys {
            let Some(key) = self.keys.get_mut(&record.kid) else { continue };
            if key.changes.last().map(|(_, state)| *state) != Some(record.state) {
                key.changes.push((record.changed, record.state));
            }
            let on_record: BTreeMap<_, _> = ring
                .publications
                .iter()
                .filter(|known| known.kid == record.kid)
                .map(|known| (&known.app, &known.publication))
                .collect();
            let left: Vec<AppName> = key.stays.keys().filter(|app| key.is_at(app)).cloned().collect();
            for app in left.iter().filter(|app| on_record.get(app).is_none_or(|known| known.shown.is_none())) {
                key.leaves(app, StayEnd::Vanished);
            }
            for (app, publication) in on_record {
                match (publication.shown, publication.asked) {
                    // After a deletion the publication stays on record until Braze's next list.
                    (Some(shown), _) if !key.left_after(app, shown) => key.arrives(app, shown),
                    (None, Some(asked)) => drop(key.asked.insert(app.clone(), asked)),
                    _ => {}
                }
            }
        }
    }
}

impl KeyFacts {
    fn arrives(&mut self, app: &AppName, since: UnixMillis) {
        self.asked.remove(app);
        if !self.is_at(app) {
            self.stays.entry(app.clone()).or_default().push(Stay { since, end: StayEnd::Open });
        }
    }

    fn left_after(&self, app: &AppName, shown: UnixMillis) -> bool {
        self.last_stay(app).is_some_and(|stay| matches!(stay.end, StayEnd::At(end) if shown <= end))
    }

    fn leaves(&mut self, app: &AppName, end: StayEnd) {
        self.asked.remove(app);
        if let Some(stay) = self.stays.get_mut(app).and_then(|stays| stays.last_mut()).filter(|stay| stay.is_open()) {
            stay.end = end;
        }
    }
}

fn entered(action: AuditAction) -> Option<KeyState> {
    match action {
        AuditAction::Published => Some(KeyState::Published),
        AuditAction::Activated => Some(KeyState::Active),
        AuditAction::Retired => Some(KeyState::Retired),
        AuditAction::Compromised => Some(KeyState::Compromised),
        _ => None,
    }
}
