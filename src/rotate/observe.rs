//! Observation of a ring: its records, Braze's lists, and the keys that nodes have loaded, as of now.

use std::collections::{BTreeMap, HashMap};

use super::{
    NODE_LIVENESS,
    config::{Ring, RingApp},
    error::RotateError,
    plan::{AppSnapshot, Entry, KeySnapshot, Listing, NodeSnapshot, Snapshot},
    rotator::Rotator,
};
use crate::{
    braze::Listed,
    clock::{ClockStopped, UnixMillis},
    domain::{
        ids::{AppName, Kid},
        rotation::{Progress, Publication},
        spki::Spki,
    },
    store::RingRecords,
};

/// Apps that Braze is not asked about, each with the reason.
pub(super) type Unasked = BTreeMap<AppName, String>;

/// Observed state of a ring.
pub struct Observed {
    /// Input of the plan.
    pub snapshot: Snapshot,
    /// Braze's list for each app that was asked about, in Braze's own texts.
    pub listed: BTreeMap<AppName, Vec<Listed>>,
    /// Progress on record, with its version.
    pub(super) progress: Progress,
}

impl Observed {
    /// Returns the record of a key at an app.
    pub(super) fn publication(&self, app: &AppName, kid: &Kid) -> Option<&Publication> {
        self.snapshot.apps.iter().find(|known| known.app == *app)?.publications.get(kid)
    }
}

impl Rotator {
    /// Loads the records and asks Braze for the list of each app.
    pub async fn observe(&self, ring: &Ring) -> Result<Observed, RotateError> {
        self.observe_except(ring, &Unasked::new()).await
    }

    /// Loads the records only, without a call to Braze: no app has a list in the snapshot. The time in it may be wrong:
    /// a key is stopped also where the clock is.
    pub async fn load_recorded(&self, ring: &Ring) -> Result<Observed, RotateError> {
        let not_asked = |app: &RingApp| (app.app.clone(), "it was not asked".to_owned());
        let now = || Ok(self.clock.untrusted_now());
        self.observe_at(ring, &ring.apps.iter().map(not_asked).collect(), now).await
    }

    pub(super) async fn observe_except(&self, ring: &Ring, unasked: &Unasked) -> Result<Observed, RotateError> {
        self.observe_at(ring, unasked, || self.clock.trusted_now()).await
    }

    async fn observe_at(
        &self,
        ring: &Ring,
        unasked: &Unasked,
        now: impl Fn() -> Result<UnixMillis, ClockStopped> + Send,
    ) -> Result<Observed, RotateError> {
        let mut lists = BTreeMap::new();
        for app in &ring.apps {
            lists.insert(app.app.clone(), self.ask(app, unasked).await);
        }
        // Records are read after the lists, so that every key in a list has its request on record.
        let records = self.store.ring(&ring.name).await?;
        let now = now()?;
        let nodes = self.store.nodes(now.minus(NODE_LIVENESS)).await?;
        let ours = fingerprints(&records);
        let apps = ring.apps.iter().map(|app| AppSnapshot {
            app: app.app.clone(),
            listing: listing(lists.get(&app.app), &ours),
            publications: publications(&records, &app.app),
        });
        let keys = records.keys.iter().map(|(record, life)| KeySnapshot {
            record: record.clone(),
            destroyed: life.destroyed.is_some(),
            tokens_until: life.tokens_until,
        });
        let snapshot = Snapshot {
            ring: ring.name.clone(),
            now,
            policy: ring.config.clone(),
            goal: records.progress.goal,
            new_key: records.progress.new_key.clone(),
            keys: keys.collect(),
            apps: apps.collect(),
            nodes: nodes
                .into_iter()
                .map(|node| NodeSnapshot { node: node.node, loaded: node.loaded.into_keys().collect() })
                .collect(),
        };
        let listed = lists.into_iter().filter_map(|(app, list)| Some((app, list?.ok()?))).collect();
        Ok(Observed { snapshot, listed, progress: records.progress })
    }

    /// Returns Braze's list; `None` where the app's keys are added and deleted by hand.
    async fn ask(&self, app: &RingApp, unasked: &Unasked) -> Option<Result<Vec<Listed>, String>> {
        let (directory, app_id) = self.directory(app)?;
        if let Some(why) = unasked.get(&app.app) {
            return Some(Err(why.clone()));
        }
        Some(directory.list(app_id).await.map_err(|error| error.to_string()))
    }
}

fn fingerprints(records: &RingRecords) -> HashMap<Spki, Kid> {
    let spki = |pem: &str| Spki::from_pem(pem).ok();
    records.keys.iter().filter_map(|(key, _)| Some((spki(&key.public_key)?, key.kid.clone()))).collect()
}

fn listing(list: Option<&Option<Result<Vec<Listed>, String>>>, ours: &HashMap<Spki, Kid>) -> Listing {
    let entry = |key: &Listed| Entry {
        id: key.id.clone(),
        kid: key.public_key.as_ref().and_then(|spki| ours.get(spki).cloned()),
        primary: key.primary,
    };
    match list.and_then(Option::as_ref) {
        None => Listing::Attested,
        Some(Ok(keys)) => Listing::Shown(keys.iter().map(entry).collect()),
        Some(Err(why)) => Listing::Silent(why.clone()),
    }
}

fn publications(records: &RingRecords, app: &AppName) -> BTreeMap<Kid, Publication> {
    let of_app = records.publications.iter().filter(|known| known.app == *app);
    of_app.map(|known| (known.kid.clone(), known.publication.clone())).collect()
}
