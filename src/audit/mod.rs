//! The audit log as a tree: leaves are the exact texts that the store holds, the tree over them is RFC 6962's, and its
//! head is signed as a checkpoint (C2SP).

mod checkpoint;
mod note;
mod tree;

pub use checkpoint::{BadCheckpoint, Checkpoint, Origin};
pub use note::{BadNote, BadVerifierKey, SignedNote, VerifierKey};
pub use tree::{MerkleTree, TreeHash};
