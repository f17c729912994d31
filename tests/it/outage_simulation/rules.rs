//! The rules that hold after each answer.

use std::{collections::BTreeSet, time::Duration};

use countersign::{
    domain::session::{Ended, STRAGGLER_GRACE, Session},
    issue::{Issued, Refusal},
    outage::{DEGRADED_LIFETIME, Operation},
};

use super::{
    LIMIT, RULES,
    world::{Scope, SimEnd, SimSession, Simulation, What, contents},
};
use crate::support::switched_store::Reach;

/// The row before and after a request, and whether the node asked the store.
pub type Rows = (Option<Session>, Option<Session>, bool);

impl Simulation {
    #[track_caller]
    fn violated(&self, rule: &str) -> ! {
        let from = self.history.len().saturating_sub(80);
        panic!(
            "seed {} ({:?}): {rule}\nAlone: OUTAGE_SEED={} cargo test --test it -- outage_simulation::in_no_world\n{}",
            self.seed,
            self.mutant,
            self.seed,
            self.history[from..].join("\n")
        );
    }

    /// Fails the world where a rule does not hold.
    #[track_caller]
    pub fn rule(&self, holds: bool, rule: &str) {
        if !holds {
            self.violated(rule);
        }
    }

    /// Ends that cover a session, of the first `known` ones.
    fn covering<'a>(&'a self, session: &'a SimSession, known: usize) -> impl Iterator<Item = &'a SimEnd> {
        let of_app = |app: Option<usize>| app.is_none_or(|app| app == session.app);
        let first = session.born.min(known);
        self.ends[first..known].iter().filter(move |end| match end.what {
            What::Session(id) => id == session.id,
            What::User((user, app)) => user == session.user && of_app(app),
            What::App(app) => of_app(app),
        })
    }

    fn is_out(scopes: &BTreeSet<Scope>, user: usize, app: usize) -> bool {
        scopes.contains(&(user, None)) || scopes.contains(&(user, Some(app)))
    }

    /// Returns whether the session has ended for good, or its user is opted out, as the store has it.
    pub fn is_dead(&self, session: &SimSession) -> bool {
        Self::is_out(&self.opted_out, session.user, session.app)
            || self.covering(session, self.ends.len()).next().is_some()
    }

    /// Checks the answer to a login.
    pub async fn check_login(&mut self, at: usize, (user, app): (usize, usize), outcome: &Result<Issued, Refusal>) {
        let (known, out) =
            (Self::is_out(&self.slots[at].known_out, user, app), Self::is_out(&self.opted_out, user, app));
        let issued = match outcome {
            Ok(issued) => issued,
            Err(Refusal::OptedOut) => return self.rule(known || out, "a user is refused who is not opted out"),
            Err(refusal) => return self.rule(status(refusal) == 503, "a login is refused"),
        };
        let first = contents(issued.refresh.as_ref().unwrap().token.expose());
        let row = self.row(first.session).await;
        if issued.degraded {
            self.counts.degraded += 1;
            self.rule(!known, "a user logs in who was known to be opted out");
            self.rule(first.unwritten, "a session without a row says so");
            self.check_degraded(at, issued);
        } else {
            self.counts.with_store += 1;
            self.rule(!out, "a user logs in who is opted out");
            self.rule(!first.unwritten && row.is_some(), "a session is on record");
        }
    }

    /// Checks the answer to a refresh with this token of this session.
    pub fn check_refresh(
        &mut self,
        at: usize,
        (number, token): (usize, usize),
        rows: Rows,
        outcome: &Result<Issued, Refusal>,
    ) {
        self.check_reuse(at, (number, token), &rows, outcome);
        match outcome {
            Ok(issued) if issued.degraded => self.check_without_store(at, (number, token), &rows, issued),
            Ok(issued) => self.check_with_store((number, token), &rows, issued),
            Err(refusal) => self.check_refusal(at, (number, token), refusal),
        }
        // An end that the request itself wrote.
        let (before, after, _) = rows;
        let session = &self.sessions[number];
        let is_new = |why| before.as_ref().is_some_and(|row| row.ended != Some(why));
        self.counts.caught +=
            u64::from(after.as_ref().is_some_and(|row| row.ended == Some(Ended::Reused)) && is_new(Ended::Reused));
        self.counts.adopted += u64::from(before.is_none() && after.is_some());
        if after.is_some_and(|row| row.ended.is_some()) && !self.is_dead(session) {
            let what = What::Session(session.id);
            self.ends.push(SimEnd { what, at: self.now, done: false });
        }
    }

    /// A copy that is two or more behind is caught at its first use with the store, and ends the session.
    fn check_reuse(&self, at: usize, (number, token): (usize, usize), rows: &Rows, outcome: &Result<Issued, Refusal>) {
        let (Some(before), after, true) = rows else { return };
        let presented = contents(&self.sessions[number].tokens[token]);
        let behind = before.counter.saturating_sub(presented.counter);
        let is_live = before.ended.is_none() && self.now < before.expires && self.now < before.idle_expires;
        let is_trusted = self.slots[at].stepped == 0 && !matches!(outcome, Err(Refusal::ClockStopped(_)));
        if behind < 2 || !is_live || !is_trusted || self.now.since(before.rotated) < STRAGGLER_GRACE {
            return;
        }
        match self.slots[at].reach {
            Reach::Reachable => {
                self.rule(outcome.is_err(), "a token that is two behind buys a token with the store");
                let why = after.as_ref().and_then(|row| row.ended);
                // Where the store takes no writes as far as the node knows, it cannot end it.
                let known = matches!(outcome, Err(Refusal::InvalidToken)) && why.is_none();
                let node = self.slots[at].node.as_ref().unwrap();
                let may_write = !node.outage.breaker.is_open(Operation::Write);
                self.rule(why == Some(Ended::Reused) || (known && !may_write), "a reuse ends its session");
            }
            Reach::NotWritable => self.rule(outcome.is_err(), "a token that is two behind buys a token from its row"),
            _ => {}
        }
    }

