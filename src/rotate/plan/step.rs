//! Results of the plan: a step, the blockers that are waited for, or nothing to do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    clock::UnixMillis,
    domain::ids::{AppName, Kid},
};

/// Step of a rotation. Each can be done again after a crash, and then changes nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Record the differences between Braze's lists and the records.
    Note { observations: Vec<Observation> },
    /// Set the goal to activate another key.
    Begin,
    /// Make a key.
    Generate,
    /// Ask Braze to add a key, not as primary.
    Publish { app: AppName, kid: Kid },
    /// Record that every app holds the key, so that nodes load it.
    Prove { kid: Kid },
    /// Activate a key; the one that was active becomes retiring.
    Activate { kid: Kid, retiring: Option<Kid> },
    /// Make a key the primary of an app.
    Promote {
        app: AppName,
        kid: Kid,
        /// Braze's id of the key.
        id: String,
    },
    /// Record that the key's tokens have expired, so that it never signs again.
    Retire { kid: Kid },
    /// Delete a key at Braze.
    Withdraw {
        app: AppName,
        kid: Kid,
        /// Braze's id of the key.
        id: String,
    },
    /// Destroy a private half.
    Destroy { kid: Kid },
    /// Set the goal to idle, because nothing is left to do.
    Finish,
}

/// Difference between an app's list and its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "observation", rename_all = "snake_case")]
pub enum Observation {
    /// The app lists the key.
    Shown {
        app: AppName,
        kid: Kid,
        /// Braze's id of the key.
        id: String,
    },
    /// The app is taken to hold the key, because it signs; nothing proves it.
    Assumed { app: AppName, kid: Kid },
    /// An operator attests by the key's fingerprint that the app holds it.
    Attested { app: AppName, kid: Kid },
    /// The app does not list the key any more.
    Gone { app: AppName, kid: Kid },
    /// An operator attests that the key is deleted at the app.
    Removed { app: AppName, kid: Kid },
}

impl Observation {
    /// Returns the app and the key that the observation is about.
    pub fn subject(&self) -> (&AppName, &Kid) {
        match self {
            Self::Shown { app, kid, .. }
            | Self::Assumed { app, kid }
            | Self::Attested { app, kid }
            | Self::Gone { app, kid }
            | Self::Removed { app, kid } => (app, kid),
        }
    }
}

/// Reason why nothing can be done now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "blocker", rename_all = "snake_case")]
pub enum Blocker {
    /// The time that Braze advises between publishing and signing has not passed.
    Soak { kid: Kid, until: UnixMillis },
    /// Braze was asked to add the key, and does not list it yet; from `until` on it is asked again.
    Settling { app: AppName, kid: Kid, until: UnixMillis },
    /// Braze answered that it added the key, and has not listed it for the soak; an operator has it asked for again.
    Unlisted {
        app: AppName,
        kid: Kid,
        /// Braze's id of the key.
        id: String,
        /// Time of the request.
        asked: UnixMillis,
    },
    /// Tokens of the key are valid, margin included.
    Tokens { kid: Kid, until: UnixMillis },
    /// Some nodes have not loaded the key.
    Nodes { kid: Kid, nodes: Vec<String> },
    /// An operator must add the key at Braze, and attest it.
    Paste { app: AppName, kid: Kid },
    /// An operator must delete the key at Braze, and attest it.
    Remove { app: AppName, kid: Kid },
    /// Braze does not answer, or refuses.
    Silent { app: AppName, why: String },
    /// The app holds as many keys as it can.
    Full { app: AppName },
    /// The key cannot be deleted at Braze while it is the primary there, and no key of ours can replace it.
    Primary { app: AppName, kid: Kid },
    /// No key signs, so that this key may still have to.
    NoSuccessor { kid: Kid },
    /// The key that signs is not at Braze.
    Missing { app: AppName, kid: Kid },
}

impl Blocker {
    /// Returns the time at which the blocker ends by itself.
    pub fn until(&self) -> Option<UnixMillis> {
        match self {
            Self::Soak { until, .. } | Self::Settling { until, .. } | Self::Tokens { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Returns true for a fault that somebody must mend; other blockers end by themselves or are an operator's task.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Silent { .. }
            | Self::Full { .. }
            | Self::Primary { .. }
            | Self::Missing { .. }
            | Self::Unlisted { .. } => true,
            Self::Soak { .. }
            | Self::Settling { .. }
            | Self::Tokens { .. }
            | Self::Nodes { .. }
            | Self::Paste { .. }
            | Self::Remove { .. }
            | Self::NoSuccessor { .. } => false,
        }
    }
}

/// Result of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this step, then compute the plan again.
    Do { step: Step, reason: String },
    /// Nothing can be done now.
    Wait {
        blockers: Vec<Blocker>,
        /// Earliest time at which one of the blockers ends by itself.
        until: Option<UnixMillis>,
    },
    /// Nothing is left to do.
    Idle {
        /// Time at which the next rotation is due by policy.
        due: Option<UnixMillis>,
    },
}
