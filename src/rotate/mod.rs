//! A key's life. [`Ceremony`] makes keys and takes them in; [`plan`] decides purely what a ring's rotation needs next;
//! [`Rotator`] observes the ring, does it step by step, and takes operators' words; [`drift()`] is what should not be so at Braze.

mod ceremony;
mod commands;
mod drift;
mod observe;
pub mod plan;
mod reconcile;

use std::{sync::Arc, time::Duration};

use crate::{
    braze::Directories,
    clock::Clock,
    custody::{Custodian, CustodyError},
    domain::{
        ids::{AppName, Kid, RingName},
        rotation::{AuditAction, AuditEvent},
    },
    store::{Store, StoreError},
};

pub use ceremony::{Activated, Ceremony, CeremonyError};
pub use drift::{Drift, drift};
pub use observe::Observed;
pub use reconcile::{Observer, StepPhase};

/// A ring, and how it is rotated. `[rings.<name>.rotation]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub ring: RingName,
    /// How it is done.
    pub policy: plan::Policy,
    /// The ring's apps.
    pub apps: Vec<AppConfig>,
    /// How often Braze's lists are compared with ours.
    pub check_every: Duration,
}

/// An app, and where it is at Braze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppConfig {
    /// Its name here.
    pub app: AppName,
    /// Workspace and app id; `None`: people look after its keys.
    pub place: Option<(String, String)>,
}

/// Rotates rings.
pub struct Rotator {
    /// Where the records are.
    pub store: Arc<dyn Store>,
    /// Where the private halves are.
    pub custodian: Arc<dyn Custodian>,
    /// Braze's workspaces.
    pub directories: Arc<Directories>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who acts, for the audit log and the lease: no two at a time have the same name.
    pub actor: String,
    /// Told of each step.
    pub observer: Observer,
}

/// A rotation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The operator's word is not followed.
    #[error(transparent)]
    Refused(#[from] plan::Refusal),
    /// The fingerprint given is not the key's.
    #[error(
        "this is not the fingerprint of key {0}: what is at Braze is another key, or was pasted wrong. Nothing was confirmed; copy the key from the dashboard once more and give it with --public-key"
    )]
    WrongFingerprint(Kid),
    /// Nothing is to be confirmed by hand there.
    #[error("Braze's own list proves what app {0} holds (it has a workspace): there is nothing to confirm by hand")]
    ProvenByList(AppName),
    /// There is nothing to confirm.
    #[error(
        "every app of ring {0} has a workspace, so that Braze's lists prove what they hold: there is nothing to confirm by hand"
    )]
    NothingByHand(RingName),
    /// The app is not of the ring.
    #[error("app {app} is not of ring {ring}")]
    NotOfRing {
        /// The app.
        app: AppName,
        /// The ring.
        ring: RingName,
    },
    /// The key does not wait for a confirmation.
    #[error(
        "key {0} is {1}: only a key that waits to be published is confirmed, and only one that has to go is confirmed as deleted"
    )]
    NotWaiting(Kid, &'static str),
    /// Another works on the ring.
    #[error(
        "another process works on ring {0} at this moment: try again in a moment, or look with `countersign rotate status`"
    )]
    Busy(RingName),
    /// Somebody else changed the records meanwhile, again and again.
    #[error("somebody else changes the records of ring {0} at the same moment: try again")]
    Raced(RingName),
    /// The record's public half cannot be read.
    #[error("the public half on record of key {0} cannot be read: restore the store")]
    BadRecord(Kid),
    /// Custody failed.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Rotator {
    fn event(
        &self,
        ring: &RingName,
        kid: Option<&Kid>,
        app: Option<&AppName>,
        action: AuditAction,
        why: &str,
    ) -> AuditEvent {
        AuditEvent {
            at: self.clock.now(),
            ring: ring.clone(),
            kid: kid.cloned(),
            app: app.cloned(),
            action,
            actor: self.actor.clone(),
            why: why.to_owned(),
        }
    }
}
