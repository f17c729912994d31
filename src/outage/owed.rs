//! Ends that this node owes the store: it could not write them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    clock::UnixMillis,
    domain::{ids::SessionId, session::Ended},
};

/// Most sessions that are remembered: each of them takes a copied refresh token, or was under way when the store was
/// lost, so that there are few.
const MOST: usize = 100_000;

/// End that this node owes to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedEnd {
    pub why: Ended,
    /// Time since which the session is to be over.
    pub at: UnixMillis,
    /// Id of the request that caused it.
    pub request_id: String,
}

impl OwedEnd {
    /// End that a request caused.
    pub fn new(why: Ended, at: UnixMillis, request_id: &str) -> Self {
        Self { why, at, request_id: request_id.to_owned() }
    }
}

/// Sessions that are to end since a time, and whose end could not be written: a reuse was found out, or the store was lost
/// as they began and they were not handed out. They are ended as soon as the store can be written; until then this node
/// takes them for ended.
#[derive(Default)]
pub struct OwedEnds {
    /// There are some. Requests look no further where there are none.
    any: AtomicBool,
    sessions: Mutex<BTreeMap<SessionId, OwedEnd>>,
}

impl OwedEnds {
    /// Remembers a session that is to end.
    pub fn owe(&self, session: SessionId, end: OwedEnd) {
        let mut sessions = self.sessions();
        if sessions.len() < MOST {
            sessions.entry(session).or_insert(end);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Returns the end of a session that is to end.
    pub fn of(&self, session: SessionId) -> Option<Ended> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.sessions().get(&session).map(|end| end.why)
    }

    /// Returns every session that is to end.
    pub fn all(&self) -> Vec<(SessionId, OwedEnd)> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.sessions().iter().map(|(session, end)| (*session, end.clone())).collect()
    }

    /// Forgets a session whose end is written.
    pub fn settle(&self, session: SessionId) {
        let mut sessions = self.sessions();
        sessions.remove(&session);
        self.any.store(!sessions.is_empty(), Ordering::Release);
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, OwedEnd>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