    fn check_with_store(&mut self, (number, token): (usize, usize), rows: &Rows, issued: &Issued) {
        self.counts.with_store += 1;
        let session = &self.sessions[number];
        let presented = contents(&session.tokens[token]);
        let new = contents(issued.refresh.as_ref().unwrap().token.expose());
        self.rule(!self.is_dead(session), "a session that ended gets a token");
        self.rule(self.now < presented.expires, "a session outlives its absolute end");
        self.rule(issued.expires <= presented.expires, "a token outlives its session");
        let (before, after, _) = rows;
        self.rule(before.is_some() || presented.unwritten, "a session without a row is born");
        let counter = before.as_ref().map_or(0, |row| row.counter);
        self.rule(presented.counter <= counter, "a token is ahead of the store, which lost no write");
        let stored = after.as_ref().map(|row| row.counter);
        self.rule(stored == Some(new.counter), "the answered counter is on record");
        self.rule(!new.unwritten, "a session that is on record says so");
    }

    fn check_without_store(&mut self, at: usize, (number, token): (usize, usize), rows: &Rows, issued: &Issued) {
        self.counts.degraded += 1;
        self.counts.valid += 1;
        let session = &self.sessions[number];
        let presented = contents(&session.tokens[token]);
        let new = contents(issued.refresh.as_ref().unwrap().token.expose());
        self.rule(new == presented, "the link moves on without the store");
        self.rule(self.now < presented.expires.min(presented.idle_expires), "a token buys a token after its end");
        self.rule(issued.expires <= presented.expires, "a degraded token outlives its session");
        let (before, after, _) = rows;
        let moved = before.as_ref().map(|row| row.counter) != after.as_ref().map(|row| row.counter);
        self.rule(!moved || self.slots[at].reach == Reach::AnswersLost, "a counter moves without the store");
        if moved && after.as_ref().is_some_and(|row| row.counter > presented.counter) {
            let now = self.now;
            self.sessions[number].lost_since.get_or_insert(now);
        }
        let (slot, session) = (&self.slots[at], &self.sessions[number]);
        let known = self.covering(session, slot.followed).next();
        self.rule(known.is_none(), "an end that was followed before the outage is not held");
        self.rule(
            !Self::is_out(&slot.known_out, session.user, session.app),
            "an opt-out that was followed is not held",
        );
        let done = self.covering(session, self.ends.len()).find(|end| end.done);
        self.rule(done.is_none(), "an end that was answered as done is not held");
        self.check_degraded(at, issued);
    }

    fn check_degraded(&self, at: usize, issued: &Issued) {
        let node = self.slots[at].node.as_ref().unwrap();
        let life = issued.expires.since(issued.now);
        self.rule(life <= DEGRADED_LIFETIME, "a degraded token lives longer than 15 minutes");
        self.rule(self.slots[at].stepped == 0, "a node with a wrong clock answers");
        let looked = node.outage.ended.looked();
        let is_fresh = looked.is_some_and(|looked| self.now.since(looked) < LIMIT);
        self.rule(is_fresh, "a node answers beyond the limit");
    }

    /// No device is refused unless its session has ended or expired, or somebody has a copy of its token.
    fn check_refusal(&mut self, at: usize, (number, token): (usize, usize), refusal: &Refusal) {
        let (slot, session) = (&self.slots[at], &self.sessions[number]);
        let presented = contents(&session.tokens[token]);
        let is_expired = self.now >= presented.expires.min(presented.idle_expires);
        let is_out = Self::is_out(&slot.known_out, session.user, session.app);
        let is_dead = self.is_dead(session) || is_out;
        let is_honest = token == session.latest && !session.copied;
        if status(refusal) != 503 {
            self.counts.refused += 1;
            let is_late = session.lost_since.is_some_and(|since| self.now.since(since) >= RULES.retry_window);
            let excused = is_dead || is_expired || is_late || !is_honest;
            return self.rule(excused, &format!("an honest device is refused: {refusal}"));
        }
        let node = slot.node.as_ref().unwrap();
        let may_serve = node.outage.admit(self.now).is_ok();
        let is_near = self.ends.iter().any(|end| match end.what {
            What::User((user, _)) => {
                let began = contents(&session.tokens[0]).issued;
                user == session.user && end.at.plus(Duration::from_mins(1)) >= began
            }
            _ => false,
        });
        let is_stopped = matches!(refusal, Refusal::ClockStopped(_));
        if may_serve && !is_stopped && !is_dead && !is_expired && !is_near && is_honest {
            self.counts.valid += 1;
            self.counts.unanswered += 1;
            println!("seed {}, after {} steps, unanswered: {refusal}", self.seed, self.history.len());
        }
    }
}

/// Status that a refusal has in HTTP.
pub fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::InvalidToken | Refusal::ExpiredToken => 401,
        Refusal::OptedOut | Refusal::SignedOut => 403,
        Refusal::Overloaded(_) | Refusal::ClockStopped(_) | Refusal::Unavailable(_) => 503,
        Refusal::BadRequest { .. } | Refusal::UnknownApp | Refusal::UserMismatch => 400,
    }
}
