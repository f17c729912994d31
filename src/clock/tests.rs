//! Times, and the rules of [`ClockState`].

use std::time::Duration;

use proptest::{collection, prop_assert, prop_assert_eq, proptest};

use super::{
    BootId, Clock, ClockState, Evidence, MAX_STEP, Reading, Resumption, StopReason, SystemClock, UnixMillis, Votes,
};

const T: i64 = 1_795_000_000_000;
const BOOT: i64 = 3_600_000;
const PATIENCE: Duration = Duration::from_mins(10);
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const NONE: Evidence = Evidence { database: None, votes: Votes { agree: 0, fresh: 0 } };

/// A machine: true time goes on, and the wall clock has an error.
struct Machine {
    state: ClockState,
    /// Milliseconds since the start.
    elapsed: i64,
    /// Error of the wall clock, in milliseconds.
    error: i64,
}

impl Machine {
    fn new() -> Self {
        Self { state: ClockState::new(PATIENCE), elapsed: 0, error: 0 }
    }

    /// A machine that was trusted.
    fn trusted() -> Self {
        let mut machine = Self::new();
        machine.run(5);
        machine
    }

    fn reading(&self) -> Reading {
        let boot = Duration::from_millis((BOOT + self.elapsed).unsigned_abs());
        Reading { wall: UnixMillis(T + self.elapsed + self.error), boot }
    }

    /// Sets the wall clock by so many seconds, which nothing has seen yet.
    fn set(&mut self, seconds: i64) -> &mut Self {
        self.error += seconds * 1000;
        self
    }

    /// Runs for so many seconds, with a reading each second.
    fn run(&mut self, seconds: i64) -> &mut Self {
        for _ in 0..seconds {
            self.elapsed += 1000;
            self.state.observe(self.reading());
        }
        self
    }

    /// Passes time without a reading: suspended, or not scheduled.
    fn sleep(&mut self, seconds: i64) -> &mut Self {
        self.elapsed += seconds * 1000;
        self
    }

    fn stopped(&mut self) -> Option<StopReason> {
        self.state.observe(self.reading());
        self.state.stopped().map(|(reason, _)| reason)
    }

    fn resume(&mut self, evidence: Evidence) -> Option<Resumption> {
        let reading = self.reading();
        self.state.observe(reading);
        self.state.resume(reading, &evidence)
    }

    /// Sets a floor that is so many seconds ahead of true time.
    fn floor(&mut self, seconds: i64) -> &mut Self {
        self.state.set_floor(T - BOOT + seconds * 1000);
        self
    }

    /// Evidence of a database whose clock has this error, in seconds.
    fn database(&self, error: i64, votes: Votes) -> Evidence {
        Evidence { database: Some(UnixMillis(T + self.elapsed + error * 1000)), votes }
    }
}

fn votes(agree: usize, fresh: usize) -> Evidence {
    Evidence { database: None, votes: Votes { agree, fresh } }
}

#[test]
fn arithmetic_stays_inside_time() {
    let end = UnixMillis(i64::MAX);
    assert_eq!(end.plus(Duration::MAX), end);
    assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
    assert_eq!(UnixMillis(-1).seconds(), -1);
}

#[test]
fn is_shown_in_utc() {
    assert_eq!(UnixMillis(1_795_000_000_000).to_string(), "2026-11-18T11:06:40Z");
}

#[test]
fn boots_of_unknown_identity_are_never_the_same() {
    assert!(!BootId(None).is_same(&BootId(None)));
    assert!(SystemClock.boot_id().is_same(&SystemClock.boot_id()));
    assert!(SystemClock.since_boot() > Duration::ZERO);
}

#[test]
fn a_step_stops_at_the_first_reading_after_it() {
    for seconds in [61, 70, 2 * HOUR, 400 * DAY, -61, -2 * HOUR] {
        let mut machine = Machine::trusted();
        let stopped = machine.set(seconds).stopped();
        assert_eq!(stopped, Some(StopReason::Stepped { by_ms: seconds * 1000 }));
    }
    for seconds in [0, 1, 59, 60, -59, -60] {
        assert_eq!(Machine::trusted().set(seconds).stopped(), None, "{seconds}");
    }
}

