//! What is on record about replacing keys: who was shown to hold which key, what was begun, who has loaded what, and
//! the audit log of what was done.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ids::{AppName, Kid, RingName};
use crate::clock::UnixMillis;

/// What a ring is about to do. It is saved with a version, so that of two workers one goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Nothing is under way.
    #[default]
    Idle,
    /// Another key is to sign.
    Rotating,
    /// The right key signs; what is left over is being cleared away.
    CleaningUp,
}

impl Goal {
    /// Every goal.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Rotating, Self::CleaningUp];

    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Rotating => "rotating",
            Self::CleaningUp => "cleaning_up",
        }
    }
}

/// Where a ring's rotation stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Counts the changes of this record; 0: there is none yet.
    pub version: u64,
    /// What is to be reached.
    pub goal: Goal,
    /// The key that this rotation made; given up with it.
    pub new_key: Option<Kid>,
}

/// What is known of one key at one app of Braze.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// When Braze was last asked to take it; the answer may have been lost.
    pub asked: Option<UnixMillis>,
    /// Since when Braze lists it, or since when an operator attests that it does. `None`: not proven.
    pub shown: Option<UnixMillis>,
    /// Braze's own id for it; none where it was attested.
    pub braze_id: Option<String>,
}

/// A publication, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The app.
    pub app: AppName,
    /// The key.
    pub kid: Kid,
    /// What is known.
    #[serde(flatten)]
    pub publication: Publication,
}

/// What a serving node last said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its name; a new one at each start.
    pub node: String,
    /// When it said so.
    pub seen: UnixMillis,
    /// The keys it could sign with at once.
    pub loaded: BTreeSet<Kid>,
}

/// What happened to a key, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// It was made or taken in.
    Created,
    /// Braze is asked to take it.
    Publishing,
    /// Braze lists it, or an operator attests so.
    Published,
    /// It signs.
    Activated,
    /// It becomes the primary key of an app.
    MadePrimary,
    /// It signs no more, and has no living token.
    Retired,
    /// It is deleted at Braze.
    Withdrawn,
    /// Its private half is destroyed.
    Destroyed,
    /// It was declared compromised.
    Compromised,
    /// Something was asked for and not done.
    Refused,
    /// A rotation was begun.
    Begun,
    /// A rotation was given up.
    Aborted,
    /// The key before signs again.
    RolledBack,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 13] = [
        Self::Created,
        Self::Publishing,
        Self::Published,
        Self::Activated,
        Self::MadePrimary,
        Self::Retired,
        Self::Withdrawn,
        Self::Destroyed,
        Self::Compromised,
        Self::Refused,
        Self::Begun,
        Self::Aborted,
        Self::RolledBack,
    ];

    /// The word for it in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Publishing => "publishing",
            Self::Published => "published",
            Self::Activated => "activated",
            Self::MadePrimary => "made_primary",
            Self::Retired => "retired",
            Self::Withdrawn => "withdrawn",
            Self::Destroyed => "destroyed",
            Self::Compromised => "compromised",
            Self::Refused => "refused",
            Self::Begun => "begun",
            Self::Aborted => "aborted",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// When.
    pub at: UnixMillis,
    /// The ring.
    pub ring: RingName,
    /// The key; none where it is about the ring.
    pub kid: Option<Kid>,
    /// The app of Braze; none where it is about all of them.
    pub app: Option<AppName>,
    /// What happened.
    pub action: AuditAction,
    /// Who did it: an operator at a command line, or a node by its timer.
    pub actor: String,
    /// Why.
    pub why: String,
}
