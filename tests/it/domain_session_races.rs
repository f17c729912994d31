//! Any sequence of refreshes, lost answers, racing tabs, restored stores and clock steps leaves at most one live branch
//! of a session, and never logs an honest device out (R25, R26, R28) — and exactly where that promise ends.

use std::time::Duration;

use countersign::{
    clock::UnixMillis,
    domain::{
        policy::RefreshPolicy,
        refresh_token::Contents,
        session::{Decision, STRAGGLER_GRACE, Session, decide},
    },
};
use proptest::{prelude::*, test_runner::TestCaseError};

use crate::support::{
    domain::{HOUR, NOW, REFRESH, just_before, newest_of},
    world::{Flight, Storage, World},
};

#[derive(Clone, Copy, Debug)]
enum Op {
    Send(usize),
    Look(usize),
    Commit(usize),
    Deliver(usize),
    Lose(usize),
    /// All steps of a refresh, or what is left of one.
    Refresh(usize),
    /// The same, and its answer is lost.
    RefreshInVain(usize),
    /// A moment, while requests are under way.
    Pause(Duration),
    /// A long while with nothing under way.
    Wait(Duration),
    ClockBack,
    ClockForward,
    Snapshot,
    Restore(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let tab = || 0..3_usize;
    prop_oneof![
        6 => tab().prop_map(Op::Send),
        6 => tab().prop_map(Op::Look),
        6 => tab().prop_map(Op::Commit),
        5 => tab().prop_map(Op::Deliver),
        1 => tab().prop_map(Op::Lose),
        5 => tab().prop_map(Op::Refresh),
        2 => tab().prop_map(Op::RefreshInVain),
        3 => (0..6_000_u64).prop_map(|ms| Op::Pause(Duration::from_millis(ms))),
        2 => (0..40 * 3600_u64).prop_map(|s| Op::Wait(Duration::from_secs(s))),
        1 => (0..30 * 24 * 3600_u64).prop_map(|s| Op::Wait(Duration::from_secs(s))),
        1 => Just(Op::ClockBack),
        1 => Just(Op::ClockForward),
        1 => Just(Op::Snapshot),
        2 => (0..8_usize).prop_map(Op::Restore),
    ]
}

/// Runs one device's life. A step is left out where the device or the operator would break the conditions under which
/// the promise is given; each condition is a function below, and a test further down shows what happens without it.
struct Life {
    world: World,
    /// By how many hours the server's clock is off.
    off: i32,
    snapshots: Vec<Session>,
    restored: bool,
}

impl Life {
    fn new(storage: Storage, policy: RefreshPolicy) -> Self {
        Self { world: World::new(policy, storage), off: 0, snapshots: Vec::new(), restored: false }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Send(tab) => self.world.send(tab),
            Op::Look(tab) => self.world.look(tab),
            Op::Commit(tab) => self.world.commit(tab),
            Op::Deliver(tab) => self.world.deliver(tab),
            Op::Lose(tab) => self.world.lose(tab),
            Op::Refresh(tab) => self.world.refresh(tab),
            Op::RefreshInVain(tab) => {
                self.world.refresh_without_answer(tab);
                self.world.lose(tab);
            }
            Op::Pause(span) if self.lands_in_time(span) && self.is_patient(span) => self.world.pass(span),
            Op::Wait(span) if self.is_at_rest() && self.is_patient(span) => self.world.pass(span),
            Op::ClockBack if self.off >= 0 => self.set_clock(-1),
            Op::ClockForward if self.off <= 0 && self.is_at_rest() && self.is_patient(HOUR) => self.set_clock(1),
            Op::Snapshot => self.snapshots.push(self.world.row.clone()),
            Op::Restore(which) => self.restore(which),
            _ => {}
        }
    }

    fn set_clock(&mut self, hours: i32) {
        self.off += hours;
        let now = &mut self.world.now;
        *now = if hours > 0 { now.plus(HOUR) } else { now.minus(HOUR) };
    }

