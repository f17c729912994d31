//! Decisions about a presented refresh token, at every limit of the rules (R26–R29), without store or clock.

use std::time::Duration;

use countersign::{
    clock::UnixMillis,
    domain::{
        policy::RefreshPolicy,
        refresh_token::Contents,
        session::{Decision, Ended, STRAGGLER_GRACE, Session, decide},
    },
};
use proptest::prelude::*;
use strum::VariantNames;

use crate::support::domain::{MILLI, NOW, REFRESH, just_before, newest_of, session};

const STRICT: RefreshPolicy = RefreshPolicy { retry_window: Duration::ZERO, ..REFRESH };
const HASTY: RefreshPolicy = RefreshPolicy { retry_window: Duration::from_secs(4), ..REFRESH };

/// Session at counter 100, last rotated at [`NOW`].
fn row() -> Session {
    Session { counter: 100, ..session(REFRESH) }
}

fn behind(row: &Session, steps: u64) -> Contents {
    Contents { counter: row.counter - steps, ..newest_of(row) }
}

fn after(wait: Duration, steps_behind: u64, policy: RefreshPolicy) -> Decision {
    let row = row();
    decide(&row, &behind(&row, steps_behind), NOW.plus(wait), policy)
}

#[test]
fn the_newest_token_moves_the_session_on_whenever_it_comes() {
    for policy in [REFRESH, STRICT, HASTY] {
        for wait in [Duration::ZERO, STRAGGLER_GRACE, policy.retry_window, just_before(policy.idle)] {
            assert_eq!(after(wait, 0, policy), Decision::Rotate { to: 101 });
        }
    }
}

#[test]
fn one_behind_is_a_lost_answer_until_the_retry_window_is_exactly_over() {
    let window = REFRESH.retry_window;
    for wait in [Duration::ZERO, STRAGGLER_GRACE, just_before(window)] {
        assert_eq!(after(wait, 1, REFRESH), Decision::Repeat, "{wait:?}");
    }
    for wait in [window, window + MILLI, just_before(REFRESH.idle)] {
        assert_eq!(after(wait, 1, REFRESH), Decision::Superseded, "{wait:?}");
    }
}

#[test]
fn two_or_more_behind_is_a_straggler_until_ten_seconds_are_exactly_over() {
    for steps in [2, 3, 100] {
        for wait in [Duration::ZERO, just_before(STRAGGLER_GRACE)] {
            assert_eq!(after(wait, steps, REFRESH), Decision::Repeat, "{steps} behind after {wait:?}");
        }
        for wait in [STRAGGLER_GRACE, REFRESH.retry_window, just_before(REFRESH.idle)] {
            assert_eq!(after(wait, steps, REFRESH), Decision::Reused, "{steps} behind after {wait:?}");
        }
    }
}

#[test]
fn a_retry_window_of_zero_forgives_nothing_and_still_tells_late_from_stolen() {
    assert_eq!(after(Duration::ZERO, 1, STRICT), Decision::Superseded);
    assert_eq!(after(Duration::ZERO, 2, STRICT), Decision::Superseded);
    assert_eq!(after(just_before(STRAGGLER_GRACE), 2, STRICT), Decision::Superseded);
    assert_eq!(after(STRAGGLER_GRACE, 1, STRICT), Decision::Superseded);
    assert_eq!(after(STRAGGLER_GRACE, 2, STRICT), Decision::Reused);
}

#[test]
fn a_retry_window_within_the_stragglers_grace_holds_for_stragglers_too() {
    assert_eq!(after(just_before(HASTY.retry_window), 2, HASTY), Decision::Repeat);
    assert_eq!(after(HASTY.retry_window, 2, HASTY), Decision::Superseded);
    assert_eq!(after(STRAGGLER_GRACE, 2, HASTY), Decision::Reused);
}

#[test]
fn the_idle_and_the_absolute_end_count_from_their_exact_millisecond() {
    let row = row();
    let token = newest_of(&row);
    let at = |now: UnixMillis| decide(&row, &token, now, REFRESH);
    assert_eq!(at(row.idle_expires.minus(MILLI)), Decision::Rotate { to: 101 });
    assert_eq!(at(row.idle_expires), Decision::Expired);

    let old = Session { expires: row.idle_expires.minus(MILLI), ..row.clone() };
    let at = |now: UnixMillis| decide(&old, &token, now, REFRESH);
    assert_eq!(at(old.expires.minus(MILLI)), Decision::Rotate { to: 101 });
    assert_eq!(at(old.expires), Decision::Expired, "the absolute end holds although the idle one is later");
}

#[test]
fn a_token_brings_back_the_idle_end_that_the_store_lost_but_never_a_later_absolute_end() {
    let row = row();
    let later = row.idle_expires.plus(REFRESH.idle);
    let token = Contents { counter: 101, idle_expires: later, ..newest_of(&row) };
    assert_eq!(decide(&row, &token, later.minus(MILLI), REFRESH), Decision::Ahead { to: 102 });
    assert_eq!(decide(&row, &token, later, REFRESH), Decision::Expired);

    let far = Contents { idle_expires: UnixMillis(i64::MAX), expires: UnixMillis(i64::MAX), ..token };
    assert_eq!(decide(&row, &far, row.expires, REFRESH), Decision::Expired);
}

