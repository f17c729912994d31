//! Operators' commands on a ring, and the reasons why one is refused.

use crate::domain::{audit::AuditAction, ids::Kid, key::WrongState};

/// Operator's command on a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorCommand {
    /// Begin a rotation, unless one is in progress.
    Begin,
    /// Abort the rotation in progress.
    Abort,
    /// Activate the previous key again.
    RollBack,
    /// Stop this key for good.
    Compromise(Kid),
    /// Publish missing keys, set the primary, and delete retired and compromised keys.
    Repair,
}

impl OperatorCommand {
    /// Returns the action of a command that may find nothing to change.
    pub fn action(&self) -> Option<AuditAction> {
        match self {
            Self::Begin => Some(AuditAction::Begun),
            Self::Repair => Some(AuditAction::Repairing),
            Self::Abort | Self::RollBack | Self::Compromise(_) => None,
        }
    }

    /// Returns the key that the command names.
    pub fn kid(&self) -> Option<&Kid> {
        match self {
            Self::Compromise(kid) => Some(kid),
            Self::Begin | Self::Abort | Self::RollBack | Self::Repair => None,
        }
    }
}

/// Reason why an operator's command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    /// No rotation is in progress.
    #[error("ring {0}: no rotation is under way")]
    NothingToAbort(String),
    /// The rotation's new key signs already.
    #[error(
        "key {kid} signs already, there is nothing to abort: `countersign rotate rollback --ring {ring}` lets the key before it sign again"
    )]
    SignsAlready { ring: String, kid: Kid },
    /// No key is retiring.
    #[error(
        "ring {0}: no key is retiring, so there is none to go back to: `countersign rotate run --ring {0}` brings a new one"
    )]
    NothingToRollBack(String),
    /// Some app is not proven to hold the previous key.
    #[error(
        "key {0} is not proven to be at Braze for every app of its ring: Braze would reject the tokens that it signs"
    )]
    NotHeld(Kid),
    /// Some nodes have not loaded the previous key.
    #[error("key {kid} is not loaded by every node yet ({}): try again in some seconds", .nodes.join(", "))]
    NotLoaded { kid: Kid, nodes: Vec<String> },
    /// The key is not on record in this ring.
    #[error("there is no key {0}")]
    NoSuchKey(Kid),
    /// The key was declared compromised before.
    #[error("key {0} is on record as compromised already")]
    CompromisedAlready(Kid),
    /// The key's state does not allow the command.
    #[error("{0}")]
    State(String),
}

impl From<WrongState> for CommandRefused {
    fn from(wrong: WrongState) -> Self {
        Self::State(wrong.to_string())
    }
}
