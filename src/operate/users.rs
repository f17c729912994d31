//! Operations on users: opt out and in, end sessions, list them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{UserError, acts::Acts, names::KnownApps};
use crate::{
    clock::{ClockGuard, UnixMillis},
    domain::{
        audit::{AuditAction, AuditTarget},
        ids::{AppName, SessionId, UserId},
        sealing::UserHashKey,
        session::{Ended, Session},
    },
    outage::Pending,
    store::{Store, StoreError},
};

/// Operators' operations on users and their sessions.
pub struct Users {
    pub(super) store: Arc<dyn Store>,
    pub(super) user_hash: Arc<UserHashKey>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) apps: KnownApps,
    pub(super) acts: Acts,
}

/// Node that may not know yet what has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingNode {
    pub node: String,
    /// Time of its last complete look at what has ended.
    pub looked: UnixMillis,
    /// Time until which it may go on to answer, if it is cut off from the store.
    pub serves_until: UnixMillis,
}

impl Users {
    /// Opts a user out of one app or of all: no token is minted or refreshed until the user is opted in again. A token
    /// that was issued before is valid until its `exp`. Returns `false` where the user was opted out already.
    pub async fn opt_out(&self, user: &UserId, app: Option<&AppName>) -> Result<bool, UserError> {
        let target = self.target(user, app);
        self.check_known(AuditAction::OptedOut, &target).await?;
        let changed = self.store.opt_out(self.user_hash.hash(user), app, self.now(), &self.acts.actor).await?;
        if !changed {
            self.acts.unchanged(AuditAction::OptedOut, target, "the user is opted out already").await;
        }
        tracing::info!(scope = scope(app), changed, "a user was opted out");
        Ok(changed)
    }

    /// Removes an opt-out. Returns `false` where there was none of that scope.
    pub async fn opt_in(&self, user: &UserId, app: Option<&AppName>) -> Result<bool, UserError> {
        let target = self.target(user, app);
        self.check_known(AuditAction::OptedIn, &target).await?;
        let changed = self.store.opt_in(self.user_hash.hash(user), app, self.now(), &self.acts.actor).await?;
        if !changed {
            self.acts.unchanged(AuditAction::OptedIn, target, "there is no such opt-out").await;
        }
        tracing::info!(scope = scope(app), changed, "a user was opted in");
        Ok(changed)
    }

    /// Ends a user's sessions on one app or on all; returns the number of those that were live.
    pub async fn revoke(&self, user: &UserId, app: Option<&AppName>) -> Result<u64, UserError> {
        self.check_known(AuditAction::UserSessionsEnded, &self.target(user, app)).await?;
        let ended = self
            .store
            .end_sessions_of_user(self.user_hash.hash(user), app, self.latest().await?, &self.acts.actor)
            .await?;
        tracing::info!(scope = scope(app), ended, "a user's sessions were ended");
        Ok(ended)
    }

    /// Ends one session. Returns `false` where there is none, or it has ended already.
    pub async fn revoke_session(&self, id: SessionId) -> Result<bool, StoreError> {
        let ended = self.store.end_session(id, Ended::Revoked, self.now(), &self.acts.actor).await?;
        if !ended {
            let target = AuditTarget { session: Some(id), ..AuditTarget::default() };
            self.acts.unchanged(AuditAction::SessionEnded, target, "there is none, or it has ended already").await;
        }
        tracing::info!(session = %id, ended, "a session was ended");
        Ok(ended)
    }

    /// Ends every session of one app, or of all apps.
    ///
    /// # Errors
    /// [`UserError::Clock`]: the time decides which sessions began before, so that it must be right.
    pub async fn revoke_everyone(&self, app: Option<&AppName>) -> Result<(), UserError> {
        let target = AuditTarget { app: app.cloned(), ..AuditTarget::default() };
        self.check_known(AuditAction::AppSessionsEnded, &target).await?;
        let now = match self.clock.trusted_now() {
            Ok(now) => now,
            Err(stopped) => {
                self.acts.refused(AuditAction::AppSessionsEnded, target, &stopped).await;
                return Err(stopped.into());
            }
        };
        self.store.end_sessions_of_app(app, now, &self.acts.actor).await?;
        tracing::warn!(scope = scope(app), "every session was ended");
        Ok(())
    }

    /// Number of live sessions of one app, or of all apps.
    ///
    /// # Errors
    /// [`UserError::Clock`]: the time decides which sessions are live.
    pub async fn live_sessions(&self, app: Option<&AppName>) -> Result<u64, UserError> {
        self.apps.check_known(app).await?;
        let live = self.store.live_sessions(self.clock.trusted_now()?).await?;
        Ok(live.into_iter().filter(|(of, _)| app.is_none_or(|app| app == of)).map(|(_, sessions)| sessions).sum())
    }

    /// Sessions of a user, newest first.
    pub async fn sessions(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        self.store.sessions_of_user(self.user_hash.hash(user)).await
    }

    /// Waits until every node that may answer without the store knows what has ended, but not for long. Returns those that
    /// may not know it yet.
    ///
    /// # Errors
    /// [`StoreError`]: what was ended is on record, and it is not known which nodes know it.
    pub async fn pending(&self) -> Result<Vec<PendingNode>, StoreError> {
        let pending = Pending::poll(&*self.store, self.latest().await?).await?;
        if let Some(until) = pending.until() {
            tracing::warn!(nodes = pending.names(), %until, "a revocation is pending: these nodes may not know it");
        }
        let nodes = pending.nodes().iter().filter_map(|node| {
            let serves_until = node.serves_until?;
            Some(PendingNode { node: node.node.clone(), looked: node.looked, serves_until })
        });
        Ok(nodes.collect())
    }

    /// Checks that the app of an act's target is known. A refusal is recorded.
    async fn check_known(&self, action: AuditAction, target: &AuditTarget) -> Result<(), UserError> {
        let known = self.apps.check_known(target.app.as_ref()).await;
        if let Err(UserError::UnknownApp(unknown)) = &known {
            self.acts.refused(action, target.clone(), unknown).await;
        }
        known
    }

    fn target(&self, user: &UserId, app: Option<&AppName>) -> AuditTarget {
        AuditTarget { user: Some(self.user_hash.hash(user)), app: app.cloned(), ..AuditTarget::default() }
    }

    /// Time of an end of a user's sessions: one that began before, while the store was out of reach, ends by it when it is
    /// put on record. It must not wait for a clock; so one that is behind, or cannot be trusted, gives way to the latest
    /// time that the store can prove.
    async fn latest(&self) -> Result<UnixMillis, StoreError> {
        let proven = self.store.clock_record().await?.floor.map(|floor| floor.time);
        let latest = self.clock.trusted_now().ok().max(proven);
        Ok(latest.unwrap_or_else(|| self.now()))
    }

    /// Time of an act that ends something for one user. It decides nothing, and must not wait for a clock.
    fn now(&self) -> UnixMillis {
        self.clock.untrusted_now()
    }
}

/// Name of the app, or `all apps`, for the log.
fn scope(app: Option<&AppName>) -> &str {
    app.map_or("all apps", AppName::as_str)
}
