//! A small world round one session: the store's row with its compare-and-set, and one device whose tabs share a saved
//! refresh token. Every step of a refresh is a step here, so that tests can interleave them.

use std::time::Duration;

use countersign::{
    clock::UnixMillis,
    domain::{
        policy::RefreshPolicy,
        refresh_token::Contents,
        session::{Decision, Session, decide},
    },
};

use super::domain::{NOW, newest_of, session};

/// How a device keeps the answer that comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// It compares, and never puts an older refresh token over a newer one.
    KeepNewest,
    /// Whatever comes last stays.
    LastWriter,
}

/// Where a tab's refresh is on its way.
#[derive(Clone, Debug)]
pub(crate) enum Flight {
    Sent(Contents),
    Looked { token: Contents, row: Session, to: u64 },
    Answered(Contents),
}

/// A tab's refresh, and how long it has been going on.
#[derive(Clone, Debug)]
pub(crate) struct Tab {
    pub(crate) flight: Flight,
    pub(crate) age: Duration,
}

pub(crate) struct World {
    pub(crate) policy: RefreshPolicy,
    pub(crate) storage: Storage,
    /// The server's clock.
    pub(crate) now: UnixMillis,
    pub(crate) row: Session,
    pub(crate) stored: Contents,
    pub(crate) tabs: [Option<Tab>; 3],
    /// Every counter that a compare-and-set made, in order.
    pub(crate) made: Vec<u64>,
    /// What honest tabs were refused with.
    pub(crate) refused: Vec<Decision>,
    /// Every pair of presented counter and answered counter.
    pub(crate) answers: Vec<(u64, u64)>,
}

impl World {
    pub(crate) fn new(policy: RefreshPolicy, storage: Storage) -> Self {
        let row = session(policy);
        Self {
            policy,
            storage,
            now: NOW,
            stored: newest_of(&row),
            row,
            tabs: [None, None, None],
            made: vec![0],
            refused: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The highest counter that was ever given out.
    pub(crate) fn highest(&self) -> u64 {
        self.made.iter().copied().max().unwrap()
    }

    /// A tab reads the saved token and sends it.
    pub(crate) fn send(&mut self, tab: usize) {
        if self.tabs[tab].is_none() {
            self.tabs[tab] = Some(Tab { flight: Flight::Sent(self.stored.clone()), age: Duration::ZERO });
        }
    }

    /// The server reads the row and decides.
    pub(crate) fn look(&mut self, tab: usize) {
        if let Some(Tab { flight: Flight::Sent(token), .. }) = &self.tabs[tab] {
            let token = token.clone();
            let next = self.decided(token);
            self.replace(tab, next);
        }
    }

    /// The server's compare-and-set; who loses it looks again, once.
    pub(crate) fn commit(&mut self, tab: usize) {
        if let Some(Tab { flight: Flight::Looked { token, row, to }, .. }) = self.tabs[tab].clone() {
            let next = if self.row.counter == row.counter && self.row.ended.is_none() {
                Some(self.moved_on(&token, to))
            } else {
                match self.decided(token) {
                    Some(Flight::Looked { token, to, .. }) => Some(self.moved_on(&token, to)),
                    other => other,
                }
            };
            self.replace(tab, next);
        }
    }

    /// The answer reaches the device and is saved.
    pub(crate) fn deliver(&mut self, tab: usize) {
        if let Some(Tab { flight: Flight::Answered(token), .. }) = &self.tabs[tab] {
            if self.storage == Storage::LastWriter || token.counter > self.stored.counter {
                self.stored = token.clone();
            }
            self.tabs[tab] = None;
        }
    }

    /// Whatever is under way is lost: the request, the server's work or the answer.
    pub(crate) fn lose(&mut self, tab: usize) {
        self.tabs[tab] = None;
    }

    /// A whole refresh, undisturbed.
    pub(crate) fn refresh(&mut self, tab: usize) {
        self.refresh_without_answer(tab);
        self.deliver(tab);
    }

    /// A whole refresh up to the answer, which is still under way.
    pub(crate) fn refresh_without_answer(&mut self, tab: usize) {
        self.send(tab);
        self.look(tab);
        self.commit(tab);
    }

    /// Time passes, for the server's clock and for what is under way.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        for tab in self.tabs.iter_mut().flatten() {
            tab.age += span;
        }
    }

    fn replace(&mut self, tab: usize, next: Option<Flight>) {
        let age = self.tabs[tab].as_ref().map_or(Duration::ZERO, |tab| tab.age);
        self.tabs[tab] = next.map(|flight| Tab { flight, age });
    }

    fn decided(&mut self, token: Contents) -> Option<Flight> {
        match decide(&self.row, &token, self.now, self.policy) {
            Decision::Rotate { to } | Decision::Ahead { to } => {
                Some(Flight::Looked { token, row: self.row.clone(), to })
            }
            Decision::Repeat => {
                self.answers.push((token.counter, self.row.counter));
                Some(Flight::Answered(newest_of(&self.row)))
            }
            refusal => {
                self.refused.push(refusal);
                None
            }
        }
    }

    fn moved_on(&mut self, token: &Contents, to: u64) -> Flight {
        self.row.counter = to;
        self.row.rotated = self.now;
        self.row.idle_expires = self.now.plus(self.policy.idle);
        self.made.push(to);
        self.answers.push((token.counter, to));
        Flight::Answered(newest_of(&self.row))
    }
}
