//! Model of one session: the store's row with its compare-and-set, and one device whose tabs share a saved refresh
//! token. Each step of a refresh is a method, so that tests can interleave the steps of several tabs.

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

/// A device's rule for saving an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// An older refresh token never replaces a newer one.
    KeepNewest,
    /// The last answer replaces the saved token.
    LastWriter,
}

/// Phase of a tab's refresh.
#[derive(Clone, Debug)]
pub(crate) enum RefreshPhase {
    Sent(Contents),
    Read { token: Contents, row: Session, to: u64 },
    Answered(Contents),
}

/// A tab's refresh and its age.
#[derive(Clone, Debug)]
pub(crate) struct Tab {
    pub(crate) phase: RefreshPhase,
    pub(crate) age: Duration,
}

/// The session's row, the device, and a record of what happened.
pub(crate) struct SessionModel {
    pub(crate) policy: RefreshPolicy,
    pub(crate) storage: Storage,
    /// The server's clock.
    pub(crate) now: UnixMillis,
    pub(crate) row: Session,
    pub(crate) stored: Contents,
    pub(crate) tabs: [Option<Tab>; 3],
    /// Every counter that a compare-and-set wrote, in order.
    pub(crate) made: Vec<u64>,
    /// Refusals that the device's tabs received.
    pub(crate) refused: Vec<Decision>,
    /// Pairs of presented counter and answered counter.
    pub(crate) answers: Vec<(u64, u64)>,
}

impl SessionModel {
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

    /// Returns the highest counter that was ever given out.
    pub(crate) fn highest(&self) -> u64 {
        self.made.iter().copied().max().unwrap()
    }

    /// A tab reads the saved token and sends it.
    pub(crate) fn send(&mut self, tab: usize) {
        if self.tabs[tab].is_none() {
            self.tabs[tab] = Some(Tab { phase: RefreshPhase::Sent(self.stored.clone()), age: Duration::ZERO });
        }
    }

    /// The server reads the row and decides.
    pub(crate) fn read(&mut self, tab: usize) {
        if let Some(Tab { phase: RefreshPhase::Sent(token), .. }) = &self.tabs[tab] {
            let token = token.clone();
            let next = self.decided(token);
            self.replace(tab, next);
        }
    }

    /// The server does its compare-and-set; the loser reads and decides once more.
    pub(crate) fn commit(&mut self, tab: usize) {
        if let Some(Tab { phase: RefreshPhase::Read { token, row, to }, .. }) = self.tabs[tab].clone() {
            let next = if self.row.counter == row.counter && self.row.ended.is_none() {
                Some(self.advance(&token, to))
            } else {
                match self.decided(token) {
                    Some(RefreshPhase::Read { token, to, .. }) => Some(self.advance(&token, to)),
                    other => other,
                }
            };
            self.replace(tab, next);
        }
    }

    /// The answer reaches the device and is saved.
    pub(crate) fn deliver(&mut self, tab: usize) {
        if let Some(Tab { phase: RefreshPhase::Answered(token), .. }) = &self.tabs[tab] {
            if self.storage == Storage::LastWriter || token.counter > self.stored.counter {
                self.stored = token.clone();
            }
            self.tabs[tab] = None;
        }
    }

    /// The request, the server's work or the answer is lost.
    pub(crate) fn lose(&mut self, tab: usize) {
        self.tabs[tab] = None;
    }

    /// Does all steps of a refresh.
    pub(crate) fn refresh(&mut self, tab: usize) {
        self.refresh_without_answer(tab);
        self.deliver(tab);
    }

    /// Does all steps of a refresh but the delivery of the answer.
    pub(crate) fn refresh_without_answer(&mut self, tab: usize) {
        self.send(tab);
        self.read(tab);
        self.commit(tab);
    }

    /// Lets time pass for the server's clock and for refreshes in flight.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        for tab in self.tabs.iter_mut().flatten() {
            tab.age += span;
        }
    }

    fn replace(&mut self, tab: usize, next: Option<RefreshPhase>) {
        let age = self.tabs[tab].as_ref().map_or(Duration::ZERO, |tab| tab.age);
        self.tabs[tab] = next.map(|phase| Tab { phase, age });
    }

    fn decided(&mut self, token: Contents) -> Option<RefreshPhase> {
        match decide(&self.row, &token, self.now, self.policy) {
            Decision::Rotate { to } | Decision::Ahead { to } => {
                Some(RefreshPhase::Read { token, row: self.row.clone(), to })
            }
            Decision::Repeat => {
                self.answers.push((token.counter, self.row.counter));
                Some(RefreshPhase::Answered(newest_of(&self.row)))
            }
            refusal => {
                self.refused.push(refusal);
                None
            }
        }
    }

    fn advance(&mut self, token: &Contents, to: u64) -> RefreshPhase {
        self.row.counter = to;
        self.row.rotated = self.now;
        self.row.idle_expires = self.now.plus(self.policy.idle);
        self.made.push(to);
        self.answers.push((token.counter, to));
        RefreshPhase::Answered(newest_of(&self.row))
    }
}
