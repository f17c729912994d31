//! The operations, done by this process on its store and keys.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    BrazeDiff, BrazeKeys, Check, ClientApiKey, CompromiseForecast, Consequences, CreatedClient, CreatedOperator,
    FailureOverview, MovedKey, OperationError, Operator, OperatorEntry, PrintedCheckpoint, RingOutcome, RingPlan,
    RingStatus, Rotations, UserSession, Users,
    error::OperationErrorKind,
    operations::{
        About, AuditRecord, Configuration, ConfirmedKey, DashboardChange, EndedSessions, KeySelection, Operations,
        OptedOut, ReplacedAuditKey, RotationAct, SessionsOf,
    },
};
use crate::{
    audit::{VerifiedLog, VerifierKey},
    clock::UnixMillis,
    domain::{
        api_key::ApiKeyId,
        ids::{AppName, ClientName, RingName, UserId},
        key::{CustodyKind, KeyLocation, KeyRecord},
        operator::{OperatorName, Role},
        rotation::NodeReport,
    },
    rotate,
    store::{ActivityCount, FailureCount, Schema},
};

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

impl Operator {
    fn quiet_rotations(&self) -> Rotations {
        self.rotations(|_| {})
    }

    /// Beginning of the minute in which a span began.
    fn minute_before(&self, span: Duration) -> UnixMillis {
        UnixMillis(self.clock.untrusted_now().minus(span).0.div_euclid(MINUTE) * MINUTE)
    }
}

