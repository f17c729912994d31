//! Sessions of the console: begun with an operator token, found by the secret in a cookie, ended with the operator.

use std::{sync::Arc, time::Duration};

use super::OperationError;
use crate::{
    clock::{ClockGuard, UnixMillis},
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        operator::{ConsoleSecret, ConsoleSession, OperatorRecord, OperatorToken},
    },
    secret::{Entropy, random},
    store::Store,
};

/// Longest time between two uses of a session.
pub const CONSOLE_IDLE: Duration = Duration::from_secs(30 * 60);
/// Longest life of a session.
pub const CONSOLE_LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);
/// Uses within this time of the last recorded one are not recorded.
const USE_RECORDED: Duration = Duration::from_secs(60);

/// Operations on sessions of the console.
pub struct ConsoleSessions {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl ConsoleSessions {
    /// Returns true where an operator is on record whose token is accepted now.
    ///
    /// # Errors
    /// [`OperationError`] where the store does not answer.
    pub async fn has_live_operator(&self) -> Result<bool, OperationError> {
        let now = self.clock.untrusted_now();
        Ok(self.store.operators().await?.iter().any(|operator| operator.is_live(now)))
    }

    /// Begins a session. Returns its secret and the operator; `None` where the token is not accepted.
    ///
    /// # Errors
    /// [`OperationError`] where the store does not answer, or the clock is not trusted.
    pub async fn begin(
        &self,
        presented: &str,
        request_id: &str,
    ) -> Result<Option<(ConsoleSecret, OperatorRecord)>, OperationError> {
        let now = self.clock.trusted_now()?;
        let Some(operator) = self.operator_of(presented, now).await? else {
            self.refused(request_id).await;
            return Ok(None);
        };
        let secret = ConsoleSecret::new(random(&*self.entropy)?);
        let session = ConsoleSession { hash: secret.hash(), token: operator.token.clone(), created: now, used: now };
        let actor = Actor::of_request(format!("operator {}", operator.name), request_id);
        self.store.begin_console_session(session, now.minus(CONSOLE_LIFETIME), &actor).await?;
        tracing::info!(operator = %operator.name, "an operator logged in to the console");
        Ok(Some((secret, operator)))
    }

    async fn operator_of(&self, presented: &str, now: UnixMillis) -> Result<Option<OperatorRecord>, OperationError> {
        let Ok(token) = OperatorToken::parse(presented) else { return Ok(None) };
        let operators = self.store.operators().await?;
        let found = operators.into_iter().find(|operator| operator.token == token.id);
        Ok(found.filter(|operator| operator.hash.matches(&token.hash()) && operator.is_live(now)))
    }

    /// Records a refused login.
    async fn refused(&self, request_id: &str) {
        let event = AuditEvent {
            at: self.clock.untrusted_now(),
            actor: Actor::of_request("unknown", request_id),
            action: AuditAction::OperatorRefused,
            target: AuditTarget::default(),
            outcome: AuditOutcome::Refused,
            why: "the console was given a token that is not accepted".to_owned(),
        };
        if let Err(why) = self.store.append_events(vec![event]).await {
            tracing::warn!(%why, "the audit log does not have a refused login");
        }
    }

    /// Finds the operator of a session that is neither over nor idle for too long, and records its use.
    ///
    /// A clock that is not trusted ends no reading: an operator is needed then. A session from the future is refused.
    ///
    /// # Errors
    /// [`OperationError`] where the store does not answer.
    pub async fn operator(&self, secret: &ConsoleSecret) -> Result<Option<OperatorRecord>, OperationError> {
        let now = self.clock.untrusted_now();
        let Some(session) = self.store.console_session(secret.hash()).await? else { return Ok(None) };
        let is_over = now < session.created
            || now.since(session.created) >= CONSOLE_LIFETIME
            || now.since(session.used) >= CONSOLE_IDLE;
        let operators = self.store.operators().await?;
        let found = operators.into_iter().find(|operator| operator.token == session.token);
        let Some(operator) = found.filter(|operator| !is_over && operator.is_live(now)) else { return Ok(None) };
        if now.since(session.used) >= USE_RECORDED {
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
