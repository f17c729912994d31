//! Sources of what is known about the keys of apps at Braze: Braze's present list, or our records of what operators
//! attested.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    clock::UnixMillis,
    domain::{
        audit::{AuditAction, AuditEvent},
        ids::{AppName, Kid},
        key::KeyState,
    },
    rotate::plan::{AppSnapshot, Listing, Snapshot},
};

/// Source of what is known about the keys of one app at Braze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum KeySource {
    /// Braze's list.
    Listed {
        app: AppName,
        /// Time of the list.
        at: UnixMillis,
    },
    /// Braze was asked, and gave no list.
    Silent { app: AppName, why: String },
    /// Our records: the app has no workspace, so that Braze is not asked.
    Recorded { app: AppName, keys: Vec<RecordedKey> },
}

/// Key that is on record at an app that Braze is not asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordedKey {
    pub kid: Kid,
    /// State of the key on record.
    pub state: KeyState,
    /// Time since which it is on record there.
    pub since: UnixMillis,
    /// Name of the operator or the process that recorded or attested it last; `None`: the audit log has no entry.
    pub by: Option<String>,
    /// Time of that entry.
    pub at: Option<UnixMillis>,
    /// Reason of the record.
    pub why: String,
}

/// Returns the source for each app of a ring. `events` are those of the ring, the newest first.
pub(super) fn sources(snapshot: &Snapshot, events: &[AuditEvent]) -> Vec<KeySource> {
    let source = |app: &AppSnapshot| {
        let name = app.app.clone();
        match &app.listing {
            Listing::Shown(_) => KeySource::Listed { app: name, at: snapshot.now },
            Listing::Silent(why) => KeySource::Silent { app: name, why: why.clone() },
            Listing::Attested => KeySource::Recorded { app: name, keys: recorded(snapshot, app, events) },
        }
    };
    snapshot.apps.iter().map(source).collect()
}

fn recorded(snapshot: &Snapshot, app: &AppSnapshot, events: &[AuditEvent]) -> Vec<RecordedKey> {
    let keys = app.publications.iter().filter_map(|(kid, known)| {
        let of_key =
            |event: &&AuditEvent| event.target.kid.as_ref() == Some(kid) && event.target.app.as_ref() == Some(&app.app);
        let event = events.iter().filter(of_key).find(|event| event.action == AuditAction::Published);
        Some(RecordedKey {
            kid: kid.clone(),
            state: snapshot.key(kid)?.record.state,
            since: known.shown?,
            by: event.map(|event| event.actor.name.clone()),
            at: event.map(|event| event.at),
            why: event.map_or_else(|| "the audit log does not tell why".to_owned(), |event| event.why.clone()),
        })
    });
    keys.collect()
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listed { app, at } => write!(f, "App {app}: Braze's list of {at}."),
            Self::Silent { app, why } => write!(f, "App {app}: Braze gave no list: {why}."),
            Self::Recorded { app, keys } => {
                write!(f, "App {app} has no workspace, so Braze was not asked about it. ")?;
                if keys.is_empty() {
                    return f.write_str("No key is on record there.");
                }
                f.write_str("On record there:")?;
                keys.iter().try_for_each(|key| write!(f, "\n  {key}"))
            }
        }
    }
}

impl std::fmt::Display for RecordedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {} ({}) since {}: {}", self.kid, self.state.as_str(), self.since, self.why)?;
        match (&self.by, self.at) {
            (Some(by), Some(at)) => write!(f, " (by {by} at {at})"),
            _ => Ok(()),
        }
    }
}
