//! Signing threads. A signature is some 255 µs of computation, which would block the threads that serve requests.
//!
//! Each key has a queue, first in first out; the keys are served round robin. Jobs that wait for one key are signed
//! together where the key can do that, and no job waits for more to come. A job that would wait too long is refused
//! before any work is done for it: a quick refusal lets its client come back later, a long queue delays every client.

mod queue;
mod replies;
mod shedding;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::{
    queue::{Job, Queue},
    replies::{PendingReplies, Reply},
    shedding::Shedding,
};
use super::{
    pace::Pace,
    signer::{PrivateKey, Signer},
};
use crate::{
    domain::{
        ids::Kid,
        jws::{SignError, Signature, SignedToken, SigningInput},
    },
    telemetry::{Metrics, Stopwatch, run_again_after_panics, start_thread},
};

/// Maximal number of waiting jobs for each thread, however fast they are signed.
const MAX_QUEUE_PER_THREAD: usize = 1024;

/// Signing threads and their queue. Dropping it stops the threads and joins them.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    /// Length of the queue, readable without the lock.
    waiting: AtomicUsize,
    shedding: Shedding,
    /// Maximal length of the queue.
    capacity: usize,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// Starts the threads, at least one.
    ///
    /// # Errors
    /// The system's error where a thread does not start; the started ones are stopped.
    pub fn start(threads: usize, max_wait: Duration, metrics: Arc<Metrics>) -> io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            waiting: AtomicUsize::new(0),
            shedding: Shedding::new(threads, max_wait),
            capacity: MAX_QUEUE_PER_THREAD * threads,
            metrics,
        });
        let mut engine = Self { shared, threads: Vec::with_capacity(threads) };
        for i in 0..threads {
            let shared = Arc::clone(&engine.shared);
            let work = move || run_again_after_panics(&shared.metrics, || shared.work());
            engine.threads.push(start_thread(format!("sign-{i}"), work)?);
        }
        Ok(engine)
    }

    /// Makes a signer that signs with this key on these threads.
    pub(super) fn signer(self: &Arc<Self>, kid: Kid, key: Arc<dyn PrivateKey>) -> Arc<dyn Signer> {
        Arc::new(LocalSigner { kid, key, engine: Arc::clone(self) })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // The thread catches its own panics.
            drop(thread.join());
        }
    }
}

impl Shared {
    /// Locks the queue. No code panics under the lock, and a panic would leave the queue consistent.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Estimated wait of a new job, where it is too long.
    fn overloaded(&self) -> Option<Duration> {
        self.shedding.too_long(self.waiting.load(Relaxed))
    }

