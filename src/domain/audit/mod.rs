//! The audit log: acts, and the text of its leaves.

mod event;
mod leaf;

pub use event::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget};
pub use leaf::{BadLeaf, Leaf, record_of, text_of};
