//! Drift: differences between the keys that Braze lists and the keys that it should list.

use serde::{Deserialize, Serialize};
use strum::VariantNames;
use utoipa::ToSchema;

use super::plan::{AppSnapshot, Entry, Listing, SLOTS, Snapshot};
use crate::domain::{
    ids::{AppName, Kid},
    key::KeyState,
    rotation::Goal,
};

/// Difference between the keys of an app at Braze and the keys that it should hold. Its kind in metrics and JSON is the
/// variant's name in snake case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, VariantNames, ToSchema)]
#[serde(tag = "drift", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Drift {
    /// The app lists a key that is not ours: somebody added it.
    Unknown {
        app: AppName,
        /// Braze's id of the key.
        id: String,
    },
    /// The app does not list a key that has valid tokens: they are rejected there.
    Missing { app: AppName, kid: Kid },
    /// Braze answered that it added a key to the app, and has not listed it for the soak.
    Unlisted {
        app: AppName,
        kid: Kid,
        /// Braze's id of the key.
        id: String,
    },
    /// The app's primary key is not the one that signs, which is `kid`.
    WrongPrimary { app: AppName, kid: Kid },
    /// The app lists a key that should have been deleted.
    Left { app: AppName, kid: Kid },
    /// The app lists a key of ours more than once.
    Duplicate {
        app: AppName,
        kid: Kid,
        /// Braze's ids of the copies.
        ids: Vec<String>,
    },
    /// The app lists more keys than Braze documents.
    TooMany { app: AppName, count: usize },
    /// Braze gives no list for the app: no connection, no permission.
    Silent { app: AppName, why: String },
}

impl Drift {
    /// Returns true where Braze gives no list for an app.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }

    /// Every kind, so that the metric of a kind that no longer occurs is set to 0.
    pub const KINDS: &[&str] = Self::VARIANTS;

    /// Returns the kind, as metrics and logs have it.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown { app, id } => {
                write!(
                    f,
                    "app {app} holds a key (Braze's id {id}) that is none of ours: whoever has its private half can sign for your users"
                )
            }
            Self::Missing { app, kid } => write!(f, "app {app} does not hold key {kid}: its tokens are rejected there"),
            Self::Unlisted { app, kid, id } => write!(
                f,
                "Braze answered that it added key {kid} for app {app} (Braze's id {id}) and does not list it: look in the dashboard; `countersign braze keys apply` asks again"
            ),
            Self::WrongPrimary { app, kid } => write!(f, "app {app}'s primary key is not {kid}, which signs"),
            Self::Left { app, kid } => write!(f, "app {app} still holds key {kid}, which should be gone"),
            Self::Duplicate { app, kid, ids } => write!(
                f,
                "app {app} holds key {kid} {} times (Braze's ids {}): `countersign braze keys apply` withdraws the copies that are not primary",
                ids.len(),
                ids.join(", ")
            ),
            Self::TooMany { app, count } => write!(f, "app {app} lists {count} keys, more than Braze documents"),
            Self::Silent { app, why } => write!(f, "Braze does not tell what app {app} holds: {why}"),
        }
    }
}

/// Returns the drift of a ring. A difference that the rotation in progress is going to remove is no drift.
pub fn drift(snapshot: &Snapshot) -> Vec<Drift> {
    snapshot.apps.iter().flat_map(|app| of_app(snapshot, app)).collect()
}

fn of_app(snapshot: &Snapshot, app: &AppSnapshot) -> Vec<Drift> {
    let name = || app.app.clone();
    let entries = match &app.listing {
        Listing::Attested => return Vec::new(),
        Listing::Silent(why) => return vec![Drift::Silent { app: name(), why: why.clone() }],
        Listing::Shown(entries) => entries,
    };
    let mut found = Vec::new();
    let unknown = entries.iter().filter(|entry| entry.kid.is_none());
    found.extend(unknown.map(|entry| Drift::Unknown { app: name(), id: entry.id.clone() }));
    if entries.len() > SLOTS {
        found.push(Drift::TooMany { app: name(), count: entries.len() });
    }
    let is_idle = snapshot.goal == Goal::Idle;
    for key in &snapshot.keys {
        let kid = || key.record.kid.clone();
        let copies: Vec<&Entry> = entries.iter().filter(|entry| entry.kid.as_ref() == Some(&key.record.kid)).collect();
        if is_idle && copies.len() > 1 {
            let ids = copies.iter().map(|entry| entry.id.clone()).collect();
            found.push(Drift::Duplicate { app: name(), kid: kid(), ids });
        }
        let unlisted = snapshot.unlisted(app).find(|(kid, _)| **kid == key.record.kid);
        found.extend(unlisted.map(|(_, id)| Drift::Unlisted { app: name(), kid: kid(), id: id.clone() }));
        let entry = copies.iter().find(|entry| entry.primary).or(copies.first());
        match (key.record.state, entry) {
            (KeyState::Active | KeyState::Retiring, None) => found.push(Drift::Missing { app: name(), kid: kid() }),
            (KeyState::Active, Some(entry)) if !entry.primary && is_idle => {
                found.push(Drift::WrongPrimary { app: name(), kid: kid() });
            }
            (KeyState::Published, None) if is_idle => found.push(Drift::Missing { app: name(), kid: kid() }),
            (KeyState::Retired | KeyState::Compromised, Some(_)) if is_idle => {
                found.push(Drift::Left { app: name(), kid: kid() });
            }
            _ => {}
        }
    }
    found
}
