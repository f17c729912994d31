//! Records as operators see them: without secrets, without hashes of secrets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{
    clock::UnixMillis,
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        ids::{AppName, ClientName, SessionId},
        operator::{OperatorName, OperatorRecord, OperatorTokenId, Role},
        session::{Ended, Session},
    },
};

/// API key of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientApiKey {
    pub id: ApiKeyId,
    pub client: ClientName,
    pub apps: Vec<AppName>,
    pub created: UnixMillis,
    pub expires: Option<UnixMillis>,
    pub revoked: Option<UnixMillis>,
    /// To the minute.
    pub last_used: Option<UnixMillis>,
}

impl From<ApiKeyRecord> for ClientApiKey {
    fn from(record: ApiKeyRecord) -> Self {
        let ApiKeyRecord { id, client, apps, created, expires, revoked, last_used, hash: _ } = record;
        Self { id, client, apps, created, expires, revoked, last_used }
    }
}

/// API key that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedClient {
    #[serde(flatten)]
    pub client: ClientApiKey,
    /// Whole key.
    #[schema(value_type = String)]
    pub api_key: Zeroizing<String>,
}

/// Operator of the operators' API and the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorEntry {
    pub name: OperatorName,
    pub role: Role,
    /// Id of the token: the 16 digits after `cso1_`.
    pub token: OperatorTokenId,
    pub created: UnixMillis,
    pub expires: Option<UnixMillis>,
    pub revoked: Option<UnixMillis>,
}

impl From<OperatorRecord> for OperatorEntry {
    fn from(record: OperatorRecord) -> Self {
        let OperatorRecord { name, role, token, created, expires, revoked, hash: _ } = record;
        Self { name, role, token, created, expires, revoked }
    }
}

/// Operator who was put on record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedOperator {
    #[serde(flatten)]
    pub operator: OperatorEntry,
    /// Whole token.
    #[schema(value_type = String)]
    pub operator_token: Zeroizing<String>,
}

/// Session of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserSession {
    pub session: SessionId,
    pub app: AppName,
    pub created: UnixMillis,
    /// Time of the last refresh.
    pub refreshed: UnixMillis,
    /// Number of refreshes.
    pub refreshes: u64,
    pub idle_expires: UnixMillis,
    pub expires: UnixMillis,
    /// Reason for an early end.
    pub ended: Option<Ended>,
}

impl From<Session> for UserSession {
    fn from(session: Session) -> Self {
        let Session { id, app, counter, created, rotated, idle_expires, expires, ended, user: _ } = session;
        Self { session: id, app, created, refreshed: rotated, refreshes: counter, idle_expires, expires, ended }
    }
}
