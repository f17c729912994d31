//! Decision whether a process may judge by its wall clock. Pure: readings and evidence in, trusted or stopped out.
//!
//! A clock is stopped where it steps against boot time, is behind the store's floor, or contradicts the database. The
//! anchor is the offset of wall clock and boot time that is trusted; it follows slow corrections, and stands still
//! while the clock is stopped.

use std::{fmt, time::Duration};

use super::{
    Reading, UnixMillis,
    human_duration::HumanDuration,
    millis,
    peers::{AGREEMENT, MAX_GAP, Votes},
};

/// Greatest step of a wall clock that is trusted, and its greatest lag behind the store's floor.
pub const MAX_STEP: Duration = Duration::from_mins(1);
/// Greatest step forward that is trusted after a while; others need an independent clock or an operator.
const MAX_FORWARD: Duration = Duration::from_hours(24);
/// The anchor follows by one part of this many: 1 s a minute.
const SLEW: i64 = 60;

/// Reason why a clock is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The wall clock was set, by this much against boot time.
    Stepped { by_ms: i64 },
    /// The wall clock is this far behind the store's floor.
    BehindFloor { by_ms: i64 },
    /// The wall clock is this far ahead of the database's (behind it where negative), and no majority of nodes agrees.
    AgainstDatabase { by_ms: i64 },
}

/// Ground on which a stopped clock is trusted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// The wall clock is again where it was before, or no longer behind the floor.
    Agreement,
    /// The database, or a majority of the running nodes, has the same time.
    IndependentClock,
    /// The clock has run steadily for long enough after a step forward.
    Patience,
}

/// Clocks that are independent of this machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Time of the database's own clock, where it has one.
    pub database: Option<UnixMillis>,
    /// Agreement of the other running nodes.
    pub votes: Votes,
}

/// State of a process's trust in its wall clock.
#[derive(Debug)]
pub struct ClockState {
    patience: Duration,
    anchor: Option<Anchor>,
    /// The store's floor, as an offset ([`Reading::offset`]).
    floor: Option<i64>,
    /// The database had the same time once since the start.
    agreed_with_database: bool,
    stop: Option<Stop>,
}

/// Trusted offset of wall clock and boot time.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    offset: i64,
    /// Boot time up to which the anchor has followed.
    followed: Duration,
}

#[derive(Debug)]
struct Stop {
    reason: StopReason,
    /// Time at which it began, as far as it is known.
    since: UnixMillis,
    steady: Steady,
}

/// Time for which a stopped clock has run without another step.
#[derive(Clone, Copy, Debug)]
struct Steady {
    offset: i64,
    running: Duration,
    last: Duration,
}

impl ClockState {
    /// State that trusts its first reading, unless a floor speaks against it.
    pub fn new(patience: Duration) -> Self {
        Self { patience, anchor: None, floor: None, agreed_with_database: false, stop: None }
    }

    /// Takes in a reading. It may stop the clock, and never lets it go on: before that, keys are to be loaded again.
    pub fn observe(&mut self, reading: Reading) {
        if let Some(stop) = &mut self.stop {
            stop.steady.observe(reading);
            let stepped = self.anchor.map_or(0, |anchor| anchor.deviation(reading));
            stop.reason.update(stepped);
        } else if let Some(reason) = self.fault(reading) {
            self.stop(reading, reason);
        } else {
            self.follow(reading);
        }
    }

    /// Compares a reading with independent clocks. It stops the clock where the database contradicts it from the
    /// start. Returns true where the database is the one that is wrong: a majority of nodes, or boot time since they
    /// last agreed, speaks for this clock.
    pub fn compare(&mut self, reading: Reading, evidence: &Evidence) -> bool {
        let Some(database) = evidence.database else { return false };
        let by_ms = reading.wall.0.saturating_sub(database.0);
        if by_ms.saturating_abs() <= millis(MAX_STEP) {
            self.agreed_with_database = true;
            return false;
        }
        if self.stop.is_some() {
            return false;
        }
        if self.agreed_with_database || evidence.majority_agrees() {
            return true;
        }
        self.stop(reading, StopReason::AgainstDatabase { by_ms });
        false
    }

    /// Trusts the offset that another process of this boot trusted, instead of the first reading.
    pub(super) fn recall(&mut self, trusted: Reading) {
        self.anchor = Some(Anchor::new(trusted));
    }

    /// Replaces the floor; the argument is [`ClockFloor::offset`](super::ClockFloor).
    pub(super) fn set_floor(&mut self, offset: i64) {
        self.floor = Some(offset);
    }

    /// Returns the ground on which the clock may go on at this reading; `None` where it may not, or is not stopped.
    pub fn resumption(&self, reading: Reading, evidence: &Evidence) -> Option<Resumption> {
        let stop = self.stop.as_ref()?;
        if self.behind_floor(reading).is_some() {
            return None;
        }
        if evidence.confirms(reading) {
            return Some(Resumption::IndependentClock);
        }
        if matches!(stop.reason, StopReason::AgainstDatabase { .. }) {
            return None;
        }
        let stepped = self.anchor.map_or(0, |anchor| anchor.deviation(reading));
        if stepped.saturating_abs() <= millis(AGREEMENT) {
            return Some(Resumption::Agreement);
        }
        let forward = stepped > 0 && stepped <= millis(MAX_FORWARD);
        let patient = stop.steady.is_at(reading) && stop.steady.running >= self.patience;
        // A running node that has another time may be right: it takes an operator to say which is.
        (forward && patient && !evidence.contradicts(reading)).then_some(Resumption::Patience)
    }

