//! What operators do to users: opt out and in, end sessions, look at them.

use std::sync::Arc;

use crate::{
    clock::{Clock, UnixMillis},
    domain::{
        ids::{AppName, SessionId, UserId},
        sealing::UserHashKey,
        session::{Ended, Session},
    },
    store::{Store, StoreError},
};

/// The operators' verbs on users.
pub struct Users {
    /// Where sessions and opt-outs are.
    pub store: Arc<dyn Store>,
    /// How users are named there.
    pub user_hash: Arc<UserHashKey>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Users {
    /// Opts a user out of one app or of all: no token is minted or refreshed until opted in again. A token that is out
    /// already lives to its `exp`. `false`: was so already.
    pub async fn opt_out(&self, user: &UserId, app: Option<&AppName>) -> Result<bool, StoreError> {
        let changed = self.store.opt_out(self.user_hash.hash(user), app, self.now()).await?;
        tracing::info!(scope = scope(app), changed, "a user was opted out");
        Ok(changed)
    }

    /// Takes an opt-out back. `false`: there was none of that scope.
    pub async fn opt_in(&self, user: &UserId, app: Option<&AppName>) -> Result<bool, StoreError> {
        let changed = self.store.opt_in(self.user_hash.hash(user), app).await?;
        tracing::info!(scope = scope(app), changed, "a user was opted in");
        Ok(changed)
    }

    /// Ends a user's sessions on one app or on all; how many were live.
    pub async fn revoke(&self, user: &UserId, app: Option<&AppName>) -> Result<u64, StoreError> {
        let ended = self.store.end_sessions_of_user(self.user_hash.hash(user), app, self.now()).await?;
        tracing::info!(scope = scope(app), ended, "a user's sessions were ended");
        Ok(ended)
    }

    /// Ends one session. `false`: there is none, or it has ended.
    pub async fn revoke_session(&self, id: SessionId) -> Result<bool, StoreError> {
        let ended = self.store.end_session(id, Ended::Revoked, self.now()).await?;
        tracing::info!(session = %id, ended, "a session was ended");
        Ok(ended)
    }

    /// Ends every session of an app, or of all.
    pub async fn revoke_everyone(&self, app: Option<&AppName>) -> Result<(), StoreError> {
        self.store.end_sessions_of_app(app, self.now()).await?;
        tracing::warn!(scope = scope(app), "every session was ended");
        Ok(())
    }

    /// A user's sessions, newest first.
    pub async fn sessions(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        self.store.sessions_of_user(self.user_hash.hash(user)).await
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

/// The app's name, or `all apps`.
fn scope(app: Option<&AppName>) -> &str {
    app.map_or("all apps", AppName::as_str)
}
