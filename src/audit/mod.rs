//! The audit log as a tree: leaves are the exact texts that the store holds, the tree over them is RFC 6962's, and its
//! head is signed as a checkpoint (C2SP).

mod checkpoint;
mod config;
mod findings;
mod follow;
mod keys;
mod log;
mod note;
mod stored;
mod tree;
mod verify;

pub use checkpoint::{BadCheckpoint, Checkpoint, Origin};
pub use config::Config;
pub use findings::{LogFinding, LogFindings, NamedCheckpoint, ReportedFinding};
pub use follow::LogFollower;
pub use keys::{AuditKeyError, AuditKeys};
pub use log::{AuditError, begin_epoch, checkpoint, origin};
pub use note::{BadNote, BadVerifierKey, SignedNote, VerifierKey};
pub use stored::{MAX_CHECKPOINTS, export, verify, verify_lines};
pub use tree::{MerkleTree, TreeHash};
pub use verify::{Displayed, Verification, VerifiedLog};