#[test]
fn an_ended_session_says_so_before_anything_else() {
    let refusal = [
        (Ended::Logout, Decision::Revoked),
        (Ended::Evicted, Decision::Revoked),
        (Ended::Revoked, Decision::Revoked),
        (Ended::Reused, Decision::Revoked),
        (Ended::OptedOut, Decision::OptedOut),
    ];
    for (why, decision) in refusal {
        let row = Session { ended: Some(why), ..row() };
        for counter in [0, 98, 99, 100, 101, u64::MAX] {
            let token = Contents { counter, ..newest_of(&row) };
            for now in [UnixMillis(i64::MIN), NOW, row.idle_expires, row.expires, UnixMillis(i64::MAX)] {
                assert_eq!(decide(&row, &token, now, REFRESH), decision, "{why:?}, counter {counter}, {now}");
            }
        }
    }
}

#[test]
fn a_token_ahead_of_the_store_jumps_over_everything_that_was_given_out() {
    let row = row();
    for counter in [101, 102, 1_000_000] {
        let token = Contents { counter, ..newest_of(&row) };
        assert_eq!(decide(&row, &token, NOW, REFRESH), Decision::Ahead { to: counter + 1 });
        assert_eq!(decide(&row, &token, NOW, STRICT), Decision::Ahead { to: counter + 1 });
    }
}

#[test]
fn the_last_counter_there_is_neither_panics_nor_starts_again() {
    let last = Session { counter: u64::MAX, ..row() };
    let at = |counter| decide(&last, &Contents { counter, ..newest_of(&last) }, NOW, REFRESH);
    assert_eq!(at(u64::MAX), Decision::Rotate { to: u64::MAX });
    assert_eq!(at(u64::MAX - 1), Decision::Repeat);
    let row = row();
    let token = Contents { counter: u64::MAX, ..newest_of(&row) };
    assert_eq!(decide(&row, &token, NOW, REFRESH), Decision::Ahead { to: u64::MAX });
}

#[test]
fn a_clock_that_went_back_counts_no_time_and_refuses_nobody() {
    let row = row();
    let earlier = NOW.minus(Duration::from_hours(1));
    for (steps, decision) in [(0, Decision::Rotate { to: 101 }), (1, Decision::Repeat), (2, Decision::Repeat)] {
        assert_eq!(decide(&row, &behind(&row, steps), earlier, REFRESH), decision);
    }
}

#[test]
fn every_decision_has_its_own_name() {
    let all = [
        Decision::Rotate { to: 1 },
        Decision::Repeat,
        Decision::Ahead { to: 1 },
        Decision::Expired,
        Decision::Revoked,
        Decision::OptedOut,
        Decision::Superseded,
        Decision::Reused,
    ];
    let names = ["rotate", "repeat", "ahead", "expired", "revoked", "opted_out", "superseded", "reused"];
    assert_eq!(all.map(Decision::as_str), names);
    assert_eq!(Decision::VARIANTS, names);
}

/// Stores hold the names: a changed name, or one name for two ends, would open old sessions again.
#[test]
fn every_end_has_its_own_name() {
    let all = [Ended::Logout, Ended::Revoked, Ended::Reused, Ended::Evicted, Ended::OptedOut];
    assert_eq!(all.map(Ended::as_str), ["logout", "revoked", "reused", "evicted", "opted_out"]);
}

fn ended() -> impl Strategy<Value = Option<Ended>> {
    const WHY: [Ended; 5] = [Ended::Logout, Ended::Revoked, Ended::Reused, Ended::Evicted, Ended::OptedOut];
    prop_oneof![8 => Just(None), 1 => proptest::sample::select(&WHY[..]).prop_map(Some)]
}

prop_compose! {
    fn any_row()(
        counter: u64, rotated: i64, idle: i64, end: i64, ended in ended(),
    ) -> Session {
        Session {
            counter,
            rotated: UnixMillis(rotated),
            idle_expires: UnixMillis(idle),
            expires: UnixMillis(end),
            ended,
            ..session(REFRESH)
        }
    }
}

proptest! {
    /// R26: presenting a superseded token changes nothing, so asking again cannot lengthen its window: the answer
    /// depends on the time since the rotation only.
    #[test]
    fn asking_again_never_lengthens_the_retry_window(waits in proptest::collection::vec(1_u64..12 * 3600, 1..20)) {
        let row = row();
        let token = behind(&row, 1);
        let mut now = NOW;
        for seconds in waits {
            now = now.plus(Duration::from_secs(seconds));
            let expected =
                if now.since(NOW) < REFRESH.retry_window { Decision::Repeat } else { Decision::Superseded };
            prop_assert_eq!(decide(&row, &token, now, REFRESH), expected);
        }
    }

    /// Any row with any token: no panic, and a counter only grows.
    #[test]
    fn a_counter_never_goes_back(row in any_row(), counter: u64, idle: i64, now: i64, window_ms: u64) {
        let token = Contents { counter, idle_expires: UnixMillis(idle), ..newest_of(&row) };
        let policy = RefreshPolicy { retry_window: Duration::from_millis(window_ms), ..REFRESH };
        match decide(&row, &token, UnixMillis(now), policy) {
            Decision::Rotate { to } => {
                prop_assert_eq!(counter, row.counter);
                prop_assert_eq!(to, counter.saturating_add(1));
            }
            Decision::Ahead { to } => {
                prop_assert!(counter > row.counter);
                prop_assert_eq!(to, counter.saturating_add(1));
            }
            Decision::Repeat | Decision::Superseded | Decision::Reused => prop_assert!(counter < row.counter),
            Decision::OptedOut => prop_assert_eq!(row.ended, Some(Ended::OptedOut)),
            Decision::Revoked => prop_assert!(row.ended.is_some()),
            Decision::Expired => prop_assert!(now >= row.expires.0 || now >= row.idle_expires.0),
        }
    }
}
