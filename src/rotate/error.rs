//! Errors of a rotation.

use super::plan::CommandRefused;
use crate::{
    clock::ClockStopped,
    custody::CustodyError,
    domain::ids::{AppName, Kid, RingName},
    store::StoreError,
};

/// Reason why a rotation, or an operator's command, fails.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The operator's command is refused.
    #[error(transparent)]
    Refused(#[from] CommandRefused),
    /// The given fingerprint is that of another key.
    #[error(
        "this is not the fingerprint of key {0}: another key is at Braze, or the paste went wrong. Nothing was confirmed; copy the key from the dashboard once more and give it with --public-key"
    )]
    WrongFingerprint(Kid),
    /// Braze's list proves the app's keys, so that they are not confirmed by hand.
    #[error("Braze's own list proves what app {0} holds (it has a workspace): there is nothing to confirm by hand")]
    ProvenByList(AppName),
    /// Braze's lists prove the keys of every app of the ring.
    #[error(
        "every app of ring {0} has a workspace, so Braze's lists prove what they hold: there is nothing to confirm by hand"
    )]
    NothingByHand(RingName),
    /// The app does not use the ring.
    #[error("app {app} does not use ring {ring}")]
    NotOfRing { app: AppName, ring: RingName },
    /// The key's state needs no confirmation.
    #[error(
        "key {0} is {1}: only a key that waits to be published is confirmed, and only one that has to go is confirmed as deleted"
    )]
    NotWaiting(Kid, &'static str),
    /// Another process holds the ring's lease.
    #[error(
        "another process works on ring {0} at this moment: try again in a moment, or look with `countersign rotate status`"
    )]
    Busy(RingName),
    /// Somebody else changed the records at every attempt.
    #[error("somebody else changes the records of ring {0} at the same moment: try again")]
    Raced(RingName),
    /// The public half on record cannot be read.
    #[error("the public half on record of key {0} cannot be read: restore the store")]
    BadRecord(Kid),
    /// A key could not be generated or destroyed.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The clock of this machine is stopped.
    #[error(transparent)]
    Clock(#[from] ClockStopped),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
