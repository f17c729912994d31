//! The threads that sign. A signature is some 255 µs of pure computation: it would hold up the threads that serve.
//!
//! Work waits in a line for each key, first come first served; the keys take turns. What waits for one key is signed
//! together where the key can do that, and nothing waits for more to come. Where the wait would be too long, work is refused
//! before anything is done for it: a quick refusal lets clients come back later, a long queue makes everybody late.

mod queue;
mod shedding;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::{
    queue::{Job, Queue, Reply},
    shedding::Shedding,
};
use super::signer::{PrivateKey, Signer};
use crate::{
    domain::{
        ids::Kid,
        jws::{SignError, Signature, SignedToken, SigningInput},
    },
    telemetry::{Metrics, Stopwatch},
};

/// However fast a key signs, no more than this waits for one thread.
const MAX_QUEUE_PER_THREAD: usize = 1024;

/// Signatures that are handed out together while others wait. Each hand-out wakes the threads that serve, which costs
/// more than the hand-out itself; an idle engine hands out at once.
const REPLY_BATCH: usize = 16;

/// A signature that was kept so long for others is handed out with the next: slow processors need no sixteen.
const REPLY_WITHIN: Duration = Duration::from_millis(4);

/// Signing threads and their queue. Dropped, it ends them and waits until they have ended.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    /// The queue's length, to be read without its lock.
    waiting: AtomicUsize,
    shedding: Shedding,
    /// How long the queue may be.
    places: usize,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// Starts the threads, one at least.
    ///
    /// # Errors
    /// Where the system starts no more threads; those started are ended.
    pub fn start(threads: usize, max_wait: Duration, metrics: Arc<Metrics>) -> io::Result<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            waiting: AtomicUsize::new(0),
            shedding: Shedding::new(threads, max_wait),
            places: MAX_QUEUE_PER_THREAD * threads,
            metrics,
        });
        let mut engine = Self { shared, threads: Vec::with_capacity(threads) };
        for i in 0..threads {
            let shared = Arc::clone(&engine.shared);
            let thread = std::thread::Builder::new().name(format!("sign-{i}"));
            engine.threads.push(thread.spawn(move || shared.work())?);
        }
        Ok(engine)
    }

    /// A signer with this key, on these threads.
    pub(super) fn signer(self: &Arc<Self>, kid: Kid, key: Arc<dyn PrivateKey>) -> Arc<dyn Signer> {
        Arc::new(LocalSigner { kid, key, engine: Arc::clone(self) })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // Its panics were caught and reported; there is nobody left to tell.
            drop(thread.join());
        }
    }
}

impl Shared {
    /// No code panics under the lock; should it ever, the queue is sound all the same.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a signature asked for now would wait, where that is too long.
    fn overloaded(&self) -> Option<Duration> {
        self.shedding.too_long(self.waiting.load(Relaxed))
    }

