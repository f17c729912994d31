//! Ends as nodes follow them: what must stay ended while the store is out of reach.
//!
//! Every engine keeps a log of ends: one row for each end of a session, a user, an app or a login at a provider, and
//! for each opt-out and opt-in. The engine's own triggers write it, in the transaction of the end, so that a program of
//! another version cannot leave one out. A node that begins reads what has ended as a whole; then it follows the log.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::StoreError;
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        login_record::LoginHash,
        session::Ended,
    },
};

/// Time for which the log of ends is kept. A node that did not look for longer reads what has ended as a whole again.
pub const ENDS_KEPT: Duration = Duration::from_hours(48);

/// Position in the log of ends. Every end before it has been committed, or never will be: an engine whose transactions
/// commit in another order than they begin counts transactions and not rows (PostgreSQL: `pg_snapshot_xmin`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EndsPosition(pub u64);

/// An end, or what undoes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A session ended.
    Session { id: SessionId, why: Ended, expires: UnixMillis },
    /// All sessions of a user, of one app or of all, that were created at or before `at`.
    User { user: UserHash, app: Option<AppName>, at: UnixMillis },
    /// All sessions of one app, or of all, that were created at or before `at`.
    App { app: Option<AppName>, at: UnixMillis },
    /// A user is opted out of one app, or of all.
    OptOut { user: UserHash, app: Option<AppName> },
    /// That opt-out was removed.
    OptIn { user: UserHash, app: Option<AppName> },
    /// A login at a provider ended, for credentials that were issued at or before `issued_until`.
    Login { app: AppName, login: LoginHash, issued_until: UnixMillis, remembered_until: UnixMillis },
}

/// Part of the log of ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndsPage {
    /// Position to read from at the next look: that of the first page of this look.
    pub horizon: EndsPosition,
    /// Ends in the order in which they took effect, each with its number.
    pub ends: Vec<(u64, End)>,
    /// There are no further ones now.
    pub complete: bool,
}

/// Report of a node on how far it has followed the ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Follower {
    pub node: String,
    /// Ends before this position are known to the node.
    pub position: EndsPosition,
    /// Time of its last complete look.
    pub looked: UnixMillis,
    /// Time until which it may answer without the store, counted from that look; `None`: it never does.
    pub serves_until: Option<UnixMillis>,
}

/// Operations by which nodes follow what has ended.
#[async_trait]
pub trait Ends: Send + Sync {
    /// Returns a position after every end that is committed now.
    async fn ends_position(&self) -> Result<EndsPosition, StoreError>;

    /// Returns ends of the log from `from` on, with numbers above `after`, at most `limit`. Rows that are visible and
    /// whose position is not yet settled are among them, and come again at the next look.
    async fn ends_since(&self, from: EndsPosition, after: u64, limit: u32) -> Result<EndsPage, StoreError>;

    /// Returns every end that stands now and is no session's, at most `limit`: opt-outs, ends of users and apps, ended
    /// logins.
    async fn standing_ends(&self, limit: u32) -> Result<Vec<End>, StoreError>;

    /// Returns the next sessions after `after` in the order of their ids that have an end of their own, and whose
    /// absolute expiry is after `now`, at most `limit`, each with that expiry.
    async fn ended_sessions(
        &self,
        after: SessionId,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Vec<(SessionId, UnixMillis)>, StoreError>;

    /// Records how far a node has followed. [`Nodes::forget_node`](super::Nodes::forget_node) deletes it.
    async fn report_followed(&self, follower: Follower) -> Result<(), StoreError>;

    /// Returns the last report of each node that looked after `since`, ordered by name.
    async fn followers(&self, since: UnixMillis) -> Result<Vec<Follower>, StoreError>;
}
