//! Circuit breaker before the store: while it is open, nobody waits for a store that does not answer.

use std::{
    pin::pin,
    sync::atomic::{AtomicU8, Ordering},
};

use tokio::sync::Notify;

use crate::store::StoreError;

/// Kind of an operation. A store may be readable and not writable (a full disk, a standby); one that cannot be read
/// counts as not writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
}

impl Operation {
    /// Bit in [`Breaker::open`].
    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
        }
    }

    /// Bits that a failure of this kind sets.
    const fn lost(self) -> u8 {
        match self {
            Self::Read => Self::Read.bit() | Self::Write.bit(),
            Self::Write => Self::Write.bit(),
        }
    }
}

/// Circuit breaker: after one failure that is an outage nobody asks the store, and those who wait for it are released,
/// until a probe of the node's background work has reached it.
///
/// A released write may be committed all the same: whoever asks must be able to live with either outcome.
#[derive(Default)]
pub struct Breaker {
    /// Bits of the kinds for which it is open.
    open: AtomicU8,
    /// Wakes those who wait for the answer to a read.
    reads: Notify,
    /// Wakes those who wait for the answer to a write.
    writes: Notify,
}

impl Breaker {
    /// Makes one that lets everything through.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns true while nobody asks the store for this kind of operation.
    pub fn is_open(&self, operation: Operation) -> bool {
        self.open.load(Ordering::Acquire) & operation.bit() != 0
    }

    /// Runs the call, unless the breaker is open for this kind of operation; `None` where it is, or opens meanwhile.
    ///
    /// A store that answers at once costs two loads of an atomic. Only a call that has to wait takes its place in the
    /// list of those who are released together.
    pub(super) async fn ask<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<Result<T, StoreError>> {
        // Made before the look at the state: it notices an opening in between.
        let opened = self.waiting(operation).notified();
        if self.is_open(operation) {
            return None;
        }
        let answer = tokio::select! {
            biased;
            answer = pin!(call) => answer,
            () = opened => return None,
        };
        Some(answer)
    }

    /// Opens it for this kind of operation. Returns true where it was not open.
    pub(super) fn open(&self, operation: Operation) -> bool {
        let lost = operation.lost();
        let before = self.open.fetch_or(lost, Ordering::AcqRel);
        for kind in [Operation::Read, Operation::Write] {
            if lost & !before & kind.bit() != 0 {
                self.waiting(kind).notify_waiters();
            }
        }
        lost & !before != 0
    }

    /// Closes it for this kind of operation, which the store answered.
    pub(super) fn close(&self, operation: Operation) {
        self.open.fetch_and(!operation.bit(), Ordering::AcqRel);
    }

    fn waiting(&self, operation: Operation) -> &Notify {
        match operation {
            Operation::Read => &self.reads,
            Operation::Write => &self.writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use super::*;

    fn silent() -> Result<(), StoreError> {
        Err(StoreError::OutOfReach { store: "s".to_owned(), why: "no answer in time".to_owned() })
    }

    async fn reaches(breaker: &Breaker, operation: Operation) -> bool {
        breaker.ask(operation, async { Ok(()) }).await.is_some()
    }

    #[tokio::test]
    async fn a_closed_breaker_passes_answers_and_faults() {
        let breaker = Breaker::new();
        assert!(matches!(breaker.ask(Operation::Read, async { Ok(7) }).await, Some(Ok(7))));
        assert!(matches!(breaker.ask(Operation::Write, async { silent() }).await, Some(Err(_))));
        assert!(!breaker.is_open(Operation::Write), "only its owner judges faults");
    }

    #[tokio::test]
    async fn an_open_breaker_begins_no_call() {
        let breaker = Breaker::new();
        assert!(breaker.open(Operation::Read));
        assert!(!breaker.open(Operation::Read), "it opens once");
        let never = async { unreachable!("the store is not asked") };
        assert!(breaker.ask::<()>(Operation::Read, never).await.is_none());
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_read_is_not_written_either_and_not_the_reverse() {
        let breaker = Breaker::new();
        breaker.open(Operation::Write);
        assert!(reaches(&breaker, Operation::Read).await && !reaches(&breaker, Operation::Write).await);
        assert!(breaker.open(Operation::Read), "reads were answered so far");
        breaker.close(Operation::Read);
        assert!(reaches(&breaker, Operation::Read).await && !reaches(&breaker, Operation::Write).await);
        breaker.close(Operation::Write);
        breaker.open(Operation::Read);
        assert!(!reaches(&breaker, Operation::Read).await && !reaches(&breaker, Operation::Write).await);
    }

    /// A store that hangs costs one time-out, not one for each request.
    #[tokio::test]
    async fn those_who_wait_are_released_when_it_opens() {
        let breaker = Arc::new(Breaker::new());
        let wait = |operation| {
            let breaker = Arc::clone(&breaker);
            tokio::spawn(async move { breaker.ask::<()>(operation, pending()).await })
        };
        let reads: Vec<_> = (0..100).map(|_| wait(Operation::Read)).collect();
        let writes: Vec<_> = (0..100).map(|_| wait(Operation::Write)).collect();
        tokio::task::yield_now().await;
        breaker.open(Operation::Write);
        for write in writes {
            assert!(write.await.unwrap().is_none());
        }
        assert!(reads.iter().all(|read| !read.is_finished()), "reads are answered still, as far as is known");
        breaker.open(Operation::Read);
        for read in reads {
            assert!(read.await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_there_wins_over_a_release() {
        let breaker = Breaker::new();
        let call = async {
            breaker.open(Operation::Read);
            Ok(7)
        };
        assert!(matches!(breaker.ask(Operation::Read, call).await, Some(Ok(7))));
    }
}
