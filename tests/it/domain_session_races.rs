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
    session_model::{RefreshPhase, SessionModel, Storage},
};

#[derive(Clone, Copy, Debug)]
enum Op {
    Send(usize),
    Read(usize),
    Commit(usize),
    Deliver(usize),
    Lose(usize),
    /// All remaining steps of a refresh.
    Refresh(usize),
    /// A refresh whose answer is lost.
    RefreshWithLostAnswer(usize),
    /// A few seconds, while requests are in flight.
    Pause(Duration),
    /// Hours or days without a request in flight.
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
        6 => tab().prop_map(Op::Read),
        6 => tab().prop_map(Op::Commit),
        5 => tab().prop_map(Op::Deliver),
        1 => tab().prop_map(Op::Lose),
        5 => tab().prop_map(Op::Refresh),
        2 => tab().prop_map(Op::RefreshWithLostAnswer),
        3 => (0..6_000_u64).prop_map(|ms| Op::Pause(Duration::from_millis(ms))),
        2 => (0..40 * 3600_u64).prop_map(|s| Op::Wait(Duration::from_secs(s))),
        1 => (0..30 * 24 * 3600_u64).prop_map(|s| Op::Wait(Duration::from_secs(s))),
        1 => Just(Op::ClockBack),
        1 => Just(Op::ClockForward),
        1 => Just(Op::Snapshot),
        2 => (0..8_usize).prop_map(Op::Restore),
    ]
}

/// Run of one device. A step is skipped if the device or the operator would break a condition of the promise; each
/// condition is a function below, and a test further down breaks it.
struct DeviceRun {
    model: SessionModel,
    /// Error of the server's clock, in hours.
    clock_error: i32,
    snapshots: Vec<Session>,
    restored: bool,
}

impl DeviceRun {
    fn new(storage: Storage, policy: RefreshPolicy) -> Self {
        Self { model: SessionModel::new(policy, storage), clock_error: 0, snapshots: Vec::new(), restored: false }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Send(tab) => self.model.send(tab),
            Op::Read(tab) => self.model.read(tab),
            Op::Commit(tab) => self.model.commit(tab),
            Op::Deliver(tab) => self.model.deliver(tab),
            Op::Lose(tab) => self.model.lose(tab),
            Op::Refresh(tab) => self.model.refresh(tab),
            Op::RefreshWithLostAnswer(tab) => {
                self.model.refresh_without_answer(tab);
                self.model.lose(tab);
            }
            Op::Pause(span) if self.arrives_in_time(span) && self.is_within_policy(span) => self.model.pass(span),
            Op::Wait(span) if self.is_at_rest() && self.is_within_policy(span) => self.model.pass(span),
            Op::ClockBack if self.clock_error >= 0 => self.set_clock(-1),
            Op::ClockForward if self.clock_error <= 0 && self.is_at_rest() && self.is_within_policy(HOUR) => {
                self.set_clock(1);
            }
            Op::Snapshot => self.snapshots.push(self.model.row.clone()),
            Op::Restore(which) => self.restore(which),
            _ => {}
        }
    }

    fn set_clock(&mut self, hours: i32) {
        self.clock_error += hours;
        let now = &mut self.model.now;
        *now = if hours > 0 { now.plus(HOUR) } else { now.minus(HOUR) };
    }

    fn restore(&mut self, which: usize) {
        let Some(row) = self.snapshots.get(which) else { return };
        if self.every_token_is_in_time(row, self.model.now) {
            self.model.row = row.clone();
            self.restored = true;
        }
    }

    /// No request or answer is in flight for as long as the straggler's grace.
    fn arrives_in_time(&self, span: Duration) -> bool {
        self.model.tabs.iter().flatten().all(|tab| tab.age + span < STRAGGLER_GRACE)
    }

    fn is_at_rest(&self) -> bool {
        self.model.tabs.iter().all(Option::is_none)
    }

    /// After `span` the device could still refresh: its wait is shorter than what the policy grants. Where the last
    /// answer wins, a request may set out with a token two behind, and has to arrive in time as well.
    fn is_within_policy(&self, span: Duration) -> bool {
        let SessionModel { row, stored, now, policy, storage, .. } = &self.model;
        let then = now.plus(span);
        match storage {
            Storage::KeepNewest => is_in_time(row, stored, then, *policy),
            Storage::LastWriter => self.every_token_is_in_time(row, then),
        }
    }

    fn every_token_is_in_time(&self, row: &Session, at: UnixMillis) -> bool {
        let in_flight = self.model.tabs.iter().flatten().filter_map(|tab| match &tab.phase {
            RefreshPhase::Sent(token) | RefreshPhase::Read { token, .. } => Some(token),
            RefreshPhase::Answered(_) => None,
        });
        in_flight.chain([&self.model.stored]).all(|token| is_in_time(row, token, at, self.model.policy))
    }
}

