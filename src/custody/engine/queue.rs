//! What waits for a signature: a line for each key, served in turn, so that no key waits for another one's crowd.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    custody::signer::PrivateKey,
    domain::jws::{SignError, SignedToken, SigningInput},
    telemetry::Stopwatch,
};

/// Fewer than these are signed one by one: eight lanes take as long as two and a half single signatures, however few are
/// needed.
const WORTH_A_BATCH: usize = 3;

/// The way to who waits.
pub(super) type Reply = oneshot::Sender<Result<SignedToken, SignError>>;

/// Something to sign, and who waits for it.
pub(super) struct Job {
    pub(super) key: Arc<dyn PrivateKey>,
    pub(super) input: SigningInput,
    pub(super) reply: Reply,
    pub(super) enqueued: Stopwatch,
}

#[derive(Default)]
pub(super) struct Queue {
    /// None is empty: what a line holds on to is a private key.
    lines: VecDeque<VecDeque<Job>>,
    waiting: usize,
    /// Threads that sleep.
    pub(super) idle: usize,
    pub(super) closed: bool,
}

impl Queue {
    /// How much waits, of all keys.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn push(&mut self, job: Job) {
        self.waiting += 1;
        let same_key = |line: &&mut VecDeque<Job>| line.front().is_some_and(|first| Arc::ptr_eq(&first.key, &job.key));
        match self.lines.iter_mut().find(same_key) {
            Some(line) => line.push_back(job),
            None => self.lines.push_back(VecDeque::from([job])),
        }
    }

    /// Takes what is to be signed next, all of it by one key: one job, or as many as the key signs together. Whoever has
    /// gone is left out: the token would reach nobody. False where nothing is left.
    pub(super) fn take(&mut self, into: &mut Vec<Job>) -> bool {
        while into.is_empty() {
            let Some(mut line) = self.lines.pop_front() else { return false };
            let before = line.len();
            take_from(&mut line, into);
            self.waiting -= before - line.len();
            if !line.is_empty() {
                self.lines.push_back(line);
            }
        }
        true
    }
}

fn take_from(line: &mut VecDeque<Job>, into: &mut Vec<Job>) {
    let most = line.front().map_or(0, |first| first.key.lanes());
    while into.len() < most
        && let Some(job) = line.pop_front()
    {
        if !job.reply.is_closed() {
            into.push(job);
        }
    }
    // Too few: other threads may take the rest.
    if into.len() < WORTH_A_BATCH {
        for job in into.drain(1.min(into.len())..).rev() {
            line.push_front(job);
        }
    }
}
