//! Answers that are kept for a few seconds, and the rule that says how long.

use std::{collections::HashMap, time::Duration};

use super::{Accepted, AnswerKey};
use crate::{clock::UnixMillis, identity::sign_in::CredentialRefusal};

/// Longest time for which a credential is accepted without another question: a logout takes effect after it.
pub(super) const ACCEPTED_FOR: Duration = Duration::from_secs(10);
/// Time for which a credential is refused without another question.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(2);

/// Answer of an endpoint about one credential. A failure to answer is none.
pub(super) type Answer = Result<Accepted, CredentialRefusal>;

/// Answers by the keyed hash of their credential.
pub(super) struct KeptAnswers {
    capacity: usize,
    entries: HashMap<AnswerKey, Entry>,
}

/// Answer, and the span of time in which it is used: from `asked`, and before `until`.
struct Entry {
    answer: Answer,
    asked: UnixMillis,
    until: UnixMillis,
}

impl Entry {
    /// A time before the question is none at which the answer was good: the clock was set back since.
    fn is_good(&self, now: UnixMillis) -> bool {
        self.asked <= now && now < self.until
    }
}

/// Returns the end of the time for which an answer is used, counted from the question: the answer may have been true
/// then, and false when it arrived.
fn until(answer: &Answer, asked: UnixMillis) -> UnixMillis {
    match answer {
        Ok(Accepted { expires: Some(expires), .. }) => asked.plus(ACCEPTED_FOR).min(*expires),
        Ok(Accepted { expires: None, .. }) => asked.plus(ACCEPTED_FOR),
        Err(_) => asked.plus(REFUSED_FOR),
    }
}

impl KeptAnswers {
    /// Keeps at most `capacity` answers.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: HashMap::new() }
    }

    /// Returns the answer, if it may still be used.
    pub(super) fn get(&self, key: &AnswerKey, now: UnixMillis) -> Option<&Answer> {
        self.entries.get(key).filter(|entry| entry.is_good(now)).map(|entry| &entry.answer)
    }

    /// Keeps an answer to a question that was asked at `asked`. Where no place is free, the answers that are no longer
    /// used make room; where all are still used, the new one is not kept and its credential is asked about again.
    pub(super) fn keep(&mut self, key: AnswerKey, answer: Answer, asked: UnixMillis) {
        let entry = Entry { until: until(&answer, asked), answer, asked };
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.entries.retain(|_, kept| kept.is_good(asked));
            if self.entries.len() >= self.capacity {
                return;
            }
        }
        self.entries.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::ids::UserId,
        identity::{AppUser, RefusedCredential},
    };

    fn accepted(expires: Option<i64>) -> Accepted {
        let user = UserId::parse("u-1", crate::domain::ids::UserIdRules::default()).unwrap();
        let app_user = AppUser { app: "web".parse().unwrap(), user, login: None };
        Accepted { app_user, expires: expires.map(UnixMillis) }
    }

    fn key(n: u8) -> AnswerKey {
        [n; 32]
    }

    #[test]
    fn answers_are_used_for_their_time_and_no_longer() {
        let mut kept = KeptAnswers::new(3);
        kept.keep(key(1), Ok(accepted(None)), UnixMillis(1_000));
        kept.keep(key(2), Ok(accepted(Some(4_000))), UnixMillis(1_000));
        kept.keep(key(3), Err(RefusedCredential::Inactive.into()), UnixMillis(1_000));
        let good = |now: i64| [1, 2, 3].map(|n| kept.get(&key(n), UnixMillis(now)).is_some());
        assert_eq!(good(999), [false; 3], "the clock was set back");
        assert_eq!(good(1_000), [true; 3]);
        assert_eq!(good(2_999), [true; 3]);
        assert_eq!(good(3_000), [true, true, false]);
        assert_eq!(good(4_000), [true, false, false], "its exp has come");
        assert_eq!(good(10_999), [true, false, false]);
        assert_eq!(good(11_000), [false; 3]);
    }

    #[test]
    fn a_full_cache_drops_what_is_over_and_keeps_what_is_not() {
        let mut kept = KeptAnswers::new(2);
        kept.keep(key(1), Err(RefusedCredential::Inactive.into()), UnixMillis(0));
        kept.keep(key(2), Ok(accepted(None)), UnixMillis(0));
        kept.keep(key(3), Ok(accepted(None)), UnixMillis(1_000));
        assert!(kept.get(&key(3), UnixMillis(1_000)).is_none(), "both others are in use");
        kept.keep(key(3), Ok(accepted(None)), UnixMillis(2_000));
        assert!(kept.get(&key(3), UnixMillis(2_000)).is_some(), "the refusal was over");
        assert!(kept.get(&key(2), UnixMillis(2_000)).is_some());
    }

    proptest! {
        #[test]
        fn no_answer_outlives_its_limits_on_any_clock(
            steps in proptest::collection::vec((0..4_u8, -3_000..15_000_i64, proptest::option::of(0..30_000_i64)), 1..60),
            capacity in 1..4_usize,
        ) {
            let mut kept = KeptAnswers::new(capacity);
            let mut last: HashMap<u8, (i64, Option<i64>, bool)> = HashMap::new();
            let mut now = 50_000;
            for (n, step, life) in steps {
                now += step;
                if let Some(answer) = kept.get(&key(n), UnixMillis(now)) {
                    let (asked, expires, is_accepted) = last[&n];
                    prop_assert_eq!(answer.is_ok(), is_accepted);
                    let limit = if is_accepted { 10_000 } else { 2_000 };
                    prop_assert!(asked <= now && now - asked < limit, "{} {}", asked, now);
                    prop_assert!(expires.is_none_or(|expires| now < expires));
                } else {
                    let is_accepted = life != Some(0);
                    let expires = life.map(|life| now + life).filter(|_| is_accepted);
                    let answer = if is_accepted { Ok(accepted(expires)) } else { Err(RefusedCredential::Inactive.into()) };
                    kept.keep(key(n), answer, UnixMillis(now));
                    last.insert(n, (now, expires, is_accepted));
                }
                prop_assert!(kept.entries.len() <= capacity);
            }
        }
    }
}
