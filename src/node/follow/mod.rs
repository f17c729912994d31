//! Follower of what ends: it reads what has ended as a whole once, then looks every second, so that what has ended stays
//! ended while the store is out of reach. It is a task of its own: neither a long read nor a store that hangs delays
//! other work.

mod tables;

use std::{sync::Arc, time::Duration};

use super::{Node, TICK};
use crate::{
    clock::UnixMillis,
    outage::{Coverage, FRESH, LogRead, Operation},
    rotate::HEARTBEAT,
    store::{ENDS_KEPT, EndsPosition, Follower, StoreError},
};

/// Time without a complete look after which the tables are read again: before the log has a gap.
const LONGEST_GAP: Duration = ENDS_KEPT.saturating_sub(Duration::from_hours(1));

/// Looks between two of which expired sessions are forgotten.
const FORGET_EVERY: u32 = 600;

/// Time after a first report in which the other nodes read it: [`FRESH`], and a margin.
const FIRST_REPORT_READ: Duration = FRESH.saturating_add(Duration::from_millis(500));

/// Longest time between two reports of a node that looks, with one that is late.
const LONGEST_SILENCE: Duration = HEARTBEAT.saturating_mul(2);

/// Task that follows what ends.
pub struct EndsAgent {
    node: Arc<Node>,
    /// Position to look from.
    position: EndsPosition,
    /// The tables have been read, and the log has no gap since.
    is_read: bool,
    /// The next look begins with everything: the last one failed, and a database that took over since may have counted
    /// anew.
    looks_at_all: bool,
    /// Time since boot of the last complete look; at first, of the start.
    looked: Duration,
    looks: u32,
    /// Coverage that was logged last.
    coverage: Coverage,
    /// Last report to the other nodes; none, or one that is out of date: `None`.
    report: Option<Report>,
    /// Position that includes the ends that were found last: those who wait for this node wait for it.
    owed: Option<EndsPosition>,
    is_failure_logged: bool,
}

/// What this node has told the others.
#[derive(Clone, Copy)]
struct Report {
    told: Duration,
    position: EndsPosition,
    /// Set until this node relies on what it reports.
    first: Option<FirstReport>,
}

/// First report of a node that has just started, or was silent for too long. Those that end sessions may not have read it
/// yet, so that one more look has to follow before this node relies on it.
#[derive(Clone, Copy)]
struct FirstReport {
    serves_until: Option<UnixMillis>,
    /// Time since boot at which that look may begin.
    read_from: Duration,
}

/// Outcome of a look.
struct Looked {
    /// The time of its begin, if the clock was trusted.
    at: Option<UnixMillis>,
    found: bool,
}

impl EndsAgent {
    /// Makes an agent that has read nothing yet.
    pub fn new(node: Arc<Node>) -> Self {
        let looked = node.clock.read().boot;
        Self {
            node,
            position: EndsPosition::default(),
            is_read: false,
            looks_at_all: true,
            looked,
            looks: 0,
            coverage: Coverage::All,
            report: None,
            owed: None,
            is_failure_logged: false,
        }
    }

