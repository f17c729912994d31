//! Sessions of the console: begun with an operator token, found by the secret in a cookie, ended with the operator.

use std::{sync::Arc, time::Duration};

use super::OperationError;
use crate::{
    clock::ClockGuard,
    domain::{
        audit::Actor,
        operator::{ConsoleSecret, ConsoleSession, OperatorRecord},
    },
    secret::{Entropy, random},
    store::Store,
};

/// Longest time between two uses of a session.
pub const CONSOLE_IDLE: Duration = Duration::from_mins(30);
/// Longest life of a session.
pub const CONSOLE_LIFETIME: Duration = Duration::from_hours(8);
/// Uses within this time of the last recorded one are not recorded.
const USE_RECORDED: Duration = Duration::from_mins(1);

/// Operations on sessions of the console.
pub struct ConsoleSessions {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl ConsoleSessions {
    /// Begins a session of an operator whose token was accepted. Returns its secret; `None` where the operator was revoked
    /// meanwhile.
    ///
    /// # Errors
    /// [`OperationError`] where the store does not answer, or the clock is not trusted.
    pub async fn begin(
        &self,
        operator: &OperatorRecord,
        request_id: &str,
    ) -> Result<Option<ConsoleSecret>, OperationError> {
        let now = self.clock.trusted_now()?;
        let secret = ConsoleSecret::new(random(&*self.entropy)?);
        let session = ConsoleSession { hash: secret.hash(), token: operator.token.clone(), created: now, used: now };
        let actor = Actor::of_request(format!("operator {}", operator.name), request_id);
        if !self.store.begin_console_session(session, now.minus(CONSOLE_LIFETIME), &actor).await? {
            return Ok(None);
        }
        tracing::info!(operator = %operator.name, "an operator logged in to the console");
        Ok(Some(secret))
    }

    /// Finds the operator of a session that is neither over nor idle for too long. `is_use`: a person asks, and not a page
    /// that looks for news by itself.
    ///
    /// A clock that is not trusted ends no reading: an operator is needed then. A session from the future is refused.
    ///
    /// # Errors
    /// [`OperationError`] where the store does not answer.
    pub async fn operator(
        &self,
        secret: &ConsoleSecret,
        is_use: bool,
    ) -> Result<Option<OperatorRecord>, OperationError> {
        let now = self.clock.untrusted_now();
        let Some(session) = self.store.console_session(secret.hash()).await? else { return Ok(None) };
        let is_over = now < session.created
            || now.since(session.created) >= CONSOLE_LIFETIME
            || now.since(session.used) >= CONSOLE_IDLE;
        let operators = self.store.operators().await?;
        let found = operators.into_iter().find(|operator| operator.token == session.token);
        let Some(operator) = found.filter(|operator| !is_over && operator.is_live(now)) else { return Ok(None) };
        if is_use && now.since(session.used) >= USE_RECORDED {
            self.store.use_console_session(secret.hash(), now).await?;
        }
        Ok(Some(operator))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`OperationError`] where the store does not answer.
    pub async fn end(&self, secret: &ConsoleSecret) -> Result<(), OperationError> {
        Ok(self.store.end_console_session(secret.hash()).await?)
    }
}