    /// Lets the clock go on where it may: the reading is the new anchor.
    pub fn resume(&mut self, reading: Reading, evidence: &Evidence) -> Option<Resumption> {
        let ground = self.resumption(reading, evidence)?;
        self.accept(reading);
        Some(ground)
    }

    /// Trusts this reading, because an operator says so.
    pub fn accept(&mut self, reading: Reading) {
        self.anchor = Some(Anchor::new(reading));
        self.stop = None;
    }

    /// Returns the reason for which the clock is stopped, and the time since when.
    pub fn stopped(&self) -> Option<(StopReason, UnixMillis)> {
        self.stop.as_ref().map(|stop| (stop.reason, stop.since))
    }

    fn fault(&self, reading: Reading) -> Option<StopReason> {
        let by_ms = self.anchor.map_or(0, |anchor| anchor.deviation(reading));
        let stepped = by_ms.saturating_abs() > millis(MAX_STEP);
        let step = stepped.then_some(StopReason::Stepped { by_ms });
        step.or_else(|| Some(StopReason::BehindFloor { by_ms: self.behind_floor(reading)? }))
    }

    fn behind_floor(&self, reading: Reading) -> Option<i64> {
        let behind = self.floor?.saturating_sub(reading.offset());
        (behind > millis(MAX_STEP)).then_some(behind)
    }

    fn stop(&mut self, reading: Reading, reason: StopReason) {
        let known = self.anchor.map(|anchor| anchor.offset).or(self.floor).unwrap_or(reading.offset());
        let since = UnixMillis(known.saturating_add(millis(reading.boot)));
        self.stop = Some(Stop { reason, since, steady: Steady::new(reading) });
    }

    fn follow(&mut self, reading: Reading) {
        match &mut self.anchor {
            Some(anchor) => anchor.follow(reading),
            None => self.anchor = Some(Anchor::new(reading)),
        }
    }
}

impl Anchor {
    fn new(reading: Reading) -> Self {
        Self { offset: reading.offset(), followed: reading.boot }
    }

    fn deviation(self, reading: Reading) -> i64 {
        reading.offset().saturating_sub(self.offset)
    }

    fn follow(&mut self, reading: Reading) {
        let most = millis(reading.boot.saturating_sub(self.followed)) / SLEW;
        self.offset = self.offset.saturating_add(self.deviation(reading).clamp(-most, most));
        self.followed += Duration::from_millis((most * SLEW).unsigned_abs());
    }
}

impl Steady {
    fn new(reading: Reading) -> Self {
        Self { offset: reading.offset(), running: Duration::ZERO, last: reading.boot }
    }

    fn is_at(&self, reading: Reading) -> bool {
        reading.offset().saturating_sub(self.offset).saturating_abs() <= millis(AGREEMENT)
    }

    fn observe(&mut self, reading: Reading) {
        if !self.is_at(reading) {
            *self = Self::new(reading);
        }
        self.running += reading.boot.saturating_sub(self.last).min(MAX_GAP);
        self.last = self.last.max(reading.boot);
    }
}

impl Evidence {
    /// Returns true where the database, or most of the other running nodes, agrees with this reading.
    fn confirms(&self, reading: Reading) -> bool {
        let agrees = |database: UnixMillis| reading.wall.0.abs_diff(database.0) <= millis(AGREEMENT).unsigned_abs();
        self.database.is_some_and(agrees) || self.votes.agree * 2 > self.votes.fresh
    }

    /// Returns true where the database, or half of the other running nodes, has another time than this reading.
    fn contradicts(&self, reading: Reading) -> bool {
        let differs = |database: UnixMillis| reading.wall.0.abs_diff(database.0) > millis(MAX_STEP).unsigned_abs();
        let against = self.votes.fresh - self.votes.agree;
        self.database.is_some_and(differs) || (against > 0 && against * 2 >= self.votes.fresh)
    }

    /// Returns true where this node and others, together most of the running nodes, have the same time.
    fn majority_agrees(&self) -> bool {
        self.votes.agree > 0 && (self.votes.agree + 1) * 2 > self.votes.fresh + 1
    }
}

impl StopReason {
    /// Takes in the step as it is now: a clock may be set again while it is stopped.
    fn update(&mut self, stepped: i64) {
        match self {
            Self::Stepped { by_ms } if stepped.saturating_abs() > millis(AGREEMENT) => *by_ms = stepped,
            Self::Stepped { .. } | Self::BehindFloor { .. } | Self::AgainstDatabase { .. } => {}
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |ms: i64| HumanDuration(Duration::from_secs(ms.unsigned_abs() / 1000));
        let direction = |ms: i64, forward: &'static str, back: &'static str| if ms < 0 { back } else { forward };
        match self {
            Self::Stepped { by_ms } => {
                let direction = direction(*by_ms, "forward", "back");
                write!(f, "the wall clock was set {direction} by {} against boot time", span(*by_ms))
            }
            Self::BehindFloor { by_ms } => {
                write!(f, "the wall clock is {} behind the time that the store has on record", span(*by_ms))
            }
            Self::AgainstDatabase { by_ms } => {
                write!(
                    f,
                    "the wall clock is {} {} the database's",
                    span(*by_ms),
                    direction(*by_ms, "ahead of", "behind")
                )
            }
        }
    }
}

impl fmt::Display for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agreement => "it agrees with the time that was trusted before",
            Self::IndependentClock => "an independent clock confirms it",
            Self::Patience => "it has run steadily since it was set forward",
        })
    }
}