    fn push(&self, job: Job) -> Result<(), SignError> {
        if let Some(retry_after) = self.overloaded() {
            return Err(SignError::Overloaded { retry_after });
        }
        let mut queue = self.lock();
        if queue.len() >= self.capacity {
            return Err(SignError::Overloaded { retry_after: self.shedding.estimate(queue.len()) });
        }
        queue.push(job);
        self.record_length(&queue);
        let wake = queue.idle > 0;
        drop(queue);
        // Waking costs a system call, which is saved under load, when no thread sleeps.
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Takes the next jobs; false where none waits, or fewer than their key signs together.
    fn try_take(&self, into: &mut Vec<Job>) -> bool {
        let mut queue = self.lock();
        let taken = !queue.is_short() && queue.take(into);
        self.record_length(&queue);
        taken
    }

    /// Waits for the next jobs and takes them; false when the engine stops.
    fn take(&self, into: &mut Vec<Job>) -> bool {
        let mut queue = self.lock();
        loop {
            if queue.take(into) {
                self.record_length(&queue);
                return true;
            }
            self.record_length(&queue);
            if queue.closed {
                return false;
            }
            queue.idle += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn record_length(&self, queue: &Queue) {
        self.waiting.store(queue.len(), Relaxed);
        self.metrics.sign_queue_length(queue.len());
    }

    /// Main loop of a signing thread.
    fn work(&self) {
        let (mut taken, mut replies) = (Vec::new(), PendingReplies::new());
        let mut ready = Stopwatch::start();
        loop {
            if !self.try_take(&mut taken) {
                replies.flush();
                // Callers that are about to ask may go first, so that they are signed together. It matters where there
                // are few processors; where nobody wants this one, it takes no time.
                thread::yield_now();
                if !self.take(&mut taken) {
                    return;
                }
                ready = Stopwatch::start();
            }
            let count = taken.len();
            if let [only] = taken.as_mut_slice()
                && self.waiting.load(Relaxed) == 0
                && only.reply.begin()
            {
                // The caller's write waits for the disk, not for the processor. So it is begun first, also where there
                // is one processor: the caller goes first, then the thread that it wakes.
                thread::yield_now();
                thread::yield_now();
            }
            self.sign(&mut taken, &mut replies);
            if replies.is_due() {
                replies.flush();
            }
            self.shedding.signed(count, ready.elapsed());
            ready = Stopwatch::start();
        }
    }

    /// Signs the taken jobs, which are all of one key.
    fn sign(&self, taken: &mut Vec<Job>, replies: &mut PendingReplies) {
        let count = taken.len();
        let signing = Stopwatch::start();
        for job in taken.iter() {
            self.metrics.sign_waited(job.enqueued.elapsed());
        }
        let mut together = sign_together(taken).into_iter();
        let mut signed = 0;
        for job in taken.drain(..) {
            let waited = job.enqueued.elapsed();
            let answer = match together.next().flatten() {
                Some(signature) => Ok(job.input.signed(&signature)),
                None => sign_alone(&*job.key, job.input),
            };
            signed += usize::from(answer.is_ok());
            replies.push(job.reply, answer, waited);
        }
        let share = signing.elapsed() / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        self.metrics.signed(signed, count, share);
    }
}

/// Signs the jobs together; an empty result for a single job.
fn sign_together(jobs: &[Job]) -> Vec<Option<Signature>> {
    let [first, _, ..] = jobs else { return Vec::new() };
    let messages: Vec<&[u8]> = jobs.iter().map(|job| job.input.as_bytes()).collect();
    // After a panic each job is signed alone.
    catch_unwind(AssertUnwindSafe(|| first.key.sign_together(&messages))).unwrap_or_default()
}

fn sign_alone(key: &dyn PrivateKey, input: SigningInput) -> Result<SignedToken, SignError> {
    match catch_unwind(AssertUnwindSafe(|| key.sign(input.as_bytes()))) {
        Ok(Ok(signature)) => Ok(input.signed(&signature)),
        Ok(Err(why)) => Err(SignError::Unavailable(why)),
        Err(_) => Err(SignError::Unavailable("signing panicked".to_owned())),
    }
}

/// Signer of a key in this process.
struct LocalSigner {
    kid: Kid,
    key: Arc<dyn PrivateKey>,
    engine: Arc<Engine>,
}

impl LocalSigner {
    async fn sign_with(
        &self,
        input: SigningInput,
        begun: Option<oneshot::Sender<()>>,
    ) -> Result<SignedToken, SignError> {
        let (reply, answer) = Reply::channel(begun);
        self.engine.shared.push(Job { key: Arc::clone(&self.key), input, reply, enqueued: Stopwatch::start() })?;
        // Only a thread that died drops the reply channel without an answer.
        answer.await.unwrap_or_else(|_| Err(SignError::Unavailable("the signing thread is gone".to_owned())))
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn kid(&self) -> &Kid {
        &self.kid
    }

    async fn sign(&self, input: SigningInput) -> Result<SignedToken, SignError> {
        self.sign_with(input, None).await
    }

    async fn sign_telling(&self, input: SigningInput, begun: oneshot::Sender<()>) -> Result<SignedToken, SignError> {
        self.sign_with(input, Some(begun)).await
    }

    fn overloaded(&self) -> Option<Duration> {
        self.engine.shared.overloaded()
    }

    fn pace(&self) -> Option<&Pace> {
        self.key.pace()
    }
}

#[cfg(test)]
mod tests;
