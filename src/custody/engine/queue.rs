//! Queue of signing jobs: one queue for each key, served round robin, so that many jobs of one key delay no other key.

use std::{collections::VecDeque, sync::Arc};

use super::replies::Reply;
use crate::{custody::signer::PrivateKey, domain::jws::SigningInput, telemetry::Stopwatch};

/// Signing input with its key and its caller.
pub(super) struct Job {
    pub(super) key: Arc<dyn PrivateKey>,
    pub(super) input: SigningInput,
    pub(super) reply: Reply,
    pub(super) enqueued: Stopwatch,
}

#[derive(Default)]
pub(super) struct Queue {
    /// Queues of the keys, in the order of service. An empty queue is removed, so that no private key is kept alive.
    queues: VecDeque<VecDeque<Job>>,
    waiting: usize,
    /// Number of sleeping threads.
    pub(super) idle: usize,
    pub(super) closed: bool,
}

impl Queue {
    /// Number of waiting jobs of all keys.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn push(&mut self, job: Job) {
        self.waiting += 1;
        let has_same_key =
            |queue: &&mut VecDeque<Job>| queue.front().is_some_and(|first| Arc::ptr_eq(&first.key, &job.key));
        match self.queues.iter_mut().find(has_same_key) {
            Some(queue) => queue.push_back(job),
            None => self.queues.push_back(VecDeque::from([job])),
        }
    }

    /// True where fewer jobs wait for the next key than it signs together.
    pub(super) fn is_short(&self) -> bool {
        let next = self.queues.front().and_then(|queue| Some((queue.front()?, queue.len())));
        next.is_some_and(|(first, waiting)| waiting < *first.key.together().end())
    }

    /// Takes the next jobs, all of one key: one job, or as many as the key signs together. A job whose caller has
    /// gone is dropped. False where no job waits.
    pub(super) fn take(&mut self, into: &mut Vec<Job>) -> bool {
        while into.is_empty() {
            let Some(mut queue) = self.queues.pop_front() else { return false };
            let before = queue.len();
            take_from(&mut queue, into);
            self.waiting -= before - queue.len();
            if !queue.is_empty() {
                self.queues.push_back(queue);
            }
        }
        true
    }
}

fn take_from(queue: &mut VecDeque<Job>, into: &mut Vec<Job>) {
    let Some(together) = queue.front().map(|first| first.key.together()) else { return };
    while into.len() < *together.end()
        && let Some(job) = queue.pop_front()
    {
        if !job.reply.is_closed() {
            into.push(job);
        }
    }
    // Too few for a batch, which computes all its lanes in any case: all but the first go back for other threads.
    if into.len() < *together.start() {
        for job in into.drain(1.min(into.len())..).rev() {
            queue.push_front(job);
        }
    }
}
