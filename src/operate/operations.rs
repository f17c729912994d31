//! Everything that an operator can do, as one interface: [`Operator`](super::Operator) does it here, and a client of the
//! operators' API asks another process for it.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    BrazeDiff, BrazeKeys, Check, ClientApiKey, CompromiseForecast, Consequences, CreatedClient, CreatedOperator,
    FailureOverview, MovedKey, OperationError, OperatorEntry, PendingNode, PrintedCheckpoint, RingOutcome, RingPlan,
    RingStatus, UserSession,
};
use crate::{
    audit::VerifiedLog,
    clock::UnixMillis,
    domain::{
        api_key::ApiKeyId,
        audit::AuditEvent,
        ids::{AppName, ClientName, InstallationId, RingName, SessionId, UserId},
        key::{CustodyKind, KeyLocation, KeyRecord},
        operator::{OperatorName, Role},
        rotation::NodeReport,
        spki::Fingerprint,
    },
    store::{ActivityCount, FailureCount, Schema},
};

/// Operations of an operator. Each is recorded in the audit log under the operator's name.
///
/// Operations that need a private key or a passphrase, or that must work without a running service, are not here: private
/// keys neither enter nor leave over the network.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Describes the installation and the operator.
    async fn about(&self) -> Result<About, OperationError>;

    // Keys.

    /// Every key on record, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRecord>, OperationError>;
    /// The key with this id, or with the only id that begins with it.
    async fn key(&self, id: &str) -> Result<KeyRecord, OperationError>;
    /// Generates a key; it signs nothing before a rotation has published it.
    async fn generate_key(&self, ring: RingName, bits: u32) -> Result<KeyRecord, OperationError>;
    /// Records that a key was added or deleted in the Braze dashboard.
    async fn confirm_key(
        &self,
        id: &str,
        what: DashboardChange,
        app: Option<&AppName>,
    ) -> Result<ConfirmedKey, OperationError>;
    /// Forecast of a compromise; `None` where that would be refused.
    async fn forecast_compromise(&self, id: &str) -> Result<Option<CompromiseForecast>, OperationError>;
    /// Declares a key compromised, and stops it at once.
    async fn compromise(&self, id: &str, why: &str) -> Result<Consequences, OperationError>;
    /// Moves private keys between places of custody.
    async fn move_keys(
        &self,
        keys: KeySelection,
        to: CustodyKind,
        wait: Duration,
    ) -> Result<Vec<MovedKey>, OperationError>;
    /// Erases private halves that no record names.
    async fn erase_key(&self, id: &str) -> Result<Vec<KeyLocation>, OperationError>;

    // Rotation.

    /// Names of the rings: the given one, where it is used, or every ring that apps use.
    async fn rings(&self, only: Option<&RingName>) -> Result<Vec<RingName>, OperationError>;
    /// Apps of a ring whose keys people change in the Braze dashboard.
    async fn apps_by_hand(&self, ring: &RingName) -> Result<Vec<AppName>, OperationError>;
    /// Forecast of a rotation; changes nothing.
    async fn rotation_plan(&self, ring: &RingName) -> Result<RingPlan, OperationError>;
    /// Keys, nodes, blockers and latest steps of a ring.
    async fn rotation_status(&self, ring: &RingName) -> Result<RingStatus, OperationError>;
    /// Begins or continues a rotation, aborts it, rolls it back, or repairs keys; waits some seconds for nodes.
    async fn rotate(&self, ring: &RingName, act: RotationAct) -> Result<RingOutcome, OperationError>;
    /// Keys that Braze lists for the apps of one ring, or of all, compared with the records.
    async fn braze_keys(&self, ring: Option<&RingName>) -> Result<BrazeKeys, OperationError>;
    /// Differences between what Braze holds and what it should hold.
    async fn braze_diff(&self, ring: Option<&RingName>) -> Result<BrazeDiff, OperationError>;

    // API keys.

    /// Every API key on record, without its secret.
    async fn clients(&self) -> Result<Vec<ClientApiKey>, OperationError>;
    /// Makes an API key; it is shown only in this answer.
    async fn create_client(
        &self,
        client: ClientName,
        apps: Vec<AppName>,
        lifetime: Option<Duration>,
    ) -> Result<CreatedClient, OperationError>;
    /// Revokes an API key. Returns its client, where that has no live key any more.
    async fn revoke_client(&self, id: &ApiKeyId) -> Result<Option<ClientName>, OperationError>;

    // Users.

    /// Opts a user out, of one app or of all.
    async fn opt_out(&self, user: &UserId, app: Option<&AppName>) -> Result<OptedOut, OperationError>;
    /// Removes an opt-out. Returns `false` where there was none of that scope.
    async fn opt_in(&self, user: &UserId, app: Option<&AppName>) -> Result<bool, OperationError>;
    /// Ends sessions.
    async fn end_sessions(&self, whose: SessionsOf) -> Result<EndedSessions, OperationError>;
    /// Number of live sessions of one app, or of all.
    async fn live_sessions(&self, app: Option<&AppName>) -> Result<u64, OperationError>;
    /// Sessions of a user, newest first.
    async fn user_sessions(&self, user: &UserId) -> Result<Vec<UserSession>, OperationError>;

    // Failures and activity.

    /// Failures that apps reported in the last `span`, by cause.
    async fn failures(&self, span: Duration, app: Option<&AppName>) -> Result<FailureOverview, OperationError>;
    /// Counts of those reports by minute or hour, oldest first.
    async fn failure_counts(&self, span: Duration, app: Option<&AppName>) -> Result<Vec<FailureCount>, OperationError>;
    /// Answers by the minute of the last `span`, oldest first; they are kept for 8 days.
    async fn activity(&self, span: Duration) -> Result<Vec<ActivityCount>, OperationError>;

    // Audit log.

    /// Records with their indexes: `limit` from the index `from` on, or the last ones.
    async fn audit_records(&self, from: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>, OperationError>;
    /// Exact text of records: `limit` from the index `from` on.
    async fn audit_leaves(&self, from: u64, limit: u32) -> Result<Vec<String>, OperationError>;
    /// Verifies the log, with checkpoints that were kept elsewhere (place and note) and keys that verify them.
    async fn verify_audit(&self, given: &[(String, String)], keys: &[String]) -> Result<VerifiedLog, OperationError>;
    /// Signs the head of the log; begins a new epoch first, where a reason for one is given.
    async fn audit_checkpoint(&self, new_epoch: Option<&str>) -> Result<PrintedCheckpoint, OperationError>;
    /// Key that verifies checkpoints.
    async fn audit_key(&self) -> Result<String, OperationError>;
    /// Replaces the key that signs checkpoints.
    async fn replace_audit_key(&self, why: &str) -> Result<ReplacedAuditKey, OperationError>;

    // Installation.

    /// Checks the installation.
    async fn checks(&self) -> Result<Vec<Check>, OperationError>;
    /// Nodes that reported lately.
    async fn nodes(&self) -> Result<Vec<NodeReport>, OperationError>;
    /// Version of the store's tables.
    async fn schema(&self) -> Result<Schema, OperationError>;
    /// Configuration in force, secrets left out.
    async fn configuration(&self) -> Result<Configuration, OperationError>;

    // Operators: here and on the socket of the service only.

    /// Every operator on record, oldest first.
    async fn operators(&self) -> Result<Vec<OperatorEntry>, OperationError>;
    /// Puts an operator on record; the token is shown only in this answer.
    async fn create_operator(
        &self,
        name: OperatorName,
        role: Role,
        lifetime: Option<Duration>,
    ) -> Result<CreatedOperator, OperationError>;
    /// Revokes an operator; running servers refuse the token at once.
    async fn revoke_operator(&self, name: &OperatorName) -> Result<(), OperationError>;
}

