//! Operations on operators: create, list, revoke.

use std::{sync::Arc, time::Duration};

use super::{OperationError, acts::Acts, error::OperationErrorKind};
use crate::{
    clock::ClockGuard,
    domain::operator::{OperatorName, OperatorRecord, OperatorToken, Role},
    secret::{Entropy, random},
    store::{Store, StoreError},
};

/// Operations on operators.
pub struct OperatorRecords {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) acts: Acts,
}

impl OperatorRecords {
    /// Puts an operator on record, whose token expires after `lifetime`. Only the returned [`OperatorToken`] has the
    /// secret.
    ///
    /// # Errors
    /// [`OperationErrorKind::Conflict`] where a live operator has that name.
    pub async fn create(
        &self,
        name: OperatorName,
        role: Role,
        lifetime: Option<Duration>,
    ) -> Result<(OperatorToken, OperatorRecord), OperationError> {
        let token = OperatorToken::new(random(&*self.entropy)?, random(&*self.entropy)?);
        let created = self.clock.trusted_now()?;
        let record = OperatorRecord {
            name,
            role,
            token: token.id.clone(),
            hash: token.hash(),
            created,
            expires: lifetime.map(|span| created.plus(span)),
            revoked: None,
        };
        if !self.store.insert_operator(record.clone(), &self.acts.actor).await? {
            let message = format!(
                "there is an operator {} already: `countersign operators revoke {}` first, or choose another name",
                record.name, record.name
            );
            return Err(OperationError::new(OperationErrorKind::Conflict, message));
        }
        tracing::info!(operator = %record.name, role = record.role.as_str(), "an operator was put on record");
        Ok((token, record))
    }

    /// Every operator on record, oldest first.
    pub async fn list(&self) -> Result<Vec<OperatorRecord>, StoreError> {
        self.store.operators().await
    }

    /// Revokes an operator for good; the token and its sessions of the console are refused at once.
    ///
    /// # Errors
    /// [`OperationErrorKind::NotFound`] where no live operator has that name.
    pub async fn revoke(&self, name: &OperatorName) -> Result<(), OperationError> {
        if !self.store.revoke_operator(name, self.clock.untrusted_now(), &self.acts.actor).await? {
            let message = format!("there is no live operator {name} (`countersign operators list` shows them)");
            return Err(OperationError::new(OperationErrorKind::NotFound, message));
        }
        tracing::info!(operator = %name, "an operator was revoked");
        Ok(())
    }
}