    fn push(&self, job: Job) -> Result<(), SignError> {
        if let Some(retry_after) = self.overloaded() {
            return Err(SignError::Overloaded { retry_after });
        }
        let mut queue = self.lock();
        if queue.len() >= self.places {
            return Err(SignError::Overloaded { retry_after: self.shedding.estimate(queue.len()) });
        }
        queue.push(job);
        self.note_length(&queue);
        let wake = queue.idle > 0;
        drop(queue);
        // Waking costs a system call: not under load, when nobody sleeps.
        if wake {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Takes what is next, if anything waits.
    fn try_take(&self, into: &mut Vec<Job>) -> bool {
        let mut queue = self.lock();
        let taken = queue.take(into);
        self.note_length(&queue);
        taken
    }

    /// Takes what is next, and waits for it; false when the engine ends.
    fn take(&self, into: &mut Vec<Job>) -> bool {
        let mut queue = self.lock();
        loop {
            if queue.take(into) {
                self.note_length(&queue);
                return true;
            }
            self.note_length(&queue);
            if queue.closed {
                return false;
            }
            queue.idle += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn note_length(&self, queue: &Queue) {
        self.waiting.store(queue.len(), Relaxed);
        self.metrics.sign_queue_length(queue.len());
    }

    /// A thread's life.
    fn work(&self) {
        let (mut taken, mut finished) = (Vec::new(), Finished::new());
        let mut ready = Stopwatch::start();
        loop {
            if !self.try_take(&mut taken) {
                finished.flush_replies();
                if !self.take(&mut taken) {
                    return;
                }
                ready = Stopwatch::start();
            }
            let count = taken.len();
            self.sign(&mut taken, &mut finished);
            if finished.is_due() {
                finished.flush_replies();
            }
            self.shedding.signed(count, ready.elapsed());
            ready = Stopwatch::start();
        }
    }

    /// Signs what was taken; it is by one key.
    fn sign(&self, taken: &mut Vec<Job>, finished: &mut Finished) {
        let count = taken.len();
        let signing = Stopwatch::start();
        for job in taken.iter() {
            self.metrics.sign_waited(job.enqueued.elapsed());
        }
        let mut together = sign_together(taken).into_iter();
        let mut signed = 0;
        for job in taken.drain(..) {
            let answer = match together.next().flatten() {
                Some(signature) => Ok(job.input.signed(&signature)),
                None => sign_alone(&*job.key, job.input),
            };
            signed += usize::from(answer.is_ok());
            finished.push(job.reply, answer);
        }
        let share = signing.elapsed() / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        self.metrics.signed(signed, count, share);
    }
}

/// What is signed and not yet handed out: a signature, or why there is none, and who waits for it.
struct Finished {
    answers: Vec<(Reply, Result<SignedToken, SignError>)>,
    /// Since the first of them.
    since: Stopwatch,
}

impl Finished {
    fn new() -> Self {
        Self { answers: Vec::with_capacity(2 * REPLY_BATCH), since: Stopwatch::start() }
    }

    fn push(&mut self, reply: Reply, answer: Result<SignedToken, SignError>) {
        if self.answers.is_empty() {
            self.since = Stopwatch::start();
        }
        self.answers.push((reply, answer));
    }

    fn is_due(&self) -> bool {
        self.answers.len() >= REPLY_BATCH || self.since.elapsed() >= REPLY_WITHIN
    }

    fn flush_replies(&mut self) {
        for (reply, answer) in self.answers.drain(..) {
            // Fails where whoever asked has gone meanwhile.
            drop(reply.send(answer));
        }
    }
}

/// What the key signs together; nothing where one job is alone.
fn sign_together(jobs: &[Job]) -> Vec<Option<Signature>> {
    let [first, _, ..] = jobs else { return Vec::new() };
    let messages: Vec<&[u8]> = jobs.iter().map(|job| job.input.as_bytes()).collect();
    // After a panic each is tried alone.
    catch_unwind(AssertUnwindSafe(|| first.key.sign_together(&messages))).unwrap_or_default()
}

fn sign_alone(key: &dyn PrivateKey, input: SigningInput) -> Result<SignedToken, SignError> {
    match catch_unwind(AssertUnwindSafe(|| key.sign(input.as_bytes()))) {
        Ok(Ok(signature)) => Ok(input.signed(&signature)),
        Ok(Err(why)) => Err(SignError::Unavailable(why)),
        Err(_) => Err(SignError::Unavailable("signing panicked".to_owned())),
    }
}

/// A key in this process.
struct LocalSigner {
    kid: Kid,
    key: Arc<dyn PrivateKey>,
    engine: Arc<Engine>,
}

#[async_trait]
impl Signer for LocalSigner {
    fn kid(&self) -> &Kid {
        &self.kid
    }

    async fn sign(&self, input: SigningInput) -> Result<SignedToken, SignError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { key: Arc::clone(&self.key), input, reply, enqueued: Stopwatch::start() };
        self.engine.shared.push(job)?;
        // The reply is dropped unanswered by nobody but a thread that died.
        answer.await.unwrap_or_else(|_| Err(SignError::Unavailable("the signing thread is gone".to_owned())))
    }

    fn overloaded(&self) -> Option<Duration> {
        self.engine.shared.overloaded()
    }
}

#[cfg(test)]
mod tests;