    /// Looks every second. It never returns.
    pub async fn run(mut self) {
        let node = Arc::clone(&self.node);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let looking = async {
            loop {
                ticks.tick().await;
                self.step().await;
            }
        };
        // Also while a look, or other work of the node, takes long.
        let exporting = async {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                node.outage.export(node.clock.read().boot);
            }
        };
        tokio::join!(looking, exporting);
    }

    /// Does the work of one second; after a first report to the other nodes, also that of the look after which it relies on
    /// it.
    pub async fn tick(&mut self) {
        self.step().await;
        if let Some(first) = self.report.as_mut().and_then(|report| report.first.as_mut()) {
            first.read_from = Duration::ZERO;
            self.step().await;
        }
        self.node.outage.export(self.node.clock.read().boot);
    }

    async fn step(&mut self) {
        match self.follow().await {
            Ok(()) => self.is_failure_logged = false,
            Err(error) => {
                self.looks_at_all = true;
                if !std::mem::replace(&mut self.is_failure_logged, true) {
                    tracing::warn!(%error, "this node cannot follow what has ended");
                }
            }
        }
    }

    async fn follow(&mut self) -> Result<(), StoreError> {
        let begin = self.node.clock.read().boot;
        if begin.saturating_sub(self.looked) > LONGEST_GAP {
            self.is_read = false;
        }
        if !self.is_read {
            let Ok(now) = self.node.clock.trusted_now() else { return Ok(()) };
            self.looks_at_all = true;
            self.read_tables(now).await?;
            self.is_read = true;
        }
        let Some(looked) = self.look().await? else {
            tracing::warn!("the log of ends begins anew: what has ended is read again");
            (self.is_read, self.position) = (false, EndsPosition::default());
            return Ok(());
        };
        self.tell(&looked).await?;
        self.hear().await
    }

    /// Looks at the log. Returns `None` where its horizon went back.
    async fn look(&mut self) -> Result<Option<Looked>, StoreError> {
        let (node, at_all) = (Arc::clone(&self.node), self.looks_at_all);
        let (begin, at) = (node.clock.read().boot, node.clock.trusted_now().ok());
        let mut look = if at_all { self.standing(at).await? } else { LogRead::at_new(at) };
        let from = if at_all { EndsPosition::default() } else { self.position };
        let (mut horizon, mut after, mut found) = (None, 0, false);
        loop {
            let page = node.store.ends_since(from, after, node.outage.ended.page());
            let page = node.outage.ask(Operation::Read, page).await?;
            if *horizon.get_or_insert(page.horizon) < self.position {
                return Ok(None);
            }
            node.outage.ended.take(&mut look, page.ends.iter().map(|(_, end)| end));
            found |= !page.ends.is_empty();
            self.make_room().await?;
            match page.ends.last() {
                Some((number, _)) if !page.complete => after = *number,
                _ => break,
            }
        }
        node.outage.ended.complete(look);
        node.outage.record_look(begin);
        self.position = horizon.unwrap_or(self.position);
        (self.looks_at_all, self.looked) = (false, begin);
        self.looks = self.looks.wrapping_add(1);
        if let Some(now) = at.filter(|_| self.looks.is_multiple_of(FORGET_EVERY)) {
            node.outage.ended.forget_expired(now);
            // What could not be kept may find room now.
            let (sessions, others) = node.outage.ended.lost();
            self.is_read &= !sessions;
            self.looks_at_all |= others;
        }
        self.report_coverage();
        Ok(Some(Looked { at, found }))
    }

    /// Tells the other nodes how far this one has followed: at once where ends were found, and then until what was found is
    /// settled, otherwise every [`HEARTBEAT`]. It answers without the store only as long as it has told them; a report that
    /// fails prolongs nothing.
    async fn tell(&mut self, looked: &Looked) -> Result<(), StoreError> {
        let Some(now) = looked.at else { return Ok(()) };
        let (node, position, told) = (Arc::clone(&self.node), self.position, self.looked);
        if looked.found {
            self.owed = Some(node.outage.ask(Operation::Read, node.store.ends_position()).await?);
        }
        self.trust_first_report(now);
        if let Some(last) = self.report {
            let is_owed = self.owed.is_some() && last.position != position;
            if !looked.found && !is_owed && told.saturating_sub(last.told) < HEARTBEAT {
                return Ok(());
            }
        }
        let serves_until = node.outage.may_serve_until(now, LONGEST_SILENCE);
        let follower = Follower { node: node.name.clone(), position, looked: now, serves_until };
        if let Err(error) = node.outage.ask(Operation::Write, node.store.report_followed(follower)).await {
            tracing::debug!(%error, "the other nodes do not hear how far this one has followed");
            return Ok(());
        }
        let first = match self.report {
            Some(last) => last.first,
            None => Some(FirstReport { serves_until, read_from: node.clock.read().boot + FIRST_REPORT_READ }),
        };
        if first.is_none() {
            node.outage.ended.promise(serves_until);
        }
        self.report = Some(Report { told, position, first });
        self.owed = self.owed.filter(|owed| position < *owed);
        Ok(())
    }

    /// Relies on the first report after a look that began when it was read, and no more on one that is out of date.
    fn trust_first_report(&mut self, now: UnixMillis) {
        let (ended, looked) = (&self.node.outage.ended, self.looked);
        if let Some(report) = &mut self.report
            && let Some(first) = report.first.take_if(|first| first.read_from <= looked)
        {
            ended.promise(first.serves_until);
        }
        if ended.promised().is_some_and(|promised| promised <= now) {
            ended.promise(None);
            self.report = None;
        }
    }

    /// Reads how far the other nodes have followed, for requests that wait for them.
    async fn hear(&self) -> Result<(), StoreError> {
        let (node, reading) = (&self.node, self.node.clock.read());
        let nodes = node.store.followers(reading.wall.minus(ENDS_KEPT));
        let nodes = node.outage.ask(Operation::Read, nodes).await?;
        node.outage.publish_followers(&node.name, nodes, reading.boot);
        Ok(())
    }
}
