//! Other nodes that may answer without the store, and how far each has followed what ended: an end is certain once all of
//! them know it.

use std::time::Duration;

use tokio::sync::watch;

use super::process::has_ended;
use crate::{
    clock::{MAX_STEP, UnixMillis},
    store::{ENDS_KEPT, EndsPosition, Follower, Store, StoreError},
};

/// Longest wait of a request until every node knows an end.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Time between two questions of a command that waits.
const POLL: Duration = Duration::from_millis(250);

/// Time since boot for which the reports of the other nodes count as all of them. A node that is new answers without the
/// store only after it has looked once more, later than this after its first report.
pub const FRESH: Duration = Duration::from_secs(2);

/// Time without a report after which nobody waits for a node: it is gone, or cut off.
const SILENT: Duration = Duration::from_secs(30);

/// Nodes that may go on to answer without the store as if something had not ended. An end is certain where there are
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending(Vec<Follower>);

impl Pending {
    /// Finds, among the nodes, those that may not know yet what ended before `position`.
    pub fn among(nodes: &[Follower], position: EndsPosition, now: UnixMillis) -> Self {
        let behind = |node: &&Follower| node.position < position && may_serve(node, now);
        Self(nodes.iter().filter(behind).cloned().collect())
    }

    /// Asks the store until every node that may answer without it knows what has ended by `now`, but not for long. For a
    /// process that is no node.
    ///
    /// # Errors
    /// [`StoreError`]: it is not known how far the nodes have followed.
    pub async fn poll(store: &dyn Store, now: UnixMillis) -> Result<Self, StoreError> {
        let since = now.minus(ENDS_KEPT);
        if !store.followers(since).await?.iter().any(|node| may_serve(node, now)) {
            return Ok(Self::default());
        }
        let position = store.ends_position().await?;
        let mut waited = Duration::ZERO;
        loop {
            let pending = Self::among(&store.followers(since).await?, position, now);
            if waited >= LONGEST_WAIT || !pending.may_follow(now) {
                return Ok(pending);
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
    }

    /// Returns true where every node knows what ended.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> &[Follower] {
        &self.0
    }

    /// Time until which one of them may serve; `None` where there is none.
    pub fn until(&self) -> Option<UnixMillis> {
        self.0.iter().filter_map(|node| node.serves_until).max()
    }

    /// Returns the names of the nodes, for the log.
    pub fn names(&self) -> String {
        self.0.iter().map(|node| node.node.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Returns true where it may help to wait.
    pub fn may_follow(&self, now: UnixMillis) -> bool {
        self.0.iter().any(|node| now.since(node.looked) < SILENT)
    }
}

/// The clocks of two nodes may differ by [`MAX_STEP`]. A node that was killed serves no more, and could not take back its
/// report.
fn may_serve(node: &Follower, now: UnixMillis) -> bool {
    node.serves_until.is_some_and(|until| until.plus(MAX_STEP) > now) && !has_ended(&node.node)
}

/// Last reports of the other nodes, which this node reads every second.
#[derive(Clone, Debug, Default)]
pub(super) struct Reports {
    /// Name of this node.
    pub(super) own: String,
    pub(super) others: Vec<Follower>,
    /// Time since boot at which they were read.
    pub(super) read: Option<Duration>,
}

impl Reports {
    /// Returns true where no other node may answer without the store, as read a moment ago.
    pub(super) fn is_alone(&self, now: UnixMillis, since_boot: Duration) -> bool {
        let is_fresh = self.read.is_some_and(|read| since_boot.saturating_sub(read) < FRESH);
        is_fresh && !self.others.iter().any(|node| may_serve(node, now))
    }
}

/// Reports of the other nodes, as requests wait for them.
pub(super) struct Followers(watch::Sender<Reports>);

impl Followers {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    pub(super) fn publish(&self, reports: Reports) {
        self.0.send_replace(reports);
    }

    pub(super) fn reports(&self) -> Reports {
        self.0.borrow().clone()
    }

    /// Waits until every other node knows what ended before `position`, but not for long.
    pub(super) async fn wait(&self, position: EndsPosition, now: UnixMillis, known: &[Follower]) -> Pending {
        let mut reports = self.0.subscribe();
        let mut pending = Pending::among(known, position, now);
        let waited = tokio::time::timeout(LONGEST_WAIT, async {
            while pending.may_follow(now) && reports.changed().await.is_ok() {
                pending = Pending::among(&reports.borrow_and_update().others, position, now);
            }
        });
        // A wait that is over leaves what was seen last.
        let _ = waited.await;
        pending
    }
}