#[test]
fn a_stopped_clock_that_is_set_again_says_how_far_it_is_off_now() {
    let mut machine = Machine::trusted();
    assert_eq!(machine.set(2 * HOUR).stopped(), Some(StopReason::Stepped { by_ms: 2 * HOUR * 1000 }));
    assert_eq!(machine.set(-4 * HOUR).stopped(), Some(StopReason::Stepped { by_ms: -2 * HOUR * 1000 }));
    assert_eq!(machine.set(2 * HOUR - 30).stopped(), Some(StopReason::Stepped { by_ms: -30_000 }));
}

#[test]
fn small_steps_add_up() {
    for seconds in [59, -59] {
        let mut machine = Machine::trusted();
        assert_eq!(machine.set(seconds).run(10).stopped(), None);
        assert!(machine.set(seconds).stopped().is_some(), "the anchor follows slowly");
        let mut machine = Machine::trusted();
        assert_eq!(machine.set(seconds).run(HOUR).stopped(), None);
        assert_eq!(machine.set(seconds).stopped(), None, "an hour later it has followed");
    }
}

#[test]
fn suspension_and_slow_correction_are_no_step() {
    let mut machine = Machine::trusted();
    assert_eq!(machine.sleep(900).stopped(), None, "suspended for 15 minutes");
    for _ in 0..600 {
        // NTP corrects by at most 500 ppm.
        machine.error += 5;
        machine.run(10);
    }
    assert_eq!(machine.stopped(), None);
}

#[test]
fn goes_on_where_it_agrees_with_the_time_before() {
    for seconds in [2 * HOUR, 400 * DAY, -2 * HOUR] {
        let mut machine = Machine::trusted();
        machine.set(seconds).run(5).set(-seconds);
        assert!(machine.stopped().is_some(), "a reading alone never lets it go on");
        assert_eq!(machine.set(11).resume(NONE), None, "not within 10 s");
        assert_eq!(machine.set(-2).resume(NONE), Some(Resumption::Agreement));
        assert_eq!(machine.stopped(), None);
    }
}

#[test]
fn the_old_anchor_stands_still_while_stopped() {
    let mut machine = Machine::trusted();
    machine.set(2 * HOUR).run(3 * HOUR).set(-2 * HOUR);
    assert_eq!(machine.resume(NONE), Some(Resumption::Agreement));
}

#[test]
fn patience_ends_a_stop_of_up_to_a_day_forward() {
    for (seconds, ends) in [(70, true), (2 * HOUR, true), (DAY, true), (DAY + 1, false), (-70, false), (-DAY, false)] {
        let mut machine = Machine::trusted();
        assert!(machine.set(seconds).stopped().is_some());
        machine.run(599);
        assert_eq!(machine.resume(NONE), None, "{seconds}: too soon");
        machine.run(1);
        assert_eq!(machine.resume(NONE), ends.then_some(Resumption::Patience), "{seconds}");
        assert_eq!(machine.stopped().is_none(), ends);
    }
}

#[test]
fn patience_needs_steady_running() {
    let mut machine = Machine::trusted();
    machine.set(2 * HOUR).run(500).set(60).run(500);
    assert_eq!(machine.resume(NONE), None, "it was set once more");
    machine.run(101);
    assert_eq!(machine.resume(NONE), Some(Resumption::Patience));
    let mut machine = Machine::trusted();
    machine.set(2 * HOUR).run(5).sleep(HOUR);
    assert_eq!(machine.resume(NONE), None, "it was suspended meanwhile");
}

#[test]
fn an_independent_clock_ends_a_stop_at_once() {
    for seconds in [70, 400 * DAY, -2 * HOUR] {
        for confirms in [votes(1, 1), votes(2, 3)] {
            let mut machine = Machine::trusted();
            assert!(machine.set(seconds).stopped().is_some());
            assert_eq!(machine.resume(votes(1, 2)), None, "half is no majority");
            assert_eq!(machine.resume(confirms), Some(Resumption::IndependentClock));
        }
        let mut machine = Machine::trusted();
        assert!(machine.set(seconds).stopped().is_some());
        assert_eq!(machine.resume(machine.database(0, Votes::default())), None);
        let confirms = machine.database(seconds + 9, Votes::default());
        assert_eq!(machine.resume(confirms), Some(Resumption::IndependentClock));
    }
}

#[test]
fn a_running_node_with_another_time_prevents_patience_but_not_agreement() {
    let mut machine = Machine::trusted();
    machine.set(70).run(2 * HOUR);
    assert_eq!(machine.resume(votes(0, 1)), None);
    assert_eq!(machine.resume(machine.database(0, Votes::default())), None);
    assert_eq!(machine.set(-70).resume(votes(0, 1)), Some(Resumption::Agreement), "one wrong node stops no other");
}