/// The waits that the policy grants, in plain words: the idle life, and for a token whose answer was lost the retry
/// window since the rotation. A token two behind (last-writer-wins only) has the straggler's grace. A margin is left
/// for the request's way.
fn is_in_time(row: &Session, token: &Contents, now: UnixMillis, policy: RefreshPolicy) -> bool {
    let arrival = now.plus(STRAGGLER_GRACE);
    let alive = arrival < row.idle_expires.max(token.idle_expires) && arrival < row.expires;
    let in_time = match row.counter.saturating_sub(token.counter) {
        0 => return alive,
        1 => arrival.since(row.rotated) < policy.retry_window,
        _ => now.since(row.rotated) < STRAGGLER_GRACE,
    };
    alive && in_time
}

/// A token moves the session on only if it is the newest; after a restore also if the store forgot it.
fn check_one_live_branch(run: &DeviceRun) -> Result<(), TestCaseError> {
    let model = &run.model;
    for counter in 0..=model.highest() {
        let token = Contents { counter, ..newest_of(&model.row) };
        let decision = decide(&model.row, &token, model.row.rotated, model.policy);
        let moves_on = matches!(decision, Decision::Rotate { .. } | Decision::Ahead { .. });
        prop_assert_eq!(moves_on, counter >= model.row.counter);
    }
    if !run.restored {
        prop_assert_eq!(model.row.counter, model.highest(), "a token newer than the row was given out");
        prop_assert!(model.made.windows(2).all(|pair| pair[0] < pair[1]), "a counter was made twice: {:?}", model.made);
    }
    Ok(())
}

fn check_honest(run: &DeviceRun) -> Result<(), TestCaseError> {
    let model = &run.model;
    prop_assert!(model.refused.is_empty(), "an honest tab was refused: {:?}", model.refused);
    for &(presented, answered) in &model.answers {
        prop_assert!(presented < answered && answered <= model.highest());
    }
    Ok(())
}

/// Whatever was restored: the device's next refresh brings the row to the newest token that anybody has.
fn check_that_a_refresh_heals(run: &mut DeviceRun) -> Result<(), TestCaseError> {
    run.model.tabs = [None, None, None];
    run.model.refresh(0);
    check_honest(run)?;
    prop_assert_eq!(run.model.row.counter, run.model.highest());
    prop_assert_eq!(run.model.stored.counter, run.model.highest());
    Ok(())
}

