//! Checkpoints (C2SP tlog-checkpoint): origin, size and root of the log as three lines of text, signed as a note.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    note::{BadNote, SignedNote, VerifierKey},
    tree::TreeHash,
};
use crate::domain::{checkpoint_key::CheckpointKeys, ids::InstallationId};

/// Origin of a checkpoint: the log of one epoch of an installation. It is the name of the key in its signatures, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub installation: InstallationId,
    pub epoch: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "countersign/{}/{}", self.installation, self.epoch)
    }
}

impl FromStr for Origin {
    type Err = BadCheckpoint;

    fn from_str(text: &str) -> Result<Self, BadCheckpoint> {
        let (installation, epoch) =
            text.strip_prefix("countersign/").and_then(|rest| rest.split_once('/')).ok_or(BadCheckpoint)?;
        let installation = installation.parse().map_err(|_| BadCheckpoint)?;
        let origin = Self { installation, epoch: epoch.parse().map_err(|_| BadCheckpoint)? };
        // One text for each origin: no sign, no leading zero, no capital digit.
        if origin.to_string() == text { Ok(origin) } else { Err(BadCheckpoint) }
    }
}

/// Head of the log at one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: Origin,
    /// Number of leaves.
    pub size: u64,
    /// Hash of the tree over them.
    pub root: TreeHash,
}

/// Error for a text that is no checkpoint of this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a checkpoint of countersign, which begins with a line `countersign/<installation>/<epoch>`, a size and a root"
)]
pub struct BadCheckpoint;

impl From<BadNote> for BadCheckpoint {
    fn from(_: BadNote) -> Self {
        Self
    }
}

impl Checkpoint {
    /// Signs the checkpoint with each of these keys.
    pub fn sign(&self, keys: &CheckpointKeys) -> SignedNote {
        let text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        SignedNote::sign(text, &self.origin.to_string(), keys.all())
    }

    /// Reads the checkpoint that a note has as its text; its signatures are not verified.
    pub fn of(note: &SignedNote) -> Result<Self, BadCheckpoint> {
        let mut lines = note.text().split('\n');
        let mut line = || lines.next().ok_or(BadCheckpoint);
        let (origin, digits, root) = (line()?.parse()?, line()?, line()?);
        let size: u64 = digits.parse().map_err(|_| BadCheckpoint)?;
        let root = STANDARD.decode(root).map_err(|_| BadCheckpoint)?.try_into().map_err(|_| BadCheckpoint)?;
        if size.to_string() == digits { Ok(Self { origin, size, root }) } else { Err(BadCheckpoint) }
    }

    /// Key that verifies checkpoints of this origin, from a public key.
    pub fn verifier(&self, public: [u8; 32]) -> VerifierKey {
        VerifierKey::new(self.origin.to_string(), public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::checkpoint_key::CheckpointKey, secret::Secret};

    #[test]
    fn a_checkpoint_is_read_as_it_was_signed() {
        let origin = Origin { installation: InstallationId::new([7; 16]), epoch: 3 };
        let checkpoint = Checkpoint { origin, size: 20_852_163, root: [9; 32] };
        let keys = CheckpointKeys::first(CheckpointKey::new(Secret::new([1; 32])));
        let text = checkpoint.sign(&keys).to_string();
        assert!(text.starts_with("countersign/07070707070707070707070707070707/3\n20852163\nCQkJ"), "{text}");
        let note: SignedNote = text.parse().unwrap();
        assert_eq!(Checkpoint::of(&note), Ok(checkpoint));
        assert!(note.is_signed_by(&checkpoint.verifier(keys.current.public())));
        for (from, to) in [
            ("/3\n", "/03\n"),
            ("\n20852163", "\n020852163"),
            ("07/3", "07/-3"),
            ("countersign", "other"),
            ("CQkJ", "CQk"),
        ] {
            let other: SignedNote = text.replacen(from, to, 1).parse().unwrap();
            assert_eq!(Checkpoint::of(&other), Err(BadCheckpoint), "{to}");
        }
    }
}
