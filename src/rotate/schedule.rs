//! Schedule of a ring: the times at which it is reconciled and at which Braze's lists are compared. Pure.

use std::time::Duration;

use super::{
    config::Ring,
    plan::{Blocker, KeySnapshot, Next, Snapshot},
};
use crate::{clock::UnixMillis, domain::rotation::Goal};

/// Interval at which the records are read: commands take effect within it.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Pause before the next reconciliation where the blocker ends within seconds: nodes load a key, Braze's list changes.
const SOON: Duration = Duration::from_secs(1);
/// Pause where another process holds the ring's lease: its steps take seconds.
const BUSY: Duration = Duration::from_secs(2);
/// Pause after an error, and where Braze does not answer or lacks the key that signs: retries must not add to its load.
const RETRY: Duration = Duration::from_secs(10);
/// Longest pause, for operators' tasks and long waits: more frequent calls would use up Braze's rate limit.
const LONGEST: Duration = Duration::from_mins(5);

/// Schedule of one ring. A time that is `None` is now.
#[derive(Debug)]
pub(super) struct RingSchedule {
    /// Time between two comparisons; `None`: no app of the ring has a list at Braze.
    compare_every: Option<Duration>,
    /// Records as they were after the last reconciliation or change.
    seen: Option<Snapshot>,
    reconcile_at: Option<UnixMillis>,
    compare_at: Option<UnixMillis>,
}

/// Work that is due for a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) reconcile: bool,
    pub(super) compare: bool,
}

impl RingSchedule {
    /// Schedule of a ring where everything is due now.
    pub(super) fn new(ring: &Ring) -> Self {
        let compare_every = ring.has_list().then_some(ring.config.check_every);
        Self { compare_every, seen: None, reconcile_at: None, compare_at: None }
    }

    /// Returns the work that is due for the present records. Remembers records that changed and need no work.
    pub(super) fn due(&mut self, now: UnixMillis, recorded: &Snapshot) -> Due {
        let is_due = |at: Option<UnixMillis>| at.is_none_or(|at| at <= now);
        let is_changed = self.seen.as_ref().is_none_or(|seen| differs(seen, recorded));
        let reconcile = needs_rotation(recorded) && (is_changed || is_due(self.reconcile_at));
        if is_changed && !reconcile {
            self.seen = Some(recorded.clone());
        }
        Due { reconcile, compare: self.compare_every.is_some() && is_due(self.compare_at) }
    }

    /// Sets the time of the next reconciliation, after one that began at `now` and left these records.
    pub(super) fn reconciled(&mut self, now: UnixMillis, next: &Next, recorded: Snapshot) {
        (self.seen, self.reconcile_at) = (Some(recorded), Some(now.plus(pause(next, now))));
    }

    /// Sets the time of the next comparison, after one at `now`.
    pub(super) fn compared(&mut self, now: UnixMillis) {
        self.compare_at = self.compare_every.map(|every| now.plus(every));
    }

    /// Postpones all work, because another process reconciles the ring.
    pub(super) fn busy(&mut self, now: UnixMillis) {
        self.postpone(now.plus(BUSY));
    }

    /// Postpones all work after an error.
    pub(super) fn failed(&mut self, now: UnixMillis) {
        self.postpone(now.plus(RETRY));
    }

    fn postpone(&mut self, until: UnixMillis) {
        (self.reconcile_at, self.compare_at) = (Some(until), Some(until));
    }
}

/// Returns whether the service rotates the ring by itself: an operator began a rotation, or the policy asks for it.
fn needs_rotation(recorded: &Snapshot) -> bool {
    recorded.goal != Goal::Idle || recorded.policy.every.is_some() || recorded.policy.standby
}

/// Returns whether the records changed. Times, tokens and nodes do not count: they change by themselves.
fn differs(seen: &Snapshot, recorded: &Snapshot) -> bool {
    let same_key = |a: &KeySnapshot, b: &KeySnapshot| (&a.record, a.destroyed) == (&b.record, b.destroyed);
    seen.goal != recorded.goal
        || seen.keys.len() != recorded.keys.len()
        || !seen.keys.iter().zip(&recorded.keys).all(|(a, b)| same_key(a, b))
        || !seen.apps.iter().map(|app| &app.publications).eq(recorded.apps.iter().map(|app| &app.publications))
}

