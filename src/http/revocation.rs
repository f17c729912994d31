//! Answer to a revocation.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{clock::UnixMillis, issue::Revocation};

/// Answer to a revocation: what it names is over, or never was.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "status": "success" }))]
pub(super) struct RevokeAnswer {
    status: RevocationStatus,
    /// Number of nodes that may not know the end yet; only where the status is `pending`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_nodes: Option<usize>,
    /// Time until which these nodes, if they are cut off from the store, may still refresh tokens of what has ended, in
    /// Unix milliseconds; only where the status is `pending`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pending_until: Option<UnixMillis>,
}

/// Certainty of the end. `success`: every node refuses what has ended. `pending`: the end is on record and will not be
/// undone, and some nodes may not know it yet.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RevocationStatus {
    Success,
    Pending,
}

impl From<Revocation> for RevokeAnswer {
    fn from(revocation: Revocation) -> Self {
        match revocation {
            Revocation::Done => Self { status: RevocationStatus::Success, pending_nodes: None, pending_until: None },
            Revocation::Pending { nodes, until } => {
                Self { status: RevocationStatus::Pending, pending_nodes: Some(nodes), pending_until: Some(until) }
            }
        }
    }
}
