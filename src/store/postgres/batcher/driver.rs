//! Driver of a [`Batcher`](super::Batcher): takes what waits, runs it, answers, and looks again.

use std::{pin::pin, slice, sync::Arc, thread, time::Duration};

use tokio::{runtime::Handle, time};

use super::{Shared, Work};
use crate::{domain::ids::SessionId, store::postgres::transactions::Failure, telemetry::StoreWork};

/// Time for which a batch gathers where the last one had company, and again where more came meanwhile.
const GATHER: Duration = Duration::from_millis(1);
/// Greatest number of times that a batch gathers.
const GATHERINGS: usize = 2;
/// Time after which another batch may go beside one that is under way.
const LONG: Duration = Duration::from_millis(5);

/// Does what waits, until nothing does.
pub(super) async fn drive<W: Work>(shared: Arc<Shared<W>>) {
    let mut driver = Driver { shared, sessions: Vec::new(), is_prompt: true, is_counted: true };
    while driver.next_batch().await {}
}

/// A driver. However it ends, others can take its place.
struct Driver<W: Work> {
    shared: Arc<Shared<W>>,
    /// Sessions of its batch.
    sessions: Vec<SessionId>,
    /// Its batch is not under way for long.
    is_prompt: bool,
    /// The queue counts this driver.
    is_counted: bool,
}

impl<W: Work> Driver<W> {
    /// Does the next batch. Returns whether the driver goes on.
    async fn next_batch(&mut self) -> bool {
        self.gather().await;
        let taken = self.shared.queue().take();
        let Some(batch) = taken else {
            self.is_counted = false;
            return false;
        };
        self.sessions = batch.sessions;
        let answers = self.run(&batch.items).await;
        self.is_counted = self.shared.queue().done(&self.sessions, self.is_prompt);
        self.sessions.clear();
        self.is_prompt = true;
        for (reply, answer) in batch.replies.into_iter().zip(answers) {
            // It fails where the caller has stopped waiting.
            let _ = reply.send(answer.map_err(|why| why.of(&self.shared.name)));
        }
        self.is_counted
    }

    async fn gather(&self) {
        let mut before = None;
        for _ in 0..GATHERINGS {
            before = self.shared.queue().gathers(before);
            if before.is_none() {
                break;
            }
            time::sleep(GATHER).await;
        }
    }

    /// Runs items together; where their values are the reason that they fail, one by one.
    async fn run(&mut self, items: &[W::Item]) -> Vec<Result<W::Answer, Failure>> {
        match self.run_once(items).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(Failure::Values(_)) if items.len() > 1 => self.run_one_by_one(items).await,
            Err(why) => items.iter().map(|_| Err(why.clone())).collect(),
        }
    }

    async fn run_one_by_one(&mut self, items: &[W::Item]) -> Vec<Result<W::Answer, Failure>> {
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            match self.run_once(slice::from_ref(item)).await {
                Ok(one) => answers.extend(one.into_iter().map(Ok)),
                Err(why @ Failure::Values(_)) => answers.push(Err(why)),
                Err(why) => {
                    // The others would fail in the same way, one after the other.
                    answers.resize_with(items.len(), || Err(why.clone()));
                    break;
                }
            }
        }
        answers
    }

    /// Runs items together. Another driver may go on beside this one once that takes long.
    async fn run_once(&mut self, items: &[W::Item]) -> Result<Vec<W::Answer>, Failure> {
        let shared = Arc::clone(&self.shared);
        let mut work = pin!(shared.work.run(items));
        if self.is_prompt {
            match time::timeout(LONG, &mut work).await {
                Ok(done) => return self.checked(items, done),
                Err(_) => self.slow_down(),
            }
        }
        let done = work.await;
        self.checked(items, done)
    }

    fn checked(&self, items: &[W::Item], done: Result<Vec<W::Answer>, Failure>) -> Result<Vec<W::Answer>, Failure> {
        let answers = done?;
        if answers.len() != items.len() {
            return Err(Failure::Store("not every question has an answer; this is a bug of countersign".to_owned()));
        }
        if W::KIND == StoreWork::Write {
            self.shared.metrics.committed(items.len());
        }
        Ok(answers)
    }

    fn slow_down(&mut self) {
        self.is_prompt = false;
        self.shared.queue().slow();
        self.shared.add_driver(&Handle::current());
    }
}

impl<W: Work> Drop for Driver<W> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        if self.is_counted {
            // A panic, or the end of the runtime.
            queue.release(&self.sessions);
            queue.remove_driver(self.is_prompt);
            if !thread::panicking() {
                queue.clear();
            }
        }
        if queue.is_idle() {
            self.shared.idle.notify_all();
        }
        drop(queue);
        if thread::panicking()
            && let Ok(runtime) = Handle::try_current()
        {
            self.shared.add_driver(&runtime);
        }
    }
}
