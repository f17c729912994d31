//! How a ring stands: what is on record, what Braze lists, what nodes have loaded, as of now.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    AppConfig, Config, RotateError, Rotator,
    plan::{AppSnapshot, Entry, KeySnapshot, Listing, NodeSnapshot, Snapshot},
};
use crate::{
    braze::{KeyDirectory, Listed},
    domain::{
        ids::{AppName, Kid},
        rotation::Progress,
        spki::Spki,
    },
    store::RingRecords,
};

/// A node that was not seen for so long is not live: what it may still sign, it signs with a key that stays at Braze.
pub(super) const LIVE: Duration = Duration::from_secs(30);

/// Apps that are not asked, and why.
pub(super) type Unasked = BTreeMap<AppName, String>;

/// How a ring stands.
pub struct Observed {
    /// What the plan looks at.
    pub snapshot: Snapshot,
    /// What was listed for each app that was asked, in words as Braze has them.
    pub listed: BTreeMap<AppName, Vec<Listed>>,
    /// The progress on record, with its version.
    pub(super) progress: Progress,
}

impl Rotator {
    /// Looks at everything; asks Braze.
    pub async fn observe(&self, config: &Config) -> Result<Observed, RotateError> {
        self.observe_except(config, &Unasked::new()).await
    }

    /// Looks at what is on record only, in no time; what Braze showed before counts as not confirmed now.
    pub async fn load_recorded(&self, config: &Config) -> Result<Observed, RotateError> {
        let not_asked = |app: &AppConfig| (app.app.clone(), "it was not asked".to_owned());
        self.observe_except(config, &config.apps.iter().map(not_asked).collect()).await
    }

    pub(super) async fn observe_except(&self, config: &Config, unasked: &Unasked) -> Result<Observed, RotateError> {
        let mut lists = BTreeMap::new();
        for app in &config.apps {
            lists.insert(app.app.clone(), self.ask(app, unasked).await);
        }
        // After Braze: a record may only be newer than what is listed, so that nothing seems to be there that was never asked.
        let records = self.store.ring(&config.ring).await?;
        let now = self.clock.now();
        let nodes = self.store.nodes(now.minus(LIVE)).await?;
        let ours = fingerprints(&records);
        let apps = config.apps.iter().map(|app| AppSnapshot {
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
            ring: config.ring.clone(),
            now,
            policy: config.policy.clone(),
            goal: records.progress.goal,
            new_key: records.progress.new_key.clone(),
            keys: keys.collect(),
            apps: apps.collect(),
            nodes: nodes.into_iter().map(|node| NodeSnapshot { node: node.node, loaded: node.loaded }).collect(),
        };
        let listed = lists.into_iter().filter_map(|(app, list)| Some((app, list?.ok()?))).collect();
        Ok(Observed { snapshot, listed, progress: records.progress })
    }

    /// What Braze lists; `None` where people look after the app.
    async fn ask(&self, app: &AppConfig, unasked: &Unasked) -> Option<Result<Vec<Listed>, String>> {
        let (directory, app_id) = self.directory(app)?;
        if let Some(why) = unasked.get(&app.app) {
            return Some(Err(why.clone()));
        }
        Some(directory.list(app_id).await.map_err(|error| error.to_string()))
    }

    /// Where an app's keys are changed, and its id there.
    pub(super) fn directory<'a>(&'a self, app: &'a AppConfig) -> Option<(&'a dyn KeyDirectory, &'a str)> {
        let (workspace, app_id) = app.place.as_ref()?;
        Some((&**self.directories.get(workspace)?, app_id))
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

fn publications(records: &RingRecords, app: &AppName) -> BTreeMap<Kid, crate::domain::rotation::Publication> {
    let of_app = records.publications.iter().filter(|known| known.app == *app);
    of_app.map(|known| (known.kid.clone(), known.publication.clone())).collect()
}