#[test]
fn a_clock_behind_the_floor_is_stopped_and_one_ahead_never() {
    for (ahead, stops) in [(-400 * DAY, false), (-HOUR, false), (0, false), (60, false), (61, true), (DAY, true)] {
        let mut machine = Machine::new();
        let reason = machine.floor(ahead).stopped();
        assert_eq!(reason, stops.then_some(StopReason::BehindFloor { by_ms: ahead * 1000 }), "{ahead}");
    }
}

#[test]
fn a_clock_behind_the_floor_goes_on_when_it_is_set_right() {
    let mut machine = Machine::new();
    machine.set(-2 * HOUR).floor(0).run(2 * HOUR);
    assert_eq!(machine.resume(NONE), None, "the floor goes on with boot time");
    assert_eq!(machine.resume(votes(2, 2)), None, "and is what every node knows");
    assert_eq!(machine.set(2 * HOUR).resume(NONE), Some(Resumption::Agreement));
    let mut machine = Machine::trusted();
    assert!(machine.floor(2 * HOUR).stopped().is_some());
    machine.state.accept(machine.reading());
    machine.floor(0).run(5);
    assert_eq!(machine.stopped(), None, "an operator accepted it");
}

#[test]
fn an_operator_ends_any_stop() {
    for seconds in [2 * HOUR, 400 * DAY, -2 * HOUR] {
        let mut machine = Machine::trusted();
        assert!(machine.set(seconds).stopped().is_some());
        machine.state.accept(machine.reading());
        assert_eq!(machine.run(100).stopped(), None);
        assert!(machine.set(-seconds).stopped().is_some(), "from then on that is the time");
    }
}

#[test]
fn a_majority_of_nodes_is_right_against_the_database() {
    let two_of_three = Votes { agree: 1, fresh: 2 };
    for wrong in [-HOUR, HOUR] {
        let mut machine = Machine::trusted();
        let evidence = machine.database(wrong, two_of_three);
        assert!(machine.state.compare(machine.reading(), &evidence), "the database is wrong");
        assert_eq!(machine.stopped(), None);
        for votes in [Votes { agree: 0, fresh: 0 }, Votes { agree: 0, fresh: 2 }, Votes { agree: 1, fresh: 3 }] {
            let mut machine = Machine::trusted();
            let evidence = machine.database(wrong, votes);
            assert!(!machine.state.compare(machine.reading(), &evidence));
            assert_eq!(machine.stopped(), Some(StopReason::AgainstDatabase { by_ms: -wrong * 1000 }));
            assert_eq!(machine.run(HOUR).resume(NONE), None, "until it agrees");
            let agrees = machine.database(0, votes);
            assert_eq!(machine.resume(agrees), Some(Resumption::IndependentClock));
        }
    }
}

#[test]
fn a_database_that_steps_stops_nobody() {
    let mut machine = Machine::trusted();
    let agrees = machine.database(5, Votes::default());
    assert!(!machine.state.compare(machine.reading(), &agrees));
    let stepped = machine.database(HOUR, Votes::default());
    assert!(machine.state.compare(machine.reading(), &stepped), "boot time speaks for this clock");
    assert_eq!(machine.stopped(), None);
}

proptest! {
    /// Without patience, witnesses and operators, a time that is trusted is never further from the time before than a
    /// step and what the anchor may follow, whatever is done to the clock; and a clock that is set back goes on.
    #[test]
    fn a_trusted_time_is_near_the_truth(acts in collection::vec((-100_000_i64..100_000, 0_i64..300, 0_i64..3), 0..60)) {
        let mut machine = Machine::trusted();
        for (set_ms, seconds, small) in acts {
            machine.error += if small == 0 { set_ms } else { set_ms / 10 };
            machine.sleep(seconds);
            if machine.stopped().is_none() {
                let allowed = i64::try_from(MAX_STEP.as_millis()).unwrap() + machine.elapsed / 60;
                prop_assert!(machine.error.abs() <= allowed, "{} ms after {} ms", machine.error, machine.elapsed);
            }
        }
        machine.error = 0;
        let may_be_off = machine.elapsed / 60;
        if machine.stopped().is_some() && may_be_off <= 10_000 {
            prop_assert_eq!(machine.resume(NONE), Some(Resumption::Agreement));
        }
    }
}
