//! Ends that this node owes the store: it found them out, and could not write them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{clock::UnixMillis, domain::ids::SessionId};

/// Most sessions that are remembered: each of them takes a copied refresh token, so that there are few.
const MOST: usize = 100_000;

/// Sessions whose reuse was found out while the store could not be written, each with the time. They are ended as soon as
/// it can be; until then this node takes them for ended.
#[derive(Default)]
pub struct OwedEnds {
    /// There are some. Requests look no further where there are none.
    any: AtomicBool,
    sessions: Mutex<BTreeMap<SessionId, UnixMillis>>,
}

impl OwedEnds {
    /// Remembers a session that is to end.
    pub fn owe(&self, session: SessionId, at: UnixMillis) {
        let mut sessions = self.sessions();
        if sessions.len() < MOST {
            sessions.entry(session).or_insert(at);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Returns true for a session that is to end.
    pub fn owes(&self, session: SessionId) -> bool {
        self.any.load(Ordering::Acquire) && self.sessions().contains_key(&session)
    }

    /// Returns every session that is to end.
    pub fn all(&self) -> Vec<(SessionId, UnixMillis)> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.sessions().iter().map(|(session, at)| (*session, *at)).collect()
    }

    /// Forgets a session whose end is written.
    pub fn settle(&self, session: SessionId) {
        let mut sessions = self.sessions();
        sessions.remove(&session);
        self.any.store(!sessions.is_empty(), Ordering::Release);
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, UnixMillis>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