    fn restore(&mut self, which: usize) {
        let Some(row) = self.snapshots.get(which) else { return };
        if self.every_token_is_in_time(row, self.world.now) {
            self.world.row = row.clone();
            self.restored = true;
        }
    }

    /// No request or answer is under way for as long as the straggler's grace.
    fn lands_in_time(&self, span: Duration) -> bool {
        self.world.tabs.iter().flatten().all(|tab| tab.age + span < STRAGGLER_GRACE)
    }

    fn is_at_rest(&self) -> bool {
        self.world.tabs.iter().all(Option::is_none)
    }

    /// After `span` the device could still refresh: its wait is shorter than what the policy grants. Where the last
    /// answer wins, a request may set out with a token two behind, and has to arrive in time as well.
    fn is_patient(&self, span: Duration) -> bool {
        let World { row, stored, now, policy, storage, .. } = &self.world;
        let then = now.plus(span);
        match storage {
            Storage::KeepNewest => is_in_time(row, stored, then, *policy),
            Storage::LastWriter => self.every_token_is_in_time(row, then),
        }
    }

    fn every_token_is_in_time(&self, row: &Session, at: UnixMillis) -> bool {
        let under_way = self.world.tabs.iter().flatten().filter_map(|tab| match &tab.flight {
            Flight::Sent(token) | Flight::Looked { token, .. } => Some(token),
            Flight::Answered(_) => None,
        });
        under_way.chain([&self.world.stored]).all(|token| is_in_time(row, token, at, self.world.policy))
    }
}

/// The waits that the policy grants, in plain words: the idle life, and for a token whose answer was lost the retry
/// window since the rotation. A token two behind (last-writer-wins only) has the straggler's grace. A moment is left
/// over for the request's way.
fn is_in_time(row: &Session, token: &Contents, now: UnixMillis, policy: RefreshPolicy) -> bool {
    let lands = now.plus(STRAGGLER_GRACE);
    let alive = lands < row.idle_expires.max(token.idle_expires) && lands < row.expires;
    let patience = match row.counter.saturating_sub(token.counter) {
        0 => return alive,
        1 => lands.since(row.rotated) < policy.retry_window,
        _ => now.since(row.rotated) < STRAGGLER_GRACE,
    };
    alive && patience
}

/// A token moves the session on only if it is the newest; after a restore also if the store forgot it.
fn check_one_live_branch(life: &Life) -> Result<(), TestCaseError> {
    let world = &life.world;
    for counter in 0..=world.highest() {
        let token = Contents { counter, ..newest_of(&world.row) };
        let decision = decide(&world.row, &token, world.row.rotated, world.policy);
        let moves_on = matches!(decision, Decision::Rotate { .. } | Decision::Ahead { .. });
        prop_assert_eq!(moves_on, counter >= world.row.counter);
    }
    if !life.restored {
        prop_assert_eq!(world.row.counter, world.highest(), "a token newer than the row was given out");
        prop_assert!(world.made.windows(2).all(|pair| pair[0] < pair[1]), "a counter was made twice: {:?}", world.made);
    }
    Ok(())
}

fn check_honest(life: &Life) -> Result<(), TestCaseError> {
    let world = &life.world;
    prop_assert!(world.refused.is_empty(), "an honest tab was refused: {:?}", world.refused);
    for &(presented, answered) in &world.answers {
        prop_assert!(presented < answered && answered <= world.highest());
    }
    Ok(())
}

/// Whatever was restored: the device's next refresh brings the row to the newest token that anybody has.
fn check_that_a_refresh_heals(life: &mut Life) -> Result<(), TestCaseError> {
    life.world.tabs = [None, None, None];
    life.world.refresh(0);
    check_honest(life)?;
    prop_assert_eq!(life.world.row.counter, life.world.highest());
    prop_assert_eq!(life.world.stored.counter, life.world.highest());
    Ok(())
}

