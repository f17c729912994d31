//! Groups of work: what waits together becomes one statement.
//!
//! A [`Batcher`] starts a task, the driver, when there is work and none runs; the driver takes what waits, runs it, and
//! looks again. An item that comes alone so goes at once. While a batch is under way, what arrives gathers; and where
//! the last batch had company, the driver lets more gather for a moment. Where a batch takes long, because the database
//! is far away or a row is locked, another driver goes on beside it.

mod driver;
mod queue;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
    task::block_in_place,
    time::timeout,
};

use self::queue::Queue;
use super::{errors::StoreName, transactions::Failure};
use crate::{
    domain::ids::SessionId,
    store::StoreError,
    telemetry::{Metrics, Stopwatch, StoreWork},
};

/// Longest time for which the end of a batcher waits for what is still to be done.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Kind of work that is done in groups.
pub(super) trait Work: Send + Sync + Sized + 'static {
    const KIND: StoreWork;
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Session that the item has to itself: no other item of that session is done at the same time.
    fn exclusive(_item: &Self::Item) -> Option<SessionId> {
        None
    }

    /// Does the work of all items as a whole, or none of it. Returns one answer for each, in their order.
    fn run(&self, items: &[Self::Item]) -> impl Future<Output = Result<Vec<Self::Answer>, Failure>> + Send;
}

/// Reply to a caller.
type Reply<W> = oneshot::Sender<Result<<W as Work>::Answer, StoreError>>;

/// Work of one kind, in groups. When it is dropped, what waits is still done.
pub(super) struct Batcher<W: Work>(Arc<Shared<W>>);

/// What a batcher and its drivers share.
struct Shared<W: Work> {
    work: W,
    queue: Mutex<Queue<W, Reply<W>>>,
    /// Told when the last driver ends.
    idle: Condvar,
    name: StoreName,
    /// Longest time for which a caller waits.
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl<W: Work> Batcher<W> {
    /// Makes a batcher without work, on whose answers nobody waits longer than `timeout`.
    pub(super) fn new(work: W, name: StoreName, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { work, queue: Mutex::default(), idle: Condvar::new(), name, timeout, metrics }))
    }

    /// Does an item, together with what else waits. It is done even if the caller stops waiting. Where too much waits
    /// already, it is refused at once.
    pub(super) async fn run(&self, item: W::Item) -> Result<W::Answer, StoreError> {
        let watch = Stopwatch::start();
        // Where the database hangs, the time of an item begins here and not when its batch does.
        let answer = timeout(self.0.timeout, self.0.push(item)?).await;
        self.0.metrics.store_worked(W::KIND, watch.elapsed());
        let answer = answer.map_err(|_| self.0.name.silent(self.0.timeout))?;
        answer.unwrap_or_else(|_| Err(self.0.name.unavailable("the task that asks it has ended")))
    }
}

impl<W: Work> Drop for Batcher<W> {
    fn drop(&mut self) {
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            // The drivers run on this thread: they go on after this.
            Ok(RuntimeFlavor::CurrentThread) => {}
            Ok(_) => block_in_place(|| self.0.wait_until_idle()),
            Err(_) => self.0.wait_until_idle(),
        }
    }
}

impl<W: Work> Shared<W> {
    fn queue(&self) -> MutexGuard<'_, Queue<W, Reply<W>>> {
        // Each change of the queue is whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, item: W::Item) -> Result<oneshot::Receiver<Result<W::Answer, StoreError>>, StoreError> {
        let runtime = Handle::try_current().map_err(|why| self.name.unavailable(why))?;
        let (reply, answer) = oneshot::channel();
        self.queue().push(item, reply).map_err(|why| self.name.unavailable(why))?;
        self.add_driver(&runtime);
        Ok(answer)
    }

    /// Starts a driver if one is needed.
    fn add_driver(self: &Arc<Self>, runtime: &Handle) {
        if self.queue().add_driver() {
            runtime.spawn(driver::drive(Arc::clone(self)));
        }
    }

    fn wait_until_idle(&self) {
        let busy = |queue: &mut Queue<W, Reply<W>>| !queue.is_idle();
        drop(self.idle.wait_timeout_while(self.queue(), LAST_WAIT, busy));
    }
}