#[async_trait]
impl Operations for Operator {
    async fn about(&self) -> Result<About, OperationError> {
        Ok(About {
            installation: self.store.installation_id().await?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            actor: self.actor.name.clone(),
            role: self.role,
            now: self.clock.untrusted_now(),
        })
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, OperationError> {
        Ok(Operator::keys(self).list().await?)
    }

    async fn key(&self, id: &str) -> Result<KeyRecord, OperationError> {
        Ok(Operator::keys(self).find(id).await?)
    }

    async fn generate_key(&self, ring: RingName, bits: u32) -> Result<KeyRecord, OperationError> {
        Ok(Operator::keys(self).generate(ring, bits).await?)
    }

    async fn confirm_key(
        &self,
        id: &str,
        what: DashboardChange,
        app: Option<&AppName>,
    ) -> Result<ConfirmedKey, OperationError> {
        let (ceremony, rotations) = (Operator::keys(self), self.quiet_rotations());
        match what {
            DashboardChange::Added(fingerprint) => {
                let key = ceremony.find(id).await?;
                let apps = rotations.confirm(&key, fingerprint, app).await?;
                Ok(ConfirmedKey { key: ceremony.find(key.kid.as_str()).await?, apps })
            }
            DashboardChange::Deleted => {
                let key = ceremony.find_for_good(id).await?;
                let apps = rotations.confirm_deleted(&key, app).await?;
                Ok(ConfirmedKey { key, apps })
            }
        }
    }

    async fn forecast_compromise(&self, id: &str) -> Result<Option<CompromiseForecast>, OperationError> {
        let key = Operator::keys(self).find_for_good(id).await?;
        Ok(self.quiet_rotations().forecast_compromise(&key).await?)
    }

    async fn compromise(&self, id: &str, why: &str) -> Result<Consequences, OperationError> {
        let key = Operator::keys(self).find_for_good(id).await?;
        Ok(self.quiet_rotations().compromise(&key, why).await?)
    }

    async fn move_keys(
        &self,
        keys: KeySelection,
        to: CustodyKind,
        wait: Duration,
    ) -> Result<Vec<MovedKey>, OperationError> {
        let ceremony = Operator::keys(self);
        let selected = match keys {
            KeySelection::Held(ring) => ceremony.held(ring.as_ref()).await?,
            KeySelection::Ids(ids) => {
                let mut selected = Vec::new();
                for id in &ids {
                    selected.push(ceremony.find(id).await?);
                }
                selected
            }
        };
        Ok(ceremony.move_keys(&selected, to, wait).await?)
    }

    async fn erase_key(&self, id: &str) -> Result<Vec<KeyLocation>, OperationError> {
        Ok(Operator::keys(self).erase_orphan(id).await?)
    }

    async fn rings(&self, only: Option<&RingName>) -> Result<Vec<RingName>, OperationError> {
        Ok(self.quiet_rotations().rings(only)?)
    }

    async fn apps_by_hand(&self, ring: &RingName) -> Result<Vec<AppName>, OperationError> {
        Ok(self.quiet_rotations().apps_by_hand(ring)?)
    }

    async fn rotation_plan(&self, ring: &RingName) -> Result<RingPlan, OperationError> {
        Ok(self.quiet_rotations().plan(ring).await?)
    }

    async fn rotation_status(&self, ring: &RingName) -> Result<RingStatus, OperationError> {
        Ok(self.quiet_rotations().status(ring).await?)
    }

    async fn rotate(&self, ring: &RingName, act: RotationAct) -> Result<RingOutcome, OperationError> {
        let rotations = self.quiet_rotations();
        Ok(match act {
            RotationAct::Run => rotations.run(ring).await?,
            RotationAct::FollowUp => rotations.follow_up(ring).await?,
            RotationAct::Abort => rotations.abort(ring).await?,
            RotationAct::RollBack => rotations.roll_back(ring).await?,
            RotationAct::Repair => rotations.repair(ring).await?,
        })
    }

    async fn braze_keys(&self, ring: Option<&RingName>) -> Result<BrazeKeys, OperationError> {
        let rotations = self.quiet_rotations();
        Ok(rotations.braze_keys(&rotations.rings(ring)?).await?)
    }

    async fn braze_diff(&self, ring: Option<&RingName>) -> Result<BrazeDiff, OperationError> {
        let rotations = self.quiet_rotations();
        Ok(rotations.braze_diff(&rotations.rings(ring)?).await?)
    }

    async fn clients(&self) -> Result<Vec<ClientApiKey>, OperationError> {
        Ok(Operator::clients(self).list().await?.into_iter().map(Into::into).collect())
    }

    async fn create_client(
        &self,
        client: ClientName,
        apps: Vec<AppName>,
        lifetime: Option<Duration>,
    ) -> Result<CreatedClient, OperationError> {
        let (key, record) = Operator::clients(self).create(client, apps, checked(lifetime)?).await?;
        Ok(CreatedClient { client: record.into(), api_key: key.reveal() })
    }

    async fn revoke_client(&self, id: &ApiKeyId) -> Result<Option<ClientName>, OperationError> {
        Ok(Operator::clients(self).revoke(id).await?)
    }

    async fn opt_out(&self, user: &UserId, app: Option<&AppName>) -> Result<OptedOut, OperationError> {
        let users = self.users();
        let changed = users.opt_out(user, app).await?;
        Ok(OptedOut { changed, pending: pending(&users).await? })
    }

    async fn opt_in(&self, user: &UserId, app: Option<&AppName>) -> Result<bool, OperationError> {
        Ok(self.users().opt_in(user, app).await?)
    }

    async fn end_sessions(&self, whose: SessionsOf) -> Result<EndedSessions, OperationError> {
        let users = self.users();
        let ended = match whose {
            SessionsOf::User { user, app } => Some(users.revoke(&user, app.as_ref()).await?),
            SessionsOf::Session(id) => Some(u64::from(users.revoke_session(id).await?)),
            SessionsOf::Everyone { app } => {
                users.revoke_everyone(app.as_ref()).await?;
                None
            }
        };
        Ok(EndedSessions { ended, pending: pending(&users).await? })
    }

    async fn live_sessions(&self, app: Option<&AppName>) -> Result<u64, OperationError> {
        Ok(self.users().live_sessions(app).await?)
    }

    async fn user_sessions(&self, user: &UserId) -> Result<Vec<UserSession>, OperationError> {
        Ok(self.users().sessions(user).await?.into_iter().map(Into::into).collect())
    }

    async fn failures(&self, span: Duration, app: Option<&AppName>) -> Result<FailureOverview, OperationError> {
        Ok(Operator::failures(self).overview(span, app).await?)
    }

    async fn failure_counts(&self, span: Duration, app: Option<&AppName>) -> Result<Vec<FailureCount>, OperationError> {
        let mut counts = self.store.failures_since(self.minute_before(span)).await?;
        counts.retain(|count| app.is_none_or(|app| count.key.app == *app));
        Ok(counts)
    }

    async fn activity(&self, span: Duration) -> Result<Vec<ActivityCount>, OperationError> {
        Ok(self.store.activity_since(self.minute_before(span)).await?)
    }

    async fn audit_records(&self, from: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>, OperationError> {
        let records = self.audit().list(from, limit).await?;
        Ok(records.into_iter().map(|(index, event)| AuditRecord { index, event }).collect())
    }

    async fn audit_leaves(&self, from: u64, limit: u32) -> Result<Vec<String>, OperationError> {
        Ok(self.store.audit_leaves(from, limit).await?.into_iter().map(|leaf| leaf.text).collect())
    }

    async fn verify_audit(&self, given: &[(String, String)], keys: &[String]) -> Result<VerifiedLog, OperationError> {
        let invalid =
            |key: &String| OperationError::new(OperationErrorKind::Invalid, format!("{key}: not a verifier key"));
        let keys: Vec<VerifierKey> =
            keys.iter().map(|key| key.parse().map_err(|_| invalid(key))).collect::<Result<_, _>>()?;
        Ok(self.audit().verify(given, &keys).await?)
    }

    async fn audit_checkpoint(&self, new_epoch: Option<&str>) -> Result<PrintedCheckpoint, OperationError> {
        let audit = self.audit();
        Ok(match new_epoch {
            Some(why) => audit.begin_epoch(why).await?,
            None => audit.checkpoint().await?,
        })
    }

    async fn audit_key(&self) -> Result<String, OperationError> {
        Ok(self.audit().key().await?.to_string())
    }

    async fn replace_audit_key(&self, why: &str) -> Result<ReplacedAuditKey, OperationError> {
        let (key, checkpoint) = self.audit().replace_key(why).await?;
        Ok(ReplacedAuditKey { key: key.to_string(), checkpoint })
    }

    async fn checks(&self) -> Result<Vec<Check>, OperationError> {
        let failed = |error: anyhow::Error| OperationError::new(OperationErrorKind::Failed, format!("{error:#}"));
        Operator::checks(self).await.map_err(failed)
    }

    async fn nodes(&self) -> Result<Vec<NodeReport>, OperationError> {
        Ok(self.store.nodes(self.clock.untrusted_now().minus(rotate::NODE_LIVENESS)).await?)
    }

    async fn schema(&self) -> Result<Schema, OperationError> {
        Ok(self.store.schema().await?)
    }

    async fn configuration(&self) -> Result<Configuration, OperationError> {
        Ok(self.configuration.clone())
    }

    async fn operators(&self) -> Result<Vec<OperatorEntry>, OperationError> {
        Ok(Operator::operators(self).list().await?.into_iter().map(Into::into).collect())
    }

    async fn create_operator(
        &self,
        name: OperatorName,
        role: Role,
        lifetime: Option<Duration>,
    ) -> Result<CreatedOperator, OperationError> {
        let (token, record) = Operator::operators(self).create(name, role, checked(lifetime)?).await?;
        Ok(CreatedOperator { operator: record.into(), operator_token: token.reveal() })
    }

    async fn revoke_operator(&self, name: &OperatorName) -> Result<(), OperationError> {
        Operator::operators(self).revoke(name).await
    }
}

/// Longest life of a credential: 100 years.
const LONGEST_LIFE: Duration = Duration::from_hours(876_600);

/// Checks the life of a credential: one that is over at once is a mistake.
fn checked(lifetime: Option<Duration>) -> Result<Option<Duration>, OperationError> {
    if lifetime.is_some_and(|span| span.is_zero() || span > LONGEST_LIFE) {
        let message = "a credential lives for at least a millisecond and at most 100 years; leave the time out for one that \
                       does not expire";
        return Err(OperationError::new(OperationErrorKind::Invalid, message));
    }
    Ok(lifetime)
}

/// Nodes that may not know yet what has ended.
async fn pending(users: &Users) -> Result<Vec<super::PendingNode>, OperationError> {
    let unknown = |error| {
        let error = OperationError::from(error);
        let message = format!("it is on record, and it is not known which nodes know it: {error}");
        OperationError::new(error.kind, message)
    };
    users.pending().await.map_err(unknown)
}