/// Installation, and operator that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    pub installation: Option<InstallationId>,
    /// Version of the program that answers.
    pub version: String,
    /// Name of the operator in the audit log.
    pub actor: String,
    pub role: Role,
    pub now: UnixMillis,
}

/// Change that a person made in the Braze dashboard.
#[derive(Clone, Debug)]
pub enum DashboardChange {
    /// The key of this fingerprint was added.
    Added(Fingerprint),
    /// The key was deleted.
    Deleted,
}

/// Key whose publication or deletion was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfirmedKey {
    pub key: KeyRecord,
    pub apps: Vec<AppName>,
}

/// Keys that an operation concerns.
#[derive(Clone, Debug)]
pub enum KeySelection {
    /// These ids, or beginnings of them.
    Ids(Vec<String>),
    /// Every key that is held: of this ring, or of all.
    Held(Option<RingName>),
}

/// Act on the rotation of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationAct {
    /// Begin a rotation, or continue the one in progress.
    Run,
    /// Go on with what was begun, such as after a compromise; begin nothing.
    FollowUp,
    /// Abort it; the active key keeps signing.
    Abort,
    /// Switch back to the previous key.
    RollBack,
    /// Repair our keys at Braze.
    Repair,
}

/// Key that signs checkpoints from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplacedAuditKey {
    pub key: String,
    /// Checkpoint with the signatures of this key and the one before.
    pub checkpoint: PrintedCheckpoint,
}

/// Sessions to end.
#[derive(Clone, Debug)]
pub enum SessionsOf {
    /// Those of a user, on one app or on all.
    User { user: UserId, app: Option<AppName> },
    /// A single one.
    Session(SessionId),
    /// Those of every user of one app, or of all.
    Everyone { app: Option<AppName> },
}

/// Outcome of the end of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndedSessions {
    /// Number of those that were live; `None`: every session up to now.
    pub ended: Option<u64>,
    /// Nodes that may not know it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingNode>,
}

/// Outcome of an opt-out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OptedOut {
    /// False: the user was opted out already.
    pub changed: bool,
    /// Nodes that may not know it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingNode>,
}

/// Record of the audit log with its index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    pub index: u64,
    pub event: AuditEvent,
}

/// Configuration in force, secrets left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Configuration {
    pub json: serde_json::Value,
    /// TOML that can be read again.
    pub toml: String,
    /// The same, with the origin of each value.
    pub toml_with_origins: String,
    /// Warnings about it.
    pub warnings: Vec<String>,
}
