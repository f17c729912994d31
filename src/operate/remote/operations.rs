//! Every operation as a request of the operators' API.

use std::time::Duration;

use async_trait::async_trait;

use super::RemoteOperations;
use crate::{
    audit::VerifiedLog,
    domain::{
        api_key::ApiKeyId,
        ids::{AppName, ClientName, RingName, UserId},
        key::{CustodyKind, KeyLocation, KeyRecord},
        operator::{OperatorName, Role},
        rotation::NodeReport,
    },
    operate::{
        About, AuditRecord, BrazeDiff, BrazeKeys, CeremonyError, Check, ClientApiKey, CompromiseForecast,
        Configuration, ConfirmedKey, Consequences, CreatedClient, CreatedOperator, DashboardChange, EndedSessions,
        FailureOverview, KeySelection, MovedKey, OperationError, Operations, OperatorEntry, OptedOut,
        PrintedCheckpoint, ReplacedAuditKey, RingOutcome, RingPlan, RingStatus, RotationAct, SessionsOf, UserSession,
        wire::{
            ConfirmKey, CreateClient, CreateOperator, EndSessions, GenerateKey, KeptCheckpoint, LONGEST_WAIT, ListPart,
            MoveKeys, OneUser, Reason, Rotate, SignAudit, UserOfApp, VerifyAudit,
        },
    },
    store::{ActivityCount, FailureCount, Schema},
};

/// Most records that one request may ask for.
const PART: u32 = 1000;

impl RemoteOperations {
    /// Items from an index on, from as many requests as it takes.
    async fn items<T: serde::de::DeserializeOwned + Send>(
        &self,
        path: &[&str],
        mut from: u64,
        limit: u32,
    ) -> Result<Vec<T>, OperationError> {
        let mut items = Vec::new();
        let mut left = limit;
        while left > 0 {
            let query = [("from", Some(from.to_string())), ("limit", Some(left.min(PART).to_string()))];
            let part: ListPart<T> = self.get(path, &query).await?;
            items.extend(part.items);
            let Some(next) = part.next else { break };
            // A record that cannot be read is not among the items.
            left = left.saturating_sub(u32::try_from(next.saturating_sub(from)).unwrap_or(u32::MAX));
            from = next;
        }
        Ok(items)
    }
}

