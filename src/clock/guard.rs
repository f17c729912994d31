//! Guard of the wall clock: the only source of a time to judge by.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    BootId, Clock, Reading, UnixMillis,
    floor::ClockFloor,
    state::{ClockState, Evidence, Resumption, StopReason},
};

/// Guard of a process's wall clock. It reads wall clock and boot time whenever somebody asks for the time, so that the
/// first request after a step is refused, too.
pub struct ClockGuard {
    clock: Arc<dyn Clock>,
    boot_id: BootId,
    state: Mutex<ClockState>,
}

/// The clock is stopped: nothing may be judged by the time, and nothing written with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock says {says} and is not trusted since {since}: {reason}; set it right, or run `countersign clock accept` where it is right"
)]
pub struct ClockStopped {
    pub reason: StopReason,
    /// Time of the wall clock.
    pub says: UnixMillis,
    /// Time at which the stop began, as far as it is known.
    pub since: UnixMillis,
}

impl ClockGuard {
    /// Guards a clock; `patience` is [`Config::patience`](super::Config).
    pub fn new(clock: Arc<dyn Clock>, patience: Duration) -> Self {
        let boot_id = clock.boot_id();
        Self { clock, boot_id, state: Mutex::new(ClockState::new(patience)) }
    }

    /// Returns the time, if it may be judged by.
    ///
    /// # Errors
    /// [`ClockStopped`].
    pub fn trusted_now(&self) -> Result<UnixMillis, ClockStopped> {
        let reading = self.read();
        let mut state = self.state();
        state.observe(reading);
        stopped(&state, reading).map_or(Ok(reading.wall), Err)
    }

    /// Returns the wall clock's time, right or wrong: for records of acts that refuse or end something, which must not
    /// wait for a clock. Nothing may be judged by it.
    pub fn untrusted_now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Reads wall clock and boot time.
    pub fn read(&self) -> Reading {
        Reading { wall: self.clock.now(), boot: self.clock.since_boot() }
    }

    /// Returns the identity of this machine's boot.
    pub fn boot_id(&self) -> &BootId {
        &self.boot_id
    }

    /// Returns why the clock is stopped, if it is.
    pub fn check(&self) -> Option<ClockStopped> {
        self.trusted_now().err()
    }

    /// Replaces the floor by the one that the store has on record.
    pub fn set_floor(&self, floor: &ClockFloor) {
        let rebased = floor.rebased(self.read(), &self.boot_id);
        self.state().set_floor(rebased.offset());
    }

    /// Takes over the trust of the process that recorded the floor, if that was in this boot: a step forward since then
    /// stops the clock. For a process that has no time of its own to compare with. The floor itself stops a step back.
    pub fn recall(&self, floor: &ClockFloor) {
        let reading = self.read();
        if let Some(wall) = floor.expected_wall(reading, &self.boot_id).filter(|wall| *wall < reading.wall) {
            self.state().recall(Reading { wall, ..reading });
        }
    }

    /// Compares the clock with independent ones; see [`ClockState::compare`].
    pub fn compare(&self, evidence: &Evidence) -> bool {
        let reading = self.read();
        self.state().compare(reading, evidence)
    }

    /// Returns true where a stopped clock may go on. Keys are to be loaded again before [`Self::resume`].
    pub fn may_resume(&self, evidence: &Evidence) -> bool {
        let reading = self.read();
        self.state().resumption(reading, evidence).is_some()
    }

    /// Lets a stopped clock go on, if it still may.
    pub fn resume(&self, evidence: &Evidence) -> Option<Resumption> {
        let reading = self.read();
        self.state().resume(reading, evidence)
    }

    /// Trusts the wall clock as it is, because an operator says so.
    pub fn accept(&self) {
        let reading = self.read();
        self.state().accept(reading);
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopped(state: &ClockState, reading: Reading) -> Option<ClockStopped> {
    let (reason, since) = state.stopped()?;
    Some(ClockStopped { reason, says: reading.wall, since })
}
