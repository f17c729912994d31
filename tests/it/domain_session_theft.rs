//! Use of a stolen refresh token (R27): the cases in which it ends the session, and those in which it cannot be told
//! apart from a lost answer.

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

use crate::support::domain::{NOW, REFRESH, just_before, newest_of, session};

const OWNER: usize = 0;
const THIEF: usize = 1;

/// Owner and thief, each with a copy of the same refresh token, and the number of rotations that each has missed since
/// its last answer. These numbers come from the events, not from the tokens' counters.
struct TheftModel {
    policy: RefreshPolicy,
    row: Session,
    now: UnixMillis,
    held: [Contents; 2],
    missed: [u32; 2],
}

impl TheftModel {
    fn new(policy: RefreshPolicy) -> Self {
        let row = session(policy);
        let token = newest_of(&row);
        Self { policy, row, now: NOW, held: [token.clone(), token], missed: [0, 0] }
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    /// One of the two refreshes; the store does what the decision says.
    fn refresh(&mut self, who: usize) -> Decision {
        let decision = decide(&self.row, &self.held[who], self.now, self.policy);
        match decision {
            Decision::Rotate { to } | Decision::Ahead { to } => {
                let idle_expires = self.now.plus(self.policy.idle);
                self.row = Session { counter: to, rotated: self.now, idle_expires, ..self.row.clone() };
                self.missed[1 - who] += 1;
            }
            Decision::Repeat => {}
            Decision::Reused => self.row.ended = Some(Ended::Reused),
            _ => return decision,
        }
        if decision != Decision::Reused {
            self.held[who] = newest_of(&self.row);
            self.missed[who] = 0;
        }
        decision
    }
}

proptest! {
    /// The exact rule: a theft ends the session as soon as one of the two comes back after the other has moved on
    /// twice, 10 s or more after the last of that; then it ends for both. One rotation apart is a lost answer.
    #[test]
    fn the_session_ends_when_one_comes_back_two_rotations_late(
        moves in proptest::collection::vec((0..2_usize, 10..3600_u64), 1..60),
    ) {
        let mut model = TheftModel::new(REFRESH);
        for (who, seconds) in moves {
            model.wait(Duration::from_secs(seconds));
            let expected = match (model.row.ended, model.missed[who]) {
                (Some(_), _) => Decision::Revoked,
                (None, 0) => Decision::Rotate { to: model.row.counter + 1 },
                (None, 1) => Decision::Repeat,
                (None, _) => Decision::Reused,
            };
            prop_assert_eq!(model.refresh(who), expected);
        }
    }

    /// Whoever moved on twice alone: the other's next use ends the session, whatever came before.
    #[test]
    fn two_refreshes_alone_give_the_other_away(
        before in proptest::collection::vec((0..2_usize, 10..3600_u64), 0..20), late in 0..2_usize,
    ) {
        let mut model = TheftModel::new(REFRESH);
        for (who, seconds) in before {
            model.wait(Duration::from_secs(seconds));
            model.refresh(who);
        }
        prop_assume!(model.row.ended.is_none());
        // The first may be an answer again; then two rotations.
        for _ in 0..3 {
            model.wait(STRAGGLER_GRACE);
            model.refresh(1 - late);
        }
        model.wait(STRAGGLER_GRACE);
        let decision = model.refresh(late);
        prop_assert!(matches!(decision, Decision::Reused | Decision::Revoked), "{:?}", decision);
        prop_assert_eq!(model.row.ended, Some(Ended::Reused));
        prop_assert_eq!(model.refresh(1 - late), Decision::Revoked);
    }

    /// The price of forgiving a lost answer: who refreshes once after each refresh of the other, within the retry
    /// window, is never noticed; there is still only one branch, and it ends with the session.
    #[test]
    fn a_thief_in_step_with_the_owner_is_not_noticed(waits in proptest::collection::vec(10..24 * 3600_u64, 1..40)) {
        let mut model = TheftModel::new(REFRESH);
        for seconds in waits {
            let next = model.row.counter + 1;
            prop_assert_eq!(model.refresh(OWNER), Decision::Rotate { to: next });
            model.wait(just_before(Duration::from_secs(seconds)));
            prop_assert_eq!(model.refresh(THIEF), Decision::Repeat);
            prop_assert_eq!(model.held[OWNER].counter, model.held[THIEF].counter);
        }
    }
}

#[test]
fn within_ten_seconds_nobody_is_called_a_thief() {
    let mut model = TheftModel::new(REFRESH);
    model.refresh(OWNER);
    model.refresh(OWNER);
    model.wait(just_before(STRAGGLER_GRACE));
    assert_eq!(model.refresh(THIEF), Decision::Repeat);
}

#[test]
fn a_thief_one_rotation_late_and_out_of_the_window_is_refused_and_the_owner_goes_on() {
    let mut model = TheftModel::new(REFRESH);
    model.refresh(OWNER);
    model.wait(REFRESH.retry_window);
    assert_eq!(model.refresh(THIEF), Decision::Superseded);
    assert_eq!(model.row.ended, None);
    assert_eq!(model.refresh(OWNER), Decision::Rotate { to: 2 });
    model.wait(STRAGGLER_GRACE);
    assert_eq!(model.refresh(THIEF), Decision::Reused);
    assert_eq!(model.refresh(OWNER), Decision::Revoked);
}

#[test]
fn with_a_retry_window_of_zero_a_thief_in_step_is_shut_out_at_once() {
    let mut model = TheftModel::new(RefreshPolicy { retry_window: Duration::ZERO, ..REFRESH });
    model.refresh(OWNER);
    assert_eq!(model.refresh(THIEF), Decision::Superseded);
    assert_eq!(model.refresh(OWNER), Decision::Rotate { to: 2 });
}
