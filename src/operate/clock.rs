//! Operations on the clock: check it against others, accept it as right.

use std::sync::Arc;

use super::{
    Operator,
    doctor::{Check, Health},
};
use crate::{
    clock::{ClockAcceptance, ClockFloor, ClockGuard, MAX_STEP, UnixMillis, human_duration::HumanDuration},
    store::{ClockRecord, Store, StoreError},
};

/// Operators' operations on the clock.
pub struct Clocks {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) actor: String,
}

impl Clocks {
    /// Accepts this machine's wall clock as right: it is the floor from now on, and every node with the same time goes
    /// on within 2 s. The store keeps who accepted it.
    pub async fn accept(&self) -> Result<ClockAcceptance, StoreError> {
        let before = self.store.clock_record().await?.floor.map(|floor| floor.time);
        let floor = ClockFloor::at_wall(self.clock.read(), self.clock.boot_id().clone());
        let acceptance = ClockAcceptance { floor, before, actor: self.actor.clone() };
        self.store.accept_clock(acceptance.clone()).await?;
        tracing::warn!(time = %acceptance.floor.time, "an operator accepted the clock");
        Ok(acceptance)
    }
}

impl Operator {
    /// Compares this machine's clock with the store's floor, with boot time since the last heartbeat, with the
    /// database and with the nodes' reports.
    pub(super) async fn check_clock(&self) -> Vec<Check> {
        let unknown = |error: StoreError| vec![Check::new("clock", Health::Warning, error.to_string())];
        let (record, nodes, database) = match self.other_clocks().await {
            Ok(clocks) => clocks,
            Err(error) => return unknown(error),
        };
        let now = self.clock.untrusted_now();
        let mut checks = vec![self.check_floor(&record)];
        let expected = record.floor.and_then(|floor| floor.expected_wall(self.clock.read(), self.clock.boot_id()));
        let promised = expected.and_then(|time| difference(now, "the last heartbeat and boot time", time));
        let database = database.and_then(|time| difference(now, "the database", time));
        let ahead = nodes.into_iter().filter(|(_, seen)| *seen > now);
        let nodes = ahead.filter_map(|(node, seen)| difference(now, &format!("node {node}"), seen));
        checks.extend(promised.into_iter().chain(database).chain(nodes));
        checks.extend(record.acceptance.as_ref().map(accepted));
        checks
    }

    async fn other_clocks(&self) -> Result<(ClockRecord, Vec<(String, UnixMillis)>, Option<UnixMillis>), StoreError> {
        let record = self.store.clock_record().await?;
        let reports = self.store.nodes(UnixMillis(i64::MIN)).await?;
        let nodes = reports.into_iter().map(|report| (report.node, report.seen)).collect();
        Ok((record, nodes, self.store.database_time().await?))
    }

    fn check_floor(&self, record: &ClockRecord) -> Check {
        match (self.clock.trusted_now(), &record.floor) {
            (Err(stopped), _) => Check::new("clock", Health::Wrong, stopped.to_string()),
            (Ok(now), None) => Check::new("clock", Health::Ok, format!("{now}; the store has no time on record yet")),
            (Ok(now), Some(floor)) => Check::new(
                "clock",
                Health::Ok,
                format!("{now}; the latest time that the store can prove is {}", floor.time),
            ),
        }
    }
}

/// Warns where another clock differs by more than a step.
fn difference(now: UnixMillis, other: &str, time: UnixMillis) -> Option<Check> {
    let (ahead, behind) = (now.since(time), time.since(now));
    let span = HumanDuration(std::time::Duration::from_secs(ahead.max(behind).as_secs()));
    let side = if ahead > behind { "ahead of" } else { "behind" };
    let text = format!(
        "this machine's wall clock says {now}, which is {span} {side} {other} ({time}): set right the one that is wrong"
    );
    (ahead.max(behind) > MAX_STEP).then(|| Check::new("clock", Health::Warning, text))
}

fn accepted(acceptance: &ClockAcceptance) -> Check {
    let ClockAcceptance { floor, before, actor } = acceptance;
    let before = before.map_or_else(|| "no time was on record".to_owned(), |before| format!("on record was {before}"));
    let text = format!("{actor} accepted {} as the time; before, {before}", floor.time);
    Check::new("clock acceptance", Health::Ok, text)
}
