//! What Braze holds and should not, lacks and should hold, or does not tell.

use serde::Serialize;

use super::plan::{AppSnapshot, Listing, SLOTS, Snapshot};
use crate::domain::{
    ids::{AppName, Kid},
    key::KeyState,
};

/// Something at Braze that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "drift", rename_all = "snake_case")]
pub enum Drift {
    /// The app lists a key that is none of ours: somebody added it.
    Unknown {
        /// The app.
        app: AppName,
        /// Braze's id for it.
        id: String,
    },
    /// The app does not list a key whose tokens are alive: they are rejected there.
    Missing {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
    /// The app's primary key is not the one that signs.
    WrongPrimary {
        /// The app.
        app: AppName,
        /// The key that signs.
        kid: Kid,
    },
    /// The app lists a key that should be gone.
    Left {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
    /// The app lists more keys than Braze documents.
    TooMany {
        /// The app.
        app: AppName,
        /// How many.
        count: usize,
    },
    /// Braze does not say what the app holds: no connection, no permission.
    Silent {
        /// The app.
        app: AppName,
        /// Why.
        why: String,
    },
}

impl Drift {
    /// The word for it in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::Missing { .. } => "missing",
            Self::WrongPrimary { .. } => "wrong_primary",
            Self::Left { .. } => "left",
            Self::TooMany { .. } => "too_many",
            Self::Silent { .. } => "silent",
        }
    }

    /// Every kind, so that what is mended is seen to be 0.
    pub const KINDS: [&str; 6] = ["unknown", "missing", "wrong_primary", "left", "too_many", "silent"];
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
            Self::WrongPrimary { app, kid } => write!(f, "app {app}'s primary key is not {kid}, which signs"),
            Self::Left { app, kid } => write!(f, "app {app} still holds key {kid}, which should be gone"),
            Self::TooMany { app, count } => write!(f, "app {app} lists {count} keys, more than Braze documents"),
            Self::Silent { app, why } => write!(f, "Braze does not tell what app {app} holds: {why}"),
        }
    }
}

/// What is not as it should be. While a rotation is under way, what it is about to change is no drift.
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
    let resting = snapshot.goal == crate::domain::rotation::Goal::Idle;
    for key in &snapshot.keys {
        let kid = || key.record.kid.clone();
        let entry = entries.iter().find(|entry| entry.kid.as_ref() == Some(&key.record.kid));
        match (key.record.state, entry) {
            (KeyState::Active | KeyState::Retiring, None) => found.push(Drift::Missing { app: name(), kid: kid() }),
            (KeyState::Active, Some(entry)) if !entry.primary && resting => {
                found.push(Drift::WrongPrimary { app: name(), kid: kid() });
            }
            (KeyState::Published, None) if resting => found.push(Drift::Missing { app: name(), kid: kid() }),
            (KeyState::Retired | KeyState::Compromised, Some(_)) if resting => {
                found.push(Drift::Left { app: name(), kid: kid() });
            }
            _ => {}
        }
    }
    found
}
