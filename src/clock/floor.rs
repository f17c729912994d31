//! Floor of the time: an earlier time than it cannot be now.
//!
//! The store keeps it for all nodes. It advances only by time that boot time confirms, so that a node whose wall clock
//! is ahead cannot raise it for the others.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BootId, Reading, UnixMillis, millis};

/// Earliest time that it can have been at a moment of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockFloor {
    pub time: UnixMillis,
    /// Wall clock of the node that recorded the floor, at that moment.
    pub wall: UnixMillis,
    /// Milliseconds since boot, at that moment.
    boot_ms: u64,
    boot_id: BootId,
}

/// Decision of an operator that a machine's clock is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAcceptance {
    /// The accepted time, which is the floor from then on.
    pub floor: ClockFloor,
    /// The floor before.
    pub before: Option<UnixMillis>,
    /// The operator.
    pub actor: String,
}

impl ClockFloor {
    /// Floor that this reading is, for a store that has none or an operator who accepts the reading.
    pub fn at_wall(reading: Reading, boot_id: BootId) -> Self {
        Self { time: reading.wall, wall: reading.wall, boot_ms: boot_ms(reading), boot_id }
    }

    /// Floor that a store kept without a moment of a boot.
    pub fn of_unknown_boot(time: UnixMillis) -> Self {
        Self { time, wall: time, boot_ms: 0, boot_id: BootId(None) }
    }

    /// Returns the floor at a later moment: with the time since, where both are of one boot.
    #[must_use]
    pub fn rebased(&self, reading: Reading, boot_id: &BootId) -> Self {
        let time = self.time.plus(self.confirmed(reading, boot_id).unwrap_or_default());
        Self { time, wall: reading.wall, boot_ms: boot_ms(reading), boot_id: boot_id.clone() }
    }

    /// Returns the floor that a node may record at a later moment: it goes on with boot time, never beyond the wall
    /// clock, and never back.
    #[must_use]
    pub fn advanced(&self, reading: Reading, boot_id: &BootId) -> Self {
        let rebased = self.rebased(reading, boot_id);
        Self { time: rebased.time.min(reading.wall).max(self.time), ..rebased }
    }

    /// Returns the wall clock that this floor's moment promises for now; `None` where that was another boot.
    pub fn expected_wall(&self, reading: Reading, boot_id: &BootId) -> Option<UnixMillis> {
        self.confirmed(reading, boot_id).map(|since| self.wall.plus(since))
    }

    /// Returns the floor less the boot time, in milliseconds, as [`Reading::offset`] has it.
    pub(super) fn offset(&self) -> i64 {
        self.time.0.saturating_sub(millis(Duration::from_millis(self.boot_ms)))
    }

    fn confirmed(&self, reading: Reading, boot_id: &BootId) -> Option<Duration> {
        if !self.boot_id.is_same(boot_id) {
            return None;
        }
        reading.boot.checked_sub(Duration::from_millis(self.boot_ms))
    }
}

fn boot_ms(reading: Reading) -> u64 {
    u64::try_from(reading.boot.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: UnixMillis = UnixMillis(1_795_000_000_000);

    fn reading(wall_s: i64, boot_s: u64) -> Reading {
        Reading { wall: UnixMillis(T.0 + wall_s * 1000), boot: Duration::from_secs(boot_s) }
    }

    fn boot(name: &str) -> BootId {
        BootId(Some(name.to_owned()))
    }

    #[test]
    fn goes_on_with_boot_time_and_not_beyond_the_wall() {
        let floor = ClockFloor::at_wall(reading(0, 1000), boot("a"));
        let at = |wall, boot_s| floor.advanced(reading(wall, boot_s), &boot("a")).time.0 - T.0;
        assert_eq!(at(10, 1010), 10_000);
        assert_eq!(at(86_400, 1010), 10_000, "a wall clock that is ahead raises nothing");
        assert_eq!(at(7, 1010), 7_000);
        assert_eq!(at(-7200, 1010), 0, "never back");
    }

    #[test]
    fn of_another_boot_confirms_nothing() {
        let floor = ClockFloor::at_wall(reading(0, 1000), boot("a"));
        for other in [boot("b"), BootId(None)] {
            let later = floor.advanced(reading(500, 2000), &other);
            assert_eq!(later.time, T);
            assert_eq!(floor.expected_wall(reading(500, 2000), &other), None);
        }
        let rebased = floor.advanced(reading(500, 20), &boot("b"));
        assert_eq!(rebased.advanced(reading(510, 30), &boot("b")).time.0 - T.0, 10_000, "but from then on");
        assert_eq!(floor.advanced(reading(500, 900), &boot("a")).time, T, "a boot time that went back");
    }

    #[test]
    fn promises_the_wall_clock_of_its_boot() {
        let floor = ClockFloor::of_unknown_boot(T).advanced(reading(3600, 50), &boot("a"));
        assert_eq!(floor.time, T, "the machine was off for an hour, or its clock is ahead");
        assert_eq!(floor.expected_wall(reading(9999, 650), &boot("a")), Some(reading(4200, 650).wall));
    }
}