#[async_trait]
impl Operations for RemoteOperations {
    async fn about(&self) -> Result<About, OperationError> {
        self.get(&["about"], &[]).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, OperationError> {
        self.get(&["keys"], &[]).await
    }

    async fn key(&self, id: &str) -> Result<KeyRecord, OperationError> {
        self.get(&["keys", segment(id)?], &[]).await
    }

    async fn generate_key(&self, ring: RingName, bits: u32) -> Result<KeyRecord, OperationError> {
        self.post(&["keys"], &GenerateKey { ring, bits: Some(bits) }).await
    }

    async fn confirm_key(
        &self,
        id: &str,
        what: DashboardChange,
        app: Option<&AppName>,
    ) -> Result<ConfirmedKey, OperationError> {
        let added = match what {
            DashboardChange::Added(fingerprint) => Some(fingerprint.to_string()),
            DashboardChange::Deleted => None,
        };
        self.post(&["keys", segment(id)?, "confirm"], &ConfirmKey { added, app: app.cloned() }).await
    }

    async fn forecast_compromise(&self, id: &str) -> Result<Option<CompromiseForecast>, OperationError> {
        self.get(&["keys", segment(id)?, "compromise"], &[]).await
    }

    async fn compromise(&self, id: &str, why: &str) -> Result<Consequences, OperationError> {
        self.post(&["keys", segment(id)?, "compromise"], &Reason { why: why.to_owned() }).await
    }

    async fn move_keys(
        &self,
        keys: KeySelection,
        to: CustodyKind,
        wait: Duration,
    ) -> Result<Vec<MovedKey>, OperationError> {
        let (ids, ring) = match keys {
            KeySelection::Ids(ids) => (Some(ids), None),
            KeySelection::Held(ring) => (None, ring),
        };
        let mut body = MoveKeys { ids, ring, to, wait: None };
        let mut left = wait;
        // Whoever waits longer asks again: what has moved already stays there.
        loop {
            let now = left.min(LONGEST_WAIT);
            left -= now;
            body.wait = Some(millis(now));
            let moved: Vec<MovedKey> = self.post(&["keys", "move"], &body).await?;
            if left.is_zero() || moved.iter().all(|key| key.waiting_for.is_empty()) {
                return Ok(moved);
            }
        }
    }

    async fn erase_key(&self, id: &str) -> Result<Vec<KeyLocation>, OperationError> {
        self.act(&["keys", segment(id)?, "erase"]).await
    }

    async fn rings(&self, only: Option<&RingName>) -> Result<Vec<RingName>, OperationError> {
        self.get(&["rings"], &[("ring", only.map(ToString::to_string))]).await
    }

    async fn apps_by_hand(&self, ring: &RingName) -> Result<Vec<AppName>, OperationError> {
        self.get(&["rings", ring.as_str(), "apps-by-hand"], &[]).await
    }

    async fn rotation_plan(&self, ring: &RingName) -> Result<RingPlan, OperationError> {
        self.get(&["rings", ring.as_str(), "plan"], &[]).await
    }

    async fn rotation_status(&self, ring: &RingName) -> Result<RingStatus, OperationError> {
        self.get(&["rings", ring.as_str(), "status"], &[]).await
    }

    async fn rotate(&self, ring: &RingName, act: RotationAct) -> Result<RingOutcome, OperationError> {
        self.post(&["rings", ring.as_str(), "rotation"], &Rotate { act, dry_run: None }).await
    }

    async fn braze_keys(&self, ring: Option<&RingName>) -> Result<BrazeKeys, OperationError> {
        self.get(&["braze", "keys"], &[("ring", ring.map(ToString::to_string))]).await
    }

    async fn braze_diff(&self, ring: Option<&RingName>) -> Result<BrazeDiff, OperationError> {
        self.get(&["braze", "diff"], &[("ring", ring.map(ToString::to_string))]).await
    }

    async fn clients(&self) -> Result<Vec<ClientApiKey>, OperationError> {
        self.get(&["clients"], &[]).await
    }

    async fn create_client(
        &self,
        client: ClientName,
        apps: Vec<AppName>,
        lifetime: Option<Duration>,
    ) -> Result<CreatedClient, OperationError> {
        self.post(&["clients"], &CreateClient { client, apps, lifetime: lifetime.map(millis) }).await
    }

    async fn revoke_client(&self, id: &ApiKeyId) -> Result<Option<ClientName>, OperationError> {
        self.act(&["clients", id.as_str(), "revoke"]).await
    }

    async fn opt_out(&self, user: &UserId, app: Option<&AppName>) -> Result<OptedOut, OperationError> {
        self.post(&["users", "opt-out"], &user_of_app(user, app)).await
    }

    async fn opt_in(&self, user: &UserId, app: Option<&AppName>) -> Result<bool, OperationError> {
        self.post(&["users", "opt-in"], &user_of_app(user, app)).await
    }

    async fn end_sessions(&self, whose: SessionsOf) -> Result<EndedSessions, OperationError> {
        let nobody = EndSessions { user_id: None, session: None, everyone: None, app: None };
        let body = match whose {
            SessionsOf::User { user, app } => EndSessions { user_id: Some(user.as_str().to_owned()), app, ..nobody },
            SessionsOf::Session(id) => EndSessions { session: Some(id.to_string()), ..nobody },
            SessionsOf::Everyone { app } => EndSessions { everyone: Some(true), app, ..nobody },
        };
        self.post(&["users", "end-sessions"], &body).await
    }

    async fn live_sessions(&self, app: Option<&AppName>) -> Result<u64, OperationError> {
        self.get(&["sessions", "live"], &[("app", app.map(ToString::to_string))]).await
    }

    async fn user_sessions(&self, user: &UserId) -> Result<Vec<UserSession>, OperationError> {
        self.post(&["users", "sessions"], &OneUser { user_id: user.as_str().to_owned() }).await
    }

    async fn failures(&self, span: Duration, app: Option<&AppName>) -> Result<FailureOverview, OperationError> {
        self.get(&["failures"], &of_span(span, app)).await
    }

    async fn failure_counts(&self, span: Duration, app: Option<&AppName>) -> Result<Vec<FailureCount>, OperationError> {
        self.get(&["failures", "counts"], &of_span(span, app)).await
    }

    async fn activity(&self, span: Duration) -> Result<Vec<ActivityCount>, OperationError> {
        self.get(&["activity"], &of_span(span, None)).await
    }

    async fn audit_records(&self, from: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>, OperationError> {
        let path = ["audit", "records"];
        if let Some(from) = from {
            return self.items(&path, from, limit).await;
        }
        // The last record tells the size of the log.
        let query = [("limit", Some(limit.clamp(1, PART).to_string()))];
        let last: ListPart<AuditRecord> = self.get(&path, &query).await?;
        match last.items.last() {
            Some(newest) if limit > PART => {
                self.items(&path, (newest.index + 1).saturating_sub(limit.into()), limit).await
            }
            _ => Ok(last.items),
        }
    }

    async fn audit_leaves(&self, from: u64, limit: u32) -> Result<Vec<String>, OperationError> {
        self.items(&["audit", "leaves"], from, limit).await
    }

    async fn verify_audit(&self, given: &[(String, String)], keys: &[String]) -> Result<VerifiedLog, OperationError> {
        let kept = |(place, note): &(String, String)| KeptCheckpoint { place: place.clone(), note: note.clone() };
        let body = VerifyAudit { checkpoints: Some(given.iter().map(kept).collect()), keys: Some(keys.to_vec()) };
        self.post(&["audit", "verify"], &body).await
    }

    async fn audit_checkpoint(&self, new_epoch: Option<&str>) -> Result<PrintedCheckpoint, OperationError> {
        self.post(&["audit", "checkpoint"], &SignAudit { new_epoch: new_epoch.map(str::to_owned) }).await
    }

    async fn audit_key(&self) -> Result<String, OperationError> {
        self.get(&["audit", "key"], &[]).await
    }

    async fn replace_audit_key(&self, why: &str) -> Result<ReplacedAuditKey, OperationError> {
        self.post(&["audit", "key"], &Reason { why: why.to_owned() }).await
    }

    async fn checks(&self) -> Result<Vec<Check>, OperationError> {
        self.get(&["checks"], &[]).await
    }

    async fn nodes(&self) -> Result<Vec<NodeReport>, OperationError> {
        self.get(&["nodes"], &[]).await
    }

    async fn schema(&self) -> Result<Schema, OperationError> {
        self.get(&["schema"], &[]).await
    }

    async fn configuration(&self) -> Result<Configuration, OperationError> {
        self.get(&["configuration"], &[]).await
    }

    async fn operators(&self) -> Result<Vec<OperatorEntry>, OperationError> {
        self.get(&["operators"], &[]).await
    }

    async fn create_operator(
        &self,
        name: OperatorName,
        role: Role,
        lifetime: Option<Duration>,
    ) -> Result<CreatedOperator, OperationError> {
        self.post(&["operators"], &CreateOperator { name, role, lifetime: lifetime.map(millis) }).await
    }

    async fn revoke_operator(&self, name: &OperatorName) -> Result<(), OperationError> {
        self.act(&["operators", name.as_str(), "revoke"]).await
    }
}

/// Text of a key's id as one segment of a path. A path has no empty segment, and none of dots: no key has such an id.
fn segment(id: &str) -> Result<&str, OperationError> {
    match id {
        "" => Err(CeremonyError::EmptyId.into()),
        "." | ".." => Err(CeremonyError::NoSuchKey(id.to_owned()).into()),
        _ => Ok(id),
    }
}

fn user_of_app(user: &UserId, app: Option<&AppName>) -> UserOfApp {
    UserOfApp { user_id: user.as_str().to_owned(), app: app.cloned() }
}

fn of_span(span: Duration, app: Option<&AppName>) -> [(&'static str, Option<String>); 2] {
    [("span", Some(millis(span).to_string())), ("app", app.map(ToString::to_string))]
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
