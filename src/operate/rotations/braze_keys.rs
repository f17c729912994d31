//! Keys that Braze lists for the apps of a ring, compared with our records.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use super::sources::KeySource;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, Kid, RingName},
        key::KeyState,
    },
    rotate::{
        Drift, Observed, drift,
        plan::{AppSnapshot, Listing, Snapshot},
    },
};

/// Result of the comparison of a key at Braze with our records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Comparison {
    /// Braze lists it, and it is ours.
    Matching,
    /// Braze does not list it, and should.
    Missing,
    /// Braze lists it, and it is not ours.
    Unknown,
    /// It is on record; Braze is not asked.
    Recorded,
}

impl Comparison {
    /// Name of the result.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Key at an app of Braze, or one that should be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrazeKey {
    pub ring: RingName,
    pub app: AppName,
    /// Braze's id of the key; `None` where it is missing there, or not known.
    pub id: Option<String>,
    /// Our id of the key; `None`: it is not ours.
    pub kid: Option<Kid>,
    pub is: Comparison,
    /// State of the key on record.
    pub state: Option<KeyState>,
    pub primary: bool,
    pub description: String,
    /// Time since which the key is on record at the app; `None` where it is not.
    pub since: Option<UnixMillis>,
}

/// Keys of rings at Braze, and the apps for which Braze does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrazeKeys {
    pub keys: Vec<BrazeKey>,
    /// Source of what is known about each app.
    pub sources: Vec<KeySource>,
    /// One difference `silent` for each app that could not be asked.
    pub silent: Vec<Drift>,
}

impl BrazeKeys {
    pub(super) fn add(&mut self, observed: &Observed, sources: &[KeySource]) {
        self.sources.extend_from_slice(sources);
        let drift = drift(&observed.snapshot);
        self.keys.extend(observed.snapshot.apps.iter().flat_map(|app| keys_of_app(observed, app, &drift)));
        self.silent.extend(drift.into_iter().filter(Drift::is_silent));
    }
}

/// Differences between what Braze holds and what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrazeDiff {
    pub drift: Vec<Drift>,
    /// Source of what is known about each app.
    pub sources: Vec<KeySource>,
    /// Rings whose rotation is in progress: what it is going to change is no difference.
    pub rotating: Vec<RingName>,
}

impl std::fmt::Display for BrazeDiff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut lines: Vec<String> = self.drift.iter().map(ToString::to_string).collect();
        let listed = self.sources.iter().filter_map(|source| match source {
            KeySource::Listed { app, at } => Some(format!("{app} (at {at})")),
            KeySource::Silent { .. } | KeySource::Recorded { .. } => None,
        });
        let listed: Vec<String> = listed.collect();
        if self.drift.is_empty() && !listed.is_empty() {
            lines.push(format!("Braze lists what it should list for {}.", listed.join(", ")));
        }
        let rotating = self.rotating.iter().map(|ring| {
            format!("A rotation of ring {ring} is in progress, and what it is going to change is no difference: `countersign rotate status --ring {ring}`.")
        });
        lines.extend(rotating);
        let recorded = self.sources.iter().filter(|source| matches!(source, KeySource::Recorded { .. }));
        lines.extend(recorded.map(ToString::to_string));
        f.write_str(&lines.join("\n"))
    }
}

impl BrazeDiff {
    /// List of the differences, with an entry `not_compared` for each app that Braze was not asked about.
    pub fn entries(&self) -> Vec<Value> {
        let not_compared = self.sources.iter().filter_map(|source| match source {
            KeySource::Recorded { app, keys } => Some(json!({ "drift": "not_compared", "app": app, "keys": keys })),
            KeySource::Listed { .. } | KeySource::Silent { .. } => None,
        });
        self.drift.iter().map(|drift| json!(drift)).chain(not_compared).collect()
    }

    /// Returns true where Braze gives no list for an app.
    pub fn is_silent(&self) -> bool {
        self.drift.iter().any(Drift::is_silent)
    }
}

fn keys_of_app(observed: &Observed, app: &AppSnapshot, drift: &[Drift]) -> Vec<BrazeKey> {
    if app.listing == Listing::Attested {
        let attested = app.publications.iter().filter(|(_, known)| known.shown.is_some());
        return attested.map(|(kid, _)| unlisted(&observed.snapshot, app, kid, Comparison::Recorded)).collect();
    }
    let missing = drift.iter().filter_map(|drift| match drift {
        Drift::Missing { app: at, kid } if *at == app.app => {
            Some(unlisted(&observed.snapshot, app, kid, Comparison::Missing))
        }
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
            ..key(
                &observed.snapshot,
                app,
                entry.kid.clone(),
                if entry.kid.is_some() { Comparison::Matching } else { Comparison::Unknown },
            )
        }
    })
}

fn unlisted(snapshot: &Snapshot, app: &AppSnapshot, kid: &Kid, is: Comparison) -> BrazeKey {
    key(snapshot, app, Some(kid.clone()), is)
}

fn key(snapshot: &Snapshot, app: &AppSnapshot, kid: Option<Kid>, is: Comparison) -> BrazeKey {
    let state = kid.as_ref().and_then(|kid| snapshot.key(kid)).map(|key| key.record.state);
    let since = kid.as_ref().and_then(|kid| app.publications.get(kid)).and_then(|known| known.shown);
    let (ring, app) = (snapshot.ring.clone(), app.app.clone());
    BrazeKey { ring, app, id: None, kid, is, state, primary: false, description: String::new(), since }
}
