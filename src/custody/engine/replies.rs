//! Replies to the callers that wait for signatures.

use std::{mem, time::Duration};

use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    domain::jws::{SignError, SignedToken},
    telemetry::Stopwatch,
};

/// Number of replies that are sent together while jobs wait. Sending wakes the threads that serve requests, which costs
/// more than the sending itself; an idle engine sends each reply at once.
const TOGETHER: usize = 16;

/// Maximal time that a reply is held back for others if its caller has waited for [`SHARE`] times as long or less; on a slow
/// processor it comes before [`TOGETHER`].
const WITHIN: Duration = Duration::from_millis(4);

/// A caller that has waited long may wait for this fraction of that time more: under load more replies are sent together, so
/// that more writes share a commit.
const SHARE: u32 = 4;

type Signed = Result<SignedToken, SignError>;

/// Channels to the caller that waits for the signature.
pub(super) struct Reply {
    signed: oneshot::Sender<Signed>,
    /// Sent once the signature is begun while none waits for it. Otherwise it is dropped after the reply, because that
    /// wakes the caller too.
    begun: Option<oneshot::Sender<()>>,
    /// Runtime of the caller; none where something else polls it.
    runtime: Option<Handle>,
}

impl Reply {
    /// Makes the channels of the caller that runs this, and the receiver of its signature.
    pub(super) fn channel(begun: Option<oneshot::Sender<()>>) -> (Self, oneshot::Receiver<Signed>) {
        let (signed, answer) = oneshot::channel();
        (Self { signed, begun, runtime: Handle::try_current().ok() }, answer)
    }

    /// True where the caller has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.signed.is_closed()
    }

    /// Tells the caller that its signature is being computed. False where the caller did not ask.
    pub(super) fn begin(&mut self) -> bool {
        self.begun.take().is_some_and(|begun| begun.send(()).is_ok())
    }

    fn send(self, signed: Signed) {
        // Fails where the caller has gone.
        drop(self.signed.send(signed));
        drop(self.begun);
    }
}

/// Replies that are not sent yet.
pub(super) struct PendingReplies {
    replies: Vec<(Reply, Signed)>,
    /// Time since the first of them.
    since: Stopwatch,
    /// For how long the first of them is held back at most.
    limit: Duration,
}

impl PendingReplies {
    pub(super) fn new() -> Self {
        Self { replies: Vec::new(), since: Stopwatch::start(), limit: WITHIN }
    }

    /// Adds the reply to a caller that has waited so long for its signature.
    pub(super) fn push(&mut self, reply: Reply, signed: Signed, waited: Duration) {
        if self.replies.is_empty() {
            self.since = Stopwatch::start();
            self.limit = longest_hold(waited);
        }
        self.replies.push((reply, signed));
    }

    pub(super) fn is_due(&self) -> bool {
        self.replies.len() >= TOGETHER || self.since.elapsed() >= self.limit
    }

    /// Sends all of them: one at once, several from a task. Where a thread of its own wakes a task, that takes a system
    /// call and often a switch of threads; where a task does it, neither.
    pub(super) fn flush(&mut self) {
        let replies = mem::take(&mut self.replies);
        let send =
            move |replies: Vec<(Reply, Signed)>| replies.into_iter().for_each(|(reply, signed)| reply.send(signed));
        match replies.as_slice() {
            [(Reply { runtime: Some(runtime), .. }, _), _, ..] => {
                let runtime = runtime.clone();
                drop(runtime.spawn(async move { send(replies) }));
            }
            _ => send(replies),
        }
    }
}

/// Returns for how long a reply is held back at most, whose caller has waited so long.
fn longest_hold(waited: Duration) -> Duration {
    WITHIN.max(waited / SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_caller_waits_longer_only_if_it_waited_long() {
        for (waited, held) in [(0, 4), (16, 4), (40, 10)] {
            let mut replies = PendingReplies::new();
            for waited in [waited, 1_000] {
                let (reply, _) = Reply::channel(None);
                replies.push(reply, Err(SignError::Unavailable(String::new())), Duration::from_millis(waited));
            }
            assert_eq!(replies.limit, Duration::from_millis(held));
        }
    }
}