/// Returns the pause before the next reconciliation.
fn pause(next: &Next, now: UnixMillis) -> Duration {
    match next {
        Next::Do { .. } => SOON,
        Next::Idle { due } => due.map_or(LONGEST, |due| due.since(now)).clamp(SOON, LONGEST),
        Next::Wait { blockers, .. } => {
            let pauses = blockers.iter().map(|blocker| match blocker {
                Blocker::Nodes { .. } | Blocker::Settling { .. } => SOON,
                Blocker::Soak { until, .. } | Blocker::Tokens { until, .. } => until.since(now),
                Blocker::Silent { .. } | Blocker::Missing { .. } | Blocker::Unlisted { .. } => RETRY,
                _ => LONGEST,
            });
            pauses.min().unwrap_or(LONGEST).clamp(SOON, LONGEST)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            ids::Kid,
            key::{KeyRecord, KeyState},
            rotation::Publication,
        },
        rotate::{
            config::{Config, RingApp},
            plan::{AppSnapshot, Listing, NodeSnapshot, Step},
        },
    };

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
    const CHECK_EVERY: Duration = Duration::from_mins(15);
    const NOTHING: Due = Due { reconcile: false, compare: false };

    fn after(span: Duration) -> UnixMillis {
        NOW.plus(span)
    }

    fn kid(n: u8) -> Kid {
        Kid::from_thumbprint(&[n; 32])
    }

    fn policy() -> Config {
        let (margin, longest_life) = (Duration::from_mins(1), Duration::from_hours(1));
        Config { margin, longest_life, check_every: CHECK_EVERY, ..Config::default() }
    }

    fn ring(has_list: bool) -> Ring {
        let at_braze = has_list.then(|| ("workspace".to_owned(), "app-id".to_owned()));
        let apps = vec![RingApp { app: "web".parse().unwrap(), at_braze }];
        Ring { name: "main".parse().unwrap(), config: policy(), apps }
    }

    fn recorded(goal: Goal) -> Snapshot {
        let record = KeyRecord {
            kid: kid(1),
            ring: "main".parse().unwrap(),
            state: KeyState::Active,
            bits: 2048,
            public_key: String::new(),
            custody: "file".to_owned(),
            locator: String::new(),
            created: NOW,
            changed: NOW,
        };
        let listing = Listing::Silent("it was not asked".to_owned());
        let publications = [(kid(1), Publication::default())].into();
        Snapshot {
            ring: "main".parse().unwrap(),
            now: NOW,
            policy: policy(),
            goal,
            new_key: None,
            keys: vec![KeySnapshot { record, destroyed: false, tokens_until: None }],
            apps: vec![AppSnapshot { app: "web".parse().unwrap(), listing, publications }],
            nodes: Vec::new(),
        }
    }

    /// Schedule of a ring under rotation that was reconciled and compared at [`NOW`].
    fn scheduled(next: &Next) -> (RingSchedule, Snapshot) {
        let (mut schedule, snapshot) = (RingSchedule::new(&ring(true)), recorded(Goal::Rotating));
        assert_eq!(schedule.due(NOW, &snapshot), Due { reconcile: true, compare: true });
        schedule.reconciled(NOW, next, snapshot.clone());
        schedule.compared(NOW);
        (schedule, snapshot)
    }

    fn waits(blockers: Vec<Blocker>) -> Next {
        Next::Wait { blockers, until: None }
    }

    #[test]
    fn an_idle_ring_is_only_compared_unless_its_policy_asks_for_more() {
        let idle = recorded(Goal::Idle);
        assert_eq!(RingSchedule::new(&ring(true)).due(NOW, &idle), Due { reconcile: false, compare: true });
        let every = Config { every: Some(Duration::from_hours(24)), ..policy() };
        let standby = Config { standby: true, ..policy() };
        for policy in [every, standby] {
            let snapshot = Snapshot { policy, ..idle.clone() };
            assert!(RingSchedule::new(&ring(true)).due(NOW, &snapshot).reconcile);
        }
        for goal in [Goal::Rotating, Goal::CleaningUp] {
            assert!(RingSchedule::new(&ring(true)).due(NOW, &recorded(goal)).reconcile);
        }
    }

    #[test]
    fn a_ring_without_a_list_at_braze_is_never_compared() {
        let mut schedule = RingSchedule::new(&ring(false));
        assert_eq!(schedule.due(NOW, &recorded(Goal::Idle)), NOTHING);
        schedule.compared(NOW);
        assert_eq!(schedule.due(after(2 * CHECK_EVERY), &recorded(Goal::Idle)), NOTHING);
    }

    #[test]
    fn a_reconciliation_is_due_after_the_pause_that_its_result_needs() {
        let (app, until) = ("web".parse().unwrap(), after(Duration::from_secs(90)));
        let silent = Blocker::Silent { app, why: "down".to_owned() };
        let paste = Blocker::Paste { app: "web".parse().unwrap(), kid: kid(1) };
        let nodes = Blocker::Nodes { kid: kid(1), nodes: vec!["a".to_owned()] };
        let soak = |until| Blocker::Soak { kid: kid(1), until };
        let (seconds, minutes) = (Duration::from_secs, Duration::from_mins);
        for (next, pause) in [
            (Next::Do { step: Step::Begin, reason: String::new() }, seconds(1)),
            (Next::Idle { due: None }, minutes(5)),
            (Next::Idle { due: Some(until) }, seconds(90)),
            (Next::Idle { due: Some(after(minutes(60))) }, minutes(5)),
            (Next::Idle { due: Some(NOW) }, seconds(1)),
            (waits(vec![paste.clone()]), minutes(5)),
            (waits(vec![paste.clone(), silent.clone()]), seconds(10)),
            (waits(vec![silent, nodes]), seconds(1)),
            (waits(vec![paste, soak(until)]), seconds(90)),
            (waits(vec![soak(after(minutes(60)))]), minutes(5)),
            (waits(vec![soak(NOW)]), seconds(1)),
        ] {
            let (mut schedule, snapshot) = scheduled(&next);
            let just_before = after(pause).minus(Duration::from_millis(1));
            assert_eq!(schedule.due(just_before, &snapshot), NOTHING, "{next:?}");
            assert!(schedule.due(after(pause), &snapshot).reconcile, "{next:?}");
        }
    }

    #[test]
    fn a_changed_record_makes_a_reconciliation_due_at_once() {
        let changes: [fn(&mut Snapshot); 5] = [
            |snapshot| snapshot.goal = Goal::CleaningUp,
            |snapshot| snapshot.keys[0].record.state = KeyState::Compromised,
            |snapshot| snapshot.keys[0].destroyed = true,
            |snapshot| snapshot.keys.clear(),
            |snapshot| snapshot.apps[0].publications.clear(),
        ];
        for change in changes {
            let (mut schedule, mut snapshot) = scheduled(&Next::Idle { due: None });
            change(&mut snapshot);
            assert!(schedule.due(after(TICK), &snapshot).reconcile);
            assert!(schedule.due(after(TICK), &snapshot).reconcile, "it is due until it is done");
            schedule.reconciled(after(TICK), &Next::Idle { due: None }, snapshot.clone());
            assert_eq!(schedule.due(after(2 * TICK), &snapshot), NOTHING);
        }
    }

    #[test]
    fn time_tokens_and_nodes_are_no_changes() {
        let (mut schedule, mut snapshot) = scheduled(&Next::Idle { due: None });
        snapshot.now = after(TICK);
        snapshot.keys[0].tokens_until = Some(after(TICK));
        snapshot.nodes.push(NodeSnapshot { node: "a".to_owned(), loaded: [kid(1)].into() });
        assert_eq!(schedule.due(after(TICK), &snapshot), NOTHING);
    }

    #[test]
    fn a_change_of_an_idle_ring_needs_no_work_and_is_remembered() {
        let mut schedule = RingSchedule::new(&ring(false));
        let mut snapshot = recorded(Goal::Rotating);
        schedule.reconciled(NOW, &Next::Idle { due: None }, snapshot.clone());
        snapshot.goal = Goal::Idle;
        assert_eq!(schedule.due(after(TICK), &snapshot), NOTHING);
        snapshot.policy.standby = true;
        assert_eq!(schedule.due(after(2 * TICK), &snapshot), NOTHING, "its records are known");
    }

    #[test]
    fn lists_are_compared_as_often_as_configured() {
        let (mut schedule, snapshot) = scheduled(&Next::Idle { due: None });
        let later = after(CHECK_EVERY);
        assert!(!schedule.due(later.minus(TICK), &snapshot).compare);
        assert!(schedule.due(later, &snapshot).compare);
        schedule.compared(later);
        assert!(!schedule.due(later, &snapshot).compare);
    }

    #[test]
    fn work_is_postponed_for_two_seconds_where_another_process_reconciles_and_for_ten_after_an_error() {
        let (mut busy, snapshot) = scheduled(&Next::Idle { due: None });
        let (mut failed, _) = scheduled(&Next::Idle { due: None });
        busy.busy(NOW);
        failed.failed(NOW);
        for (mut schedule, pause) in [(busy, Duration::from_secs(2)), (failed, Duration::from_secs(10))] {
            assert_eq!(schedule.due(after(pause).minus(Duration::from_millis(1)), &snapshot), NOTHING);
            assert_eq!(schedule.due(after(pause), &snapshot), Due { reconcile: true, compare: true });
        }
    }
}
