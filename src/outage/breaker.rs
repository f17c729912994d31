//! Circuit breaker before the store. Skeleton: owner `issue`.

use crate::store::StoreError;

/// Kind of an operation. A store may be readable and not writable (a full disk, a standby).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
}

/// Circuit breaker: after one failure nobody asks the store until the node's background task has reached it.
#[derive(Default)]
pub struct Breaker {}

impl Breaker {
    /// Makes one that lets everything through.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the call, unless the breaker is open for this kind of operation.
    pub(super) async fn ask<T>(
        &self,
        _operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        call.await
    }
}
