//! What a plan can say: a step, what is waited for, or that there is nothing to do.

use serde::Serialize;

use crate::{
    clock::UnixMillis,
    domain::ids::{AppName, Kid},
};

/// One step. Each can be done again after a crash, and then changes nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Put on record what Braze's lists show.
    Note {
        /// What they show that is not on record.
        observations: Vec<Observation>,
    },
    /// Set the goal: another key is to sign.
    Begin,
    /// Make a key.
    Generate,
    /// Ask Braze to take a key, not as primary.
    Publish {
        /// Where.
        app: AppName,
        /// Which.
        kid: Kid,
    },
    /// The key is held by every app: it may be loaded.
    Prove {
        /// Which.
        kid: Kid,
    },
    /// Let a key sign; the one that signed until now retires.
    Activate {
        /// Which signs.
        kid: Kid,
        /// Which retires.
        retiring: Option<Kid>,
    },
    /// Make a key the primary of an app.
    Promote {
        /// Where.
        app: AppName,
        /// Which.
        kid: Kid,
        /// Braze's id for it.
        id: String,
    },
    /// The key's tokens are dead: it signs never again.
    Retire {
        /// Which.
        kid: Kid,
    },
    /// Delete a key at Braze.
    Withdraw {
        /// Where.
        app: AppName,
        /// Which.
        kid: Kid,
        /// Braze's id for it.
        id: String,
    },
    /// Destroy a private half.
    Destroy {
        /// Whose.
        kid: Kid,
    },
    /// Set the goal: nothing is left to do.
    Finish,
}

/// A difference between what an app lists and what is on record of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "observation", rename_all = "snake_case")]
pub enum Observation {
    /// The app lists the key.
    Shown {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
        /// Braze's id for it.
        id: String,
    },
    /// Nobody attested that the app holds the key, but it signs: it must be there.
    Assumed {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
    /// The app does not list the key any more.
    Gone {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "blocker", rename_all = "snake_case")]
pub enum Blocker {
    /// Braze's advice: some time between publishing and signing.
    Soak {
        /// The key.
        kid: Kid,
        /// When it may sign.
        until: UnixMillis,
    },
    /// Braze was asked to take the key, and does not list it yet.
    Settling {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
        /// When it is taken for lost.
        until: UnixMillis,
    },
    /// Tokens of the key are alive.
    Tokens {
        /// The key.
        kid: Kid,
        /// When the last one is dead, margin included.
        until: UnixMillis,
    },
    /// Some nodes have not loaded the key.
    Nodes {
        /// The key.
        kid: Kid,
        /// Which nodes.
        nodes: Vec<String>,
    },
    /// An operator must add the key at Braze, and attest it.
    Paste {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
    /// An operator must delete the key at Braze, and say so.
    Remove {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
    /// Braze does not answer, or refuses.
    Silent {
        /// The app.
        app: AppName,
        /// Why.
        why: String,
    },
    /// The app holds as many keys as it can.
    Full {
        /// The app.
        app: AppName,
    },
    /// The key cannot be deleted at Braze while it is the primary there, and nothing of ours can take its place.
    Primary {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
    /// Nothing signs, so that this key may yet have to.
    NoSuccessor {
        /// The key.
        kid: Kid,
    },
    /// The key that signs is not at Braze.
    Missing {
        /// The app.
        app: AppName,
        /// The key.
        kid: Kid,
    },
}

impl Blocker {
    /// When it goes away by itself.
    pub fn until(&self) -> Option<UnixMillis> {
        match self {
            Self::Soak { until, .. } | Self::Settling { until, .. } | Self::Tokens { until, .. } => Some(*until),
            _ => None,
        }
    }
}

/// What the plan says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, then ask again.
    Do {
        /// The step.
        step: Step,
        /// Why.
        reason: String,
    },
    /// Nothing can be done now.
    Wait {
        /// What is waited for.
        blockers: Vec<Blocker>,
        /// The earliest time at which one of them is gone by itself.
        until: Option<UnixMillis>,
    },
    /// Nothing is to be done.
    Idle {
        /// When the next rotation is due.
        due: Option<UnixMillis>,
    },
}
