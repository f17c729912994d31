//! Bodies of the requests of the operators' API: its routes read them, and its client writes them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RotationAct;
use crate::domain::{
    ids::{AppName, ClientName, RingName},
    key::CustodyKind,
    operator::{OperatorName, Role},
};

/// Path of the operators' API on the ops listener.
pub const BASE: &str = "/admin/v1";

/// Longest time for which a request waits for what it asked for. A command at a silent Braze takes 16 s an app, and a
/// rotation some 12 s more for nodes.
pub const PATIENCE: Duration = Duration::from_secs(50);

/// Longest time for a whole request of the ops listener. A client waits longer than that.
pub const DEADLINE: Duration = Duration::from_secs(55);

/// Longest wait for nodes that a request for a move of keys may ask for; the command before it may hold the lease for some
/// seconds.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Header that makes a creation repeatable.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Key to generate.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "ring": "main", "bits": 2048 }))]
#[serde(deny_unknown_fields)]
pub struct GenerateKey {
    /// Ring that the key is for.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub ring: RingName,
    /// Length of the modulus in bits; 2048 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 2048, maximum = 4096)]
    pub bits: Option<u32>,
}

/// Confirmation that a key was added or deleted in the Braze dashboard.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "app": "web" }))]
#[serde(deny_unknown_fields)]
pub struct ConfirmKey {
    /// SHA-256 of the public key that was added there; absent: the key was deleted there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<String>,
    /// App that it concerns; absent: each app of the ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub app: Option<AppName>,
}

/// Reason for an act.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "why": "the laptop was stolen" }))]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Reason, for the audit log.
    pub why: String,
}

/// Private keys to move.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "ring": "main", "to": "store", "wait": 1000 }))]
#[serde(deny_unknown_fields)]
pub struct MoveKeys {
    /// Ids, or beginnings of them; absent: every key that is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Ring of the keys, where no ids are given; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ring: Option<RingName>,
    /// Custody that they move to: `file` or `store`.
    #[schema(value_type = String, pattern = "^(file|store)$")]
    pub to: CustodyKind,
    /// Longest time to wait for nodes, in milliseconds; at most, and by default, 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 30000)]
    pub wait: Option<u64>,
}

/// Act on the rotation of a ring.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "act": "run", "dry_run": true }))]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Act: `run`, `follow_up`, `abort`, `roll_back` or `repair`.
    #[schema(value_type = String, pattern = "^(run|follow_up|abort|roll_back|repair)$")]
    pub act: RotationAct,
    /// True: change nothing, and answer with the plan of a rotation. For the act `run` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// API key to make.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "client": "shop", "apps": ["web"], "lifetime": 7_776_000_000_u64 }))]
#[serde(deny_unknown_fields)]
pub struct CreateClient {
    /// Name of the backend.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub client: ClientName,
    /// Apps for which the key may ask.
    #[schema(value_type = Vec<String>)]
    pub apps: Vec<AppName>,
    /// Time until the key expires, in milliseconds; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_155_760_000_000_u64)]
    pub lifetime: Option<u64>,
}

/// User, on one app or on all.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "user_id": "user-1", "app": "web" }))]
#[serde(deny_unknown_fields)]
pub struct UserOfApp {
    /// User id, exactly as the app gives it to `changeUser`.
    pub user_id: String,
    /// App; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub app: Option<AppName>,
}

/// User whose sessions to list.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "user_id": "user-1" }))]
#[serde(deny_unknown_fields)]
pub struct OneUser {
    /// User id, exactly as the app gives it to `changeUser`.
    pub user_id: String,
}

/// Sessions to end: exactly one of `user_id`, `session` and `everyone`.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "user_id": "user-1", "app": "web" }))]
#[serde(deny_unknown_fields)]
pub struct EndSessions {
    /// User whose sessions end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Id of the one session that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// True: the sessions of every user end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everyone: Option<bool>,
    /// App, beside `user_id` or `everyone`; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub app: Option<AppName>,
}

/// Checkpoint that was kept elsewhere.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptCheckpoint {
    /// Place where it was kept, for the findings.
    pub place: String,
    /// Signed note.
    pub note: String,
}

/// Evidence to verify the audit log with.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "checkpoints": [], "keys": [] }))]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// Checkpoints that were kept elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub checkpoints: Option<Vec<KeptCheckpoint>>,
    /// Keys that verify checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
}

/// Request for a checkpoint.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({}))]
#[serde(deny_unknown_fields)]
pub struct SignAudit {
    /// Reason for a new epoch, which begins first; absent: none begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_epoch: Option<String>,
}

/// Operator to put on record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "name": "ada", "role": "viewer" }))]
#[serde(deny_unknown_fields)]
pub struct CreateOperator {
    /// Name of the operator.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub name: OperatorName,
    /// Rights: `viewer` or `operator`.
    #[schema(value_type = String, pattern = "^(viewer|operator)$")]
    pub role: Role,
    /// Time until the token expires, in milliseconds; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_155_760_000_000_u64)]
    pub lifetime: Option<u64>,
}

/// Part of a list that grows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ListPart<T> {
    pub items: Vec<T>,
    /// Value of `from` for the next part; `null` after the last item.
    pub next: Option<u64>,
}
