//! Acts that the audit log records: who did what to what, and how it ended.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::{
    clock::UnixMillis,
    domain::{
        api_key::ApiKeyId,
        ids::{AppName, ClientName, Kid, RingName, SessionId, UserHash},
    },
};

/// Party that asked for an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// Name of an operator at a command line, of a node with its timer, of an API client, an app or a provider.
    #[serde(rename = "actor")]
    pub name: String,
    /// Id of the HTTP request that asked for the act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Actor {
    /// Actor that no HTTP request speaks for.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), request_id: None }
    }

    /// The service itself, which repairs what a request left behind.
    pub fn service() -> Self {
        Self::named("service")
    }

    /// Actor of an HTTP request.
    pub fn of_request(name: impl Into<String>, request_id: impl Into<String>) -> Self {
        Self { name: name.into(), request_id: Some(request_id.into()) }
    }
}

/// Action of an event.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AuditAction {
    /// A key was made or imported.
    Created,
    /// Braze was asked to add the key.
    Publishing,
    /// Braze listed the key, or an operator attested so.
    Published,
    /// The key became active.
    Activated,
    /// The key became the primary key of an app.
    MadePrimary,
    /// The key retired.
    Retired,
    /// The key was deleted at Braze.
    Withdrawn,
    /// The private half was destroyed.
    Destroyed,
    /// The key was declared compromised.
    Compromised,
    /// A request was refused.
    Refused,
    /// A rotation was begun.
    Begun,
    /// An operator asked for our keys at Braze to be repaired.
    Repairing,
    /// A rotation was aborted.
    Aborted,
    /// The previous key became active again.
    RolledBack,
    /// The private half was moved to another custody.
    Moved,
    /// Sealed private halves were sealed again with the newest sealing key.
    Rewrapped,
    /// The private half was erased from a custody that it had been moved from.
    Erased,
    /// One session was ended.
    SessionEnded,
    /// A replaced refresh token came back, and its session was ended.
    ReuseDetected,
    /// All sessions of a user were ended.
    UserSessionsEnded,
    /// All sessions of an app, or of all apps, were ended.
    AppSessionsEnded,
    /// The identity provider ended its user's sessions.
    SignedOut,
    /// A user was opted out.
    OptedOut,
    /// A user was opted in again.
    OptedIn,
    /// An API key was made.
    ApiKeyCreated,
    /// An API key was revoked.
    ApiKeyRevoked,
    /// An operator accepted a clock.
    ClockAccepted,
    /// A new epoch of the log was begun, after a restore or by an operator.
    EpochBegun,
    /// The key that signs checkpoints was replaced.
    AuditKeyChanged,
    /// Tokens were minted or refreshed (`audit.tokens`).
    TokensIssued,
    /// An operator was put on record.
    OperatorCreated,
    /// An operator was revoked.
    OperatorRevoked,
    /// An operator logged in to the console.
    OperatorLoggedIn,
    /// A credential of an operator was refused.
    OperatorRefused,
}

impl AuditAction {
    /// Name of the action in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// True for an act that ends what somebody could abuse: it takes effect also where it cannot be recorded now, and
    /// is recorded before any other act.
    pub fn stops_something(self) -> bool {
        matches!(
            self,
            Self::Compromised
                | Self::SessionEnded
                | Self::ReuseDetected
                | Self::UserSessionsEnded
                | Self::AppSessionsEnded
                | Self::SignedOut
                | Self::OptedOut
                | Self::ApiKeyRevoked
                | Self::OperatorRevoked
        )
    }
}

/// Outcome of an act.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done.
    #[default]
    Done,
    /// It is about to be done outside the store; a record of its outcome follows.
    Intended,
    /// There was nothing to change.
    Unchanged,
    /// It was refused.
    Refused,
    /// It failed, and changed nothing.
    Failed,
    /// Its answer was lost: it may have been done.
    Unknown,
}

impl AuditOutcome {
    /// Name of the outcome in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Target of an act: the parts that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditTarget {
    pub ring: Option<RingName>,
    pub kid: Option<Kid>,
    /// App; `None` where the act concerns every app of the ring, or all apps.
    pub app: Option<AppName>,
    /// User, by the keyed hash under which the store knows users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyId>,
}

/// Act, as the audit log records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    pub at: UnixMillis,
    #[serde(flatten)]
    pub actor: Actor,
    pub action: AuditAction,
    #[serde(flatten)]
    pub target: AuditTarget,
    pub outcome: AuditOutcome,
    /// Reason or description; may be empty.
    pub why: String,
}

impl AuditEvent {
    /// The same act, about to be done outside the store.
    #[must_use]
    pub fn intended(self) -> Self {
        Self { outcome: AuditOutcome::Intended, ..self }
    }

    /// The same act with another outcome, known at `at`; `because` is added to its reason.
    #[must_use]
    pub fn ended(self, at: UnixMillis, outcome: AuditOutcome, because: &str) -> Self {
        let why = match (self.why.is_empty(), because.is_empty()) {
            (_, true) => self.why,
            (true, false) => because.to_owned(),
            (false, false) => format!("{}: {because}", self.why),
        };
        Self { at, outcome, why, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores and logs hold these names: another one would be unreadable.
    #[test]
    fn actions_and_outcomes_are_recorded_under_these_names() {
        let actions = "created publishing published activated made_primary retired withdrawn destroyed compromised \
            refused begun repairing aborted rolled_back moved rewrapped erased session_ended reuse_detected user_sessions_ended \
            app_sessions_ended signed_out opted_out opted_in api_key_created api_key_revoked clock_accepted \
            epoch_begun audit_key_changed tokens_issued operator_created operator_revoked operator_logged_in operator_refused";
        let names: Vec<&str> = actions.split_whitespace().collect();
        assert_eq!(AuditAction::VARIANTS.iter().map(|action| action.as_str()).collect::<Vec<_>>(), names);
        for (action, name) in AuditAction::VARIANTS.iter().zip(names) {
            assert_eq!(name.parse().as_ref(), Ok(action));
            assert_eq!(serde_json::to_value(action).unwrap(), name);
        }
        let outcomes: Vec<&str> = AuditOutcome::VARIANTS.iter().map(|outcome| outcome.as_str()).collect();
        assert_eq!(outcomes, ["done", "intended", "unchanged", "refused", "failed", "unknown"]);
    }
}
