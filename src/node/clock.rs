//! Clock of the node: what the store and the other nodes say about it, and the end of a stop.

use super::{Node, NodeAgent};
use crate::{
    clock::{ClockAcceptance, ClockFloor, Evidence, MAX_STEP, Peers, UnixMillis},
    outage::Operation,
    rotate::HEARTBEAT,
    store::ClockRecord,
    telemetry::Alarm,
};

/// Other clocks, as far as the node knows them.
pub(super) struct ClockWatch {
    peers: Peers,
    /// Record of the store at the last tick.
    record: Option<ClockRecord>,
    /// The store's floor, in this machine's boot time.
    floor: Option<ClockFloor>,
    /// The stop that lasts is logged.
    stop_logged: bool,
    database_is_wrong: bool,
}

impl Default for ClockWatch {
    fn default() -> Self {
        // Two reports may be late.
        let peers = Peers::new(3 * HEARTBEAT);
        Self { peers, record: None, floor: None, stop_logged: false, database_is_wrong: false }
    }
}

impl NodeAgent {
    /// Compares the clock as [`Self::compare_clock`] does, and reports what is wrong. A stopped clock goes on where it
    /// may.
    pub(super) async fn check_clock(&mut self) {
        let (evidence, database_is_wrong) = self.compare_clock().await;
        self.report_database(database_is_wrong);
        let Some(stopped) = self.node.clock.check() else {
            self.clock_watch.stop_logged = false;
            return;
        };
        if !self.clock_watch.stop_logged {
            self.clock_watch.stop_logged = true;
            tracing::error!(why = %stopped, "no token is issued and nothing is judged by time");
            self.node.metrics.alarm(Alarm::Clock);
        }
        if self.node.clock.may_resume(&evidence)
            && self.keys_are_current().await
            && let Some(ground) = self.node.clock.resume(&evidence)
        {
            tracing::warn!(%ground, "the clock is trusted again");
            self.clock_watch.stop_logged = false;
        }
    }

    /// Compares the clock with the store's floor and with independent clocks. Returns these, and true where the
    /// database's clock is the wrong one.
    pub(super) async fn compare_clock(&mut self) -> (Evidence, bool) {
        let evidence = self.evidence().await;
        let record = self.node.store.clock_record();
        if let Ok(record) = self.node.outage.ask(Operation::Read, record).await {
            self.learn(record).await;
        }
        let database_is_wrong = self.node.clock.compare(&evidence);
        (evidence, database_is_wrong)
    }

    /// Records the floor, which the time since the last heartbeat raises. To be called while the clock is trusted.
    pub(super) async fn raise_floor(&mut self) -> Result<(), crate::store::StoreError> {
        let (clock, watch) = (&self.node.clock, &mut self.clock_watch);
        let (reading, boot_id) = (clock.read(), clock.boot_id());
        let floor = match &watch.floor {
            Some(floor) => floor.advanced(reading, boot_id),
            None => ClockFloor::at_wall(reading, boot_id.clone()),
        };
        watch.floor = Some(floor.clone());
        self.node.outage.ask(Operation::Write, self.node.store.raise_clock_floor(floor)).await
    }

    /// Returns what independent clocks say: nothing where the store does not answer.
    async fn evidence(&mut self) -> Evidence {
        let node = &self.node;
        let (outage, store) = (&node.outage, &node.store);
        let database = outage.ask(Operation::Read, store.database_time()).await.unwrap_or_default();
        let reports = outage.ask(Operation::Read, store.nodes(UnixMillis(i64::MIN))).await.unwrap_or_default();
        let others = reports.into_iter().filter(|report| report.node != node.name);
        let reading = node.clock.read();
        self.clock_watch.peers.observe(reading, others.map(|report| (report.node, report.seen)));
        Evidence { database, votes: self.clock_watch.peers.votes(reading) }
    }

    /// Takes in the store's record: a new floor, and an operator's acceptance that is newer than this process.
    async fn learn(&mut self, record: ClockRecord) {
        let before = self.clock_watch.record.replace(record.clone());
        let floor_before = before.as_ref().and_then(|before| before.floor.as_ref());
        if let Some(floor) = record.floor.as_ref().filter(|floor| Some(*floor) != floor_before) {
            let clock = &self.node.clock;
            self.clock_watch.floor = Some(floor.rebased(clock.read(), clock.boot_id()));
            clock.set_floor(floor);
        }
        let acceptance_before = before.as_ref().map(|before| &before.acceptance);
        if let Some(acceptance) = record.acceptance.as_ref()
            && acceptance_before.is_some_and(|before| before.as_ref() != Some(acceptance))
            && !self.accept(acceptance).await
        {
            // Tried again at the next tick.
            self.clock_watch.record = before;
        }
    }

    /// Trusts the clock, where an operator accepted its time. Returns `false` where the keys could not be loaded.
    async fn accept(&mut self, acceptance: &ClockAcceptance) -> bool {
        if self.node.clock.check().is_none() {
            return true;
        }
        let (reading, floor) = (self.node.clock.read(), &acceptance.floor);
        let accepted = floor.expected_wall(reading, self.node.clock.boot_id()).unwrap_or(floor.time);
        if reading.wall.since(accepted).max(accepted.since(reading.wall)) > MAX_STEP {
            tracing::warn!(says = %reading.wall, %accepted, "an operator accepted another time: the clock stays stopped");
            return true;
        }
        if !self.keys_are_current().await {
            return false;
        }
        self.node.clock.accept();
        tracing::warn!(by = acceptance.actor, "an operator accepted the clock");
        true
    }

    /// Loads keys and API keys: they may have changed while the node was silent.
    async fn keys_are_current(&mut self) -> bool {
        self.reload().await
    }

    fn report_database(&mut self, is_wrong: bool) {
        if is_wrong && !self.clock_watch.database_is_wrong {
            tracing::error!("the database's clock is wrong: the nodes agree with each other and not with it");
            self.node.metrics.alarm(Alarm::Clock);
        }
        self.clock_watch.database_is_wrong = is_wrong;
    }
}

impl Node {
    /// Reason why the clock is stopped, as a text.
    pub(super) fn clock_fault(&self) -> Option<String> {
        self.clock.check().map(|stopped| stopped.to_string())
    }
}