fn lives_of(storage: Storage, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut life = Life::new(storage, REFRESH);
    for &op in ops {
        life.step(op);
        check_one_live_branch(&life)?;
        check_honest(&life)?;
        if storage == Storage::KeepNewest {
            prop_assert!(life.world.highest() <= life.world.stored.counter + 1, "the device fell two behind");
        }
    }
    if storage == Storage::KeepNewest { check_that_a_refresh_heals(&mut life) } else { Ok(()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// With a storage that keeps the newest token, an honest device stays logged in whatever happens, as long as
    /// (1) no request is under way for 10 s or more while the device's other tabs refresh twice,
    /// (2) it comes back within `retry_window` of the last rotation where that answer was lost, and within the idle
    /// life of the last rotation (a repeated answer moves neither end), and
    /// (3) the clock does not jump forward while requests are under way.
    #[test]
    fn one_branch_and_no_logout_where_the_device_keeps_the_newest_token(ops in proptest::collection::vec(op(), 1..120)) {
        lives_of(Storage::KeepNewest, &ops)?;
    }

    /// With last-writer-wins it also has to hold that no answer is saved over one that is two or more rotations newer,
    /// unless each refresh with it arrives within 10 s of the last rotation.
    #[test]
    fn one_branch_and_no_logout_where_the_last_answer_wins(ops in proptest::collection::vec(op(), 1..120)) {
        lives_of(Storage::LastWriter, &ops)?;
    }

    /// However many tabs present the same token at once: one of them moves the session on, all get the same counter.
    #[test]
    fn racing_tabs_all_get_the_same_successor(order in Just(vec![0, 0, 0, 1, 1, 1, 2, 2, 2]).prop_shuffle()) {
        let mut world = World::new(REFRESH, Storage::KeepNewest);
        (0..3).for_each(|tab| world.send(tab));
        let mut progress = [0; 3];
        for tab in order {
            progress[tab] += 1;
            match progress[tab] {
                1 => world.look(tab),
                2 => world.commit(tab),
                _ => world.deliver(tab),
            }
        }
        prop_assert_eq!(&world.made, &[0, 1]);
        prop_assert!(world.answers.iter().all(|&answer| answer == (0, 1)));
        prop_assert_eq!(world.stored.counter, 1);
    }
}

fn device(storage: Storage) -> World {
    World::new(REFRESH, storage)
}

#[test]
fn an_answer_overtaken_once_is_healed_although_it_was_saved_last() {
    let mut world = device(Storage::LastWriter);
    world.refresh_without_answer(0);
    world.refresh(1);
    world.refresh(1);
    world.deliver(0);
    assert_eq!((world.stored.counter, world.row.counter), (1, 2));
    world.pass(just_before(REFRESH.retry_window));
    world.refresh(1);
    assert_eq!((world.stored.counter, world.row.counter), (2, 2));
    assert!(world.refused.is_empty());
}

/// Condition of last-writer-wins: overtaken by two rotations, and saved last. A device must keep the newest instead.
#[test]
fn an_answer_overtaken_twice_and_saved_last_looks_like_theft_after_ten_seconds() {
    for (wait, refusals) in [(just_before(STRAGGLER_GRACE), vec![]), (STRAGGLER_GRACE, vec![Decision::Reused])] {
        let mut world = device(Storage::LastWriter);
        world.refresh_without_answer(0);
        (0..3).for_each(|_| world.refresh(1));
        world.deliver(0);
        assert_eq!((world.stored.counter, world.row.counter), (1, 3));
        world.pass(wait);
        world.refresh(1);
        assert_eq!(world.refused, refusals, "after {wait:?}");
    }
}

/// Condition (1): a request that is under way for 10 s while another tab refreshes twice.
#[test]
fn a_request_overtaken_twice_looks_like_theft_after_ten_seconds() {
    for (wait, refusals) in [(just_before(STRAGGLER_GRACE), vec![]), (STRAGGLER_GRACE, vec![Decision::Reused])] {
        let mut world = device(Storage::KeepNewest);
        world.send(0);
        world.refresh(1);
        world.refresh(1);
        world.pass(wait);
        world.look(0);
        assert_eq!(world.refused, refusals, "after {wait:?}");
    }
}

#[test]
fn a_request_overtaken_once_may_be_under_way_for_the_whole_retry_window() {
    let mut world = device(Storage::KeepNewest);
    world.send(0);
    world.refresh(1);
    world.pass(just_before(REFRESH.retry_window));
    world.look(0);
    assert!(world.refused.is_empty());
}

/// Condition (2): the retry window counts from the rotation, however often the answer is lost again.
#[test]
fn answers_lost_for_the_whole_retry_window_log_the_device_out() {
    let mut world = device(Storage::KeepNewest);
    for _ in 0..3 {
        world.refresh_without_answer(0);
        world.lose(0);
        world.pass(REFRESH.retry_window / 3);
    }
    assert!(world.refused.is_empty());
    world.refresh(0);
    assert_eq!(world.refused, [Decision::Superseded]);
    assert_eq!(world.row.ended, None);
}

/// Condition (2): a repeated answer moves the idle end no further, so that the device's next wait has to end within
/// the idle life of the rotation, not of the repeated answer.
#[test]
fn a_repeated_answer_does_not_lengthen_the_idle_life() {
    let mut world = device(Storage::KeepNewest);
    world.refresh_without_answer(0);
    world.lose(0);
    world.pass(HOUR);
    world.refresh(0);
    assert_eq!(world.stored.idle_expires, NOW.plus(REFRESH.idle));
    world.pass(REFRESH.idle.saturating_sub(HOUR));
    world.refresh(0);
    assert_eq!(world.refused, [Decision::Expired]);
}

/// Condition (3): the ten seconds are the server's, so that a clock that jumps forward ends them early.
#[test]
fn a_clock_that_jumps_forward_while_a_request_is_overtaken_twice_looks_like_theft() {
    let mut world = device(Storage::KeepNewest);
    world.send(0);
    world.refresh(1);
    world.refresh(1);
    world.now = world.now.plus(HOUR);
    world.look(0);
    assert_eq!(world.refused, [Decision::Reused]);
}

#[test]
fn a_restored_store_is_caught_up_with_and_the_lost_tokens_lead_on() {
    let mut world = device(Storage::KeepNewest);
    world.refresh(0);
    let backup = world.row.clone();
    world.pass(HOUR);
    (0..5).for_each(|_| world.refresh(0));
    // Past the idle end of the row that comes back, within the token's own.
    world.pass(just_before(REFRESH.idle));
    world.row = backup;
    world.refresh(0);
    assert_eq!((world.row.counter, world.stored.counter), (7, 7));
    assert!(world.refused.is_empty());
    world.refresh(0);
    assert_eq!(world.made, (0..=8).collect::<Vec<_>>());
}

/// A restore on top of a lost answer: the token knows its own idle end, the later one was lost with the row.
#[test]
fn a_restore_after_a_lost_answer_leaves_the_idle_end_of_the_token_before() {
    let mut world = device(Storage::KeepNewest);
    let backup = world.row.clone();
    world.refresh(0);
    world.pass(HOUR);
    world.refresh_without_answer(0);
    world.lose(0);
    world.pass(REFRESH.idle.saturating_sub(HOUR));
    world.row = backup;
    world.refresh(0);
    assert_eq!(world.refused, [Decision::Expired]);
}

#[test]
fn with_a_retry_window_of_zero_a_lost_answer_or_a_race_logs_out_but_ends_nothing() {
    let mut world = World::new(RefreshPolicy { retry_window: Duration::ZERO, ..REFRESH }, Storage::KeepNewest);
    world.send(0);
    world.send(1);
    (0..2).for_each(|tab| world.look(tab));
    (0..2).for_each(|tab| world.commit(tab));
    assert_eq!(world.refused, [Decision::Superseded]);
    assert_eq!(world.made, [0, 1]);
    world.deliver(0);
    world.refresh(0);
    assert_eq!(world.made, [0, 1, 2]);
}