fn run_device(storage: Storage, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut run = DeviceRun::new(storage, REFRESH);
    for &op in ops {
        run.step(op);
        check_one_live_branch(&run)?;
        check_honest(&run)?;
        if storage == Storage::KeepNewest {
            prop_assert!(run.model.highest() <= run.model.stored.counter + 1, "the device fell two behind");
        }
    }
    if storage == Storage::KeepNewest { check_that_a_refresh_heals(&mut run) } else { Ok(()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// With a storage that keeps the newest token, an honest device stays logged in whatever happens, as long as
    /// (1) no request is in flight for 10 s or more while the device's other tabs refresh twice,
    /// (2) it comes back within `retry_window` of the last rotation where that answer was lost, and within the idle
    /// life of the last rotation (a repeated answer moves neither end), and
    /// (3) the clock does not jump forward while requests are in flight.
    #[test]
    fn one_branch_and_no_logout_where_the_device_keeps_the_newest_token(ops in proptest::collection::vec(op(), 1..120)) {
        run_device(Storage::KeepNewest, &ops)?;
    }

    /// With last-writer-wins it also has to hold that no answer is saved over one that is two or more rotations newer,
    /// unless each refresh with it arrives within 10 s of the last rotation.
    #[test]
    fn one_branch_and_no_logout_where_the_last_answer_wins(ops in proptest::collection::vec(op(), 1..120)) {
        run_device(Storage::LastWriter, &ops)?;
    }

    /// However many tabs present the same token at once: one of them moves the session on, all get the same counter.
    #[test]
    fn racing_tabs_all_get_the_same_generation(order in Just(vec![0, 0, 0, 1, 1, 1, 2, 2, 2]).prop_shuffle()) {
        let mut model = SessionModel::new(REFRESH, Storage::KeepNewest);
        (0..3).for_each(|tab| model.send(tab));
        let mut steps = [0; 3];
        for tab in order {
            steps[tab] += 1;
            match steps[tab] {
                1 => model.read(tab),
                2 => model.commit(tab),
                _ => model.deliver(tab),
            }
        }
        prop_assert_eq!(&model.made, &[0, 1]);
        prop_assert!(model.answers.iter().all(|&answer| answer == (0, 1)));
        prop_assert_eq!(model.stored.counter, 1);
    }
}

fn device(storage: Storage) -> SessionModel {
    SessionModel::new(REFRESH, storage)
}

#[test]
fn an_answer_overtaken_once_is_healed_although_it_was_saved_last() {
    let mut model = device(Storage::LastWriter);
    model.refresh_without_answer(0);
    model.refresh(1);
    model.refresh(1);
    model.deliver(0);
    assert_eq!((model.stored.counter, model.row.counter), (1, 2));
    model.pass(just_before(REFRESH.retry_window));
    model.refresh(1);
    assert_eq!((model.stored.counter, model.row.counter), (2, 2));
    assert!(model.refused.is_empty());
}

/// Condition of last-writer-wins: overtaken by two rotations, and saved last. A device must keep the newest instead.
#[test]
fn an_answer_overtaken_twice_and_saved_last_looks_like_theft_after_ten_seconds() {
    for (wait, refusals) in [(just_before(STRAGGLER_GRACE), vec![]), (STRAGGLER_GRACE, vec![Decision::Reused])] {
        let mut model = device(Storage::LastWriter);
        model.refresh_without_answer(0);
        (0..3).for_each(|_| model.refresh(1));
        model.deliver(0);
        assert_eq!((model.stored.counter, model.row.counter), (1, 3));
        model.pass(wait);
        model.refresh(1);
        assert_eq!(model.refused, refusals, "after {wait:?}");
    }
}

/// Condition (1): a request that is in flight for 10 s while another tab refreshes twice.
#[test]
fn a_request_overtaken_twice_looks_like_theft_after_ten_seconds() {
    for (wait, refusals) in [(just_before(STRAGGLER_GRACE), vec![]), (STRAGGLER_GRACE, vec![Decision::Reused])] {
        let mut model = device(Storage::KeepNewest);
        model.send(0);
        model.refresh(1);
        model.refresh(1);
        model.pass(wait);
        model.read(0);
        assert_eq!(model.refused, refusals, "after {wait:?}");
    }
}

#[test]
fn a_request_overtaken_once_may_be_under_way_for_the_whole_retry_window() {
    let mut model = device(Storage::KeepNewest);
    model.send(0);
    model.refresh(1);
    model.pass(just_before(REFRESH.retry_window));
    model.read(0);
    assert!(model.refused.is_empty());
}

/// Condition (2): the retry window counts from the rotation, however often the answer is lost again.
#[test]
fn answers_lost_for_the_whole_retry_window_log_the_device_out() {
    let mut model = device(Storage::KeepNewest);
    for _ in 0..3 {
        model.refresh_without_answer(0);
        model.lose(0);
        model.pass(REFRESH.retry_window / 3);
    }
    assert!(model.refused.is_empty());
    model.refresh(0);
    assert_eq!(model.refused, [Decision::Superseded]);
    assert_eq!(model.row.ended, None);
}

/// Condition (2): a repeated answer moves the idle end no further, so that the device's next wait has to end within
/// the idle life of the rotation, not of the repeated answer.
#[test]
fn a_repeated_answer_does_not_lengthen_the_idle_life() {
    let mut model = device(Storage::KeepNewest);
    model.refresh_without_answer(0);
    model.lose(0);
    model.pass(HOUR);
    model.refresh(0);
    assert_eq!(model.stored.idle_expires, NOW.plus(REFRESH.idle));
    model.pass(REFRESH.idle.saturating_sub(HOUR));
    model.refresh(0);
    assert_eq!(model.refused, [Decision::Expired]);
}

/// Condition (3): the ten seconds are the server's, so that a clock that jumps forward ends them early.
#[test]
fn a_clock_that_jumps_forward_while_a_request_is_overtaken_twice_looks_like_theft() {
    let mut model = device(Storage::KeepNewest);
    model.send(0);
    model.refresh(1);
    model.refresh(1);
    model.now = model.now.plus(HOUR);
    model.read(0);
    assert_eq!(model.refused, [Decision::Reused]);
}

#[test]
fn a_restored_store_is_caught_up_with_and_the_lost_tokens_lead_on() {
    let mut model = device(Storage::KeepNewest);
    model.refresh(0);
    let backup = model.row.clone();
    model.pass(HOUR);
    (0..5).for_each(|_| model.refresh(0));
    // Past the idle end of the row that comes back, within the token's own.
    model.pass(just_before(REFRESH.idle));
    model.row = backup;
    model.refresh(0);
    assert_eq!((model.row.counter, model.stored.counter), (7, 7));
    assert!(model.refused.is_empty());
    model.refresh(0);
    assert_eq!(model.made, (0..=8).collect::<Vec<_>>());
}

/// A restore on top of a lost answer: the token knows its own idle end, the later one was lost with the row.
#[test]
fn a_restore_after_a_lost_answer_leaves_the_idle_end_of_the_token_before() {
    let mut model = device(Storage::KeepNewest);
    let backup = model.row.clone();
    model.refresh(0);
    model.pass(HOUR);
    model.refresh_without_answer(0);
    model.lose(0);
    model.pass(REFRESH.idle.saturating_sub(HOUR));
    model.row = backup;
    model.refresh(0);
    assert_eq!(model.refused, [Decision::Expired]);
}

#[test]
fn with_a_retry_window_of_zero_a_lost_answer_or_a_race_logs_out_but_ends_nothing() {
    let mut model = SessionModel::new(RefreshPolicy { retry_window: Duration::ZERO, ..REFRESH }, Storage::KeepNewest);
    model.send(0);
    model.send(1);
    (0..2).for_each(|tab| model.read(tab));
    (0..2).for_each(|tab| model.commit(tab));
    assert_eq!(model.refused, [Decision::Superseded]);
    assert_eq!(model.made, [0, 1]);
    model.deliver(0);
    model.refresh(0);
    assert_eq!(model.made, [0, 1, 2]);
}
