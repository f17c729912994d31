//! Keys that Braze lists for the apps of a ring, compared with our records.

use serde::Serialize;

use crate::{
    domain::ids::{AppName, Kid, RingName},
    rotate::{
        Drift, Observed, drift,
        plan::{AppSnapshot, Listing, Snapshot},
    },
};

/// Key at an app of Braze, or one that should be there.
#[derive(Clone, Debug, Serialize)]
pub struct BrazeKey {
    pub ring: RingName,
    pub app: AppName,
    /// Braze's id of the key; `None` where it is missing there, or not known.
    pub id: Option<String>,
    /// Our id of the key; `None`: it is not ours.
    pub kid: Option<Kid>,
    /// `matching`, `missing`, `unknown` or `attested`.
    pub is: &'static str,
    /// State of the key on record.
    pub state: Option<&'static str>,
    pub primary: bool,
    pub description: String,
}

/// Keys of rings at Braze, and the apps for which Braze does not answer.
#[derive(Clone, Debug, Default)]
pub struct BrazeKeys {
    pub keys: Vec<BrazeKey>,
    /// One [`Drift::Silent`] for each app that could not be asked.
    pub silent: Vec<Drift>,
}

impl BrazeKeys {
    pub(super) fn add(&mut self, observed: &Observed) {
        let drift = drift(&observed.snapshot);
        self.keys.extend(observed.snapshot.apps.iter().flat_map(|app| keys_of_app(observed, app, &drift)));
        self.silent.extend(drift.into_iter().filter(Drift::is_silent));
    }
}

/// Differences between what Braze holds and what it should hold.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct BrazeDiff {
    pub drift: Vec<Drift>,
}

impl BrazeDiff {
    /// Returns true where Braze gives no list for an app.
    pub fn is_silent(&self) -> bool {
        self.drift.iter().any(Drift::is_silent)
    }
}

fn keys_of_app(observed: &Observed, app: &AppSnapshot, drift: &[Drift]) -> Vec<BrazeKey> {
    if app.listing == Listing::Attested {
        let attested = app.publications.iter().filter(|(_, known)| known.shown.is_some());
        return attested.map(|(kid, _)| unlisted(&observed.snapshot, app, kid, "attested")).collect();
    }
    let missing = drift.iter().filter_map(|drift| match drift {
        Drift::Missing { app: at, kid } if *at == app.app => Some(unlisted(&observed.snapshot, app, kid, "missing")),
        _ => None,
    });
    listed(observed, app).chain(missing).collect()
}

fn listed<'a>(observed: &'a Observed, app: &'a AppSnapshot) -> impl Iterator<Item = BrazeKey> + 'a {
    let described = observed.listed.get(&app.app).map(Vec::as_slice).unwrap_or_default();
    app.entries().iter().map(move |entry| {
        let description = described.iter().find(|listed| listed.id == entry.id);
        BrazeKey {
            id: Some(entry.id.clone()),
            primary: entry.primary,
            description: description.map(|listed| listed.description.clone()).unwrap_or_default(),
            ..key(&observed.snapshot, app, entry.kid.clone(), if entry.kid.is_some() { "matching" } else { "unknown" })
        }
    })
}

fn unlisted(snapshot: &Snapshot, app: &AppSnapshot, kid: &Kid, is: &'static str) -> BrazeKey {
    key(snapshot, app, Some(kid.clone()), is)
}

fn key(snapshot: &Snapshot, app: &AppSnapshot, kid: Option<Kid>, is: &'static str) -> BrazeKey {
    let state = kid.as_ref().and_then(|kid| snapshot.key(kid)).map(|key| key.record.state.as_str());
    let (ring, app) = (snapshot.ring.clone(), app.app.clone());
    BrazeKey { ring, app, id: None, kid, is, state, primary: false, description: String::new() }
}
