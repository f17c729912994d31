//! Steps of a rotation as a list: done, now, waiting, failed; and the dry run beside it.

use std::time::Duration;

use super::{html::ShownTime, keys::first_eight};
use crate::{
    clock::{UnixMillis, human_duration::HumanDuration},
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome},
        rotation::Goal,
    },
    operate::{RingPlan, RingStatus, WaitReason},
};

/// Condition of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepState {
    Done,
    Now,
    Waiting,
    Failed,
}

impl StepState {
    /// Class of the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }

    /// Shape of the step, beside which its word is read.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Done => "✓",
            Self::Now => "●",
            Self::Waiting => "○",
            Self::Failed => "■",
        }
    }
}

/// Step of a list.
pub(super) struct ListedStep {
    pub(super) state: StepState,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) at: Option<ShownTime>,
    /// Time that is left, such as `4 min left`.
    pub(super) left: Option<String>,
    /// Command to copy, where one mends it or goes on.
    pub(super) command: Option<String>,
}

/// Steps of the rotation that is in progress, or of the last one.
pub(super) fn steps(status: &RingStatus, now: UnixMillis) -> Vec<ListedStep> {
    let mut steps: Vec<ListedStep> = events_of_rotation(status).into_iter().map(of_event).collect();
    if status.goal == Goal::Idle {
        return steps;
    }
    if let Some((what, why)) = status.next_step() {
        steps.push(ListedStep { state: StepState::Now, what, why, at: None, left: None, command: None });
    }
    let (faults, waits): (Vec<WaitReason>, Vec<WaitReason>) =
        status.waits().into_iter().partition(|wait| wait.is_fault);
    steps.extend(faults.iter().map(|wait| of_wait(wait, StepState::Failed, now)));
    // Of several waits, the first is under way; the others come after it.
    for (index, wait) in waits.iter().enumerate() {
        let is_now = index == 0 && faults.is_empty();
        steps.push(of_wait(wait, if is_now { StepState::Now } else { StepState::Waiting }, now));
    }
    steps
}

/// Lines of a forecast that come after what is done now.
pub(super) fn dry_run(plan: &RingPlan, now: UnixMillis) -> Vec<ListedStep> {
    let lines = plan.plan.lines.iter().map(|line| ListedStep {
        state: if line.waits || line.at > now { StepState::Waiting } else { StepState::Now },
        what: line.what.replace('`', ""),
        why: line.why.clone(),
        at: (line.at > now && !line.what.contains(" until ")).then_some(ShownTime(line.at)),
        left: None,
        command: command_in(&line.what),
    });
    lines.collect()
}

/// Events since the newest begin, oldest first. Without a begin and without a retired key there was no rotation: the first
/// key of a ring is made and pasted without one. The begin of a long rotation may be older than the newest records.
fn events_of_rotation(status: &RingStatus) -> Vec<&AuditEvent> {
    let newest = &status.audit_log;
    let begin = newest.iter().position(|event| event.action == AuditAction::Begun);
    let count = match begin {
        Some(begin) => begin + 1,
        None if status.goal == Goal::Idle && !newest.iter().any(|event| event.action == AuditAction::Retired) => 0,
        None => newest.len(),
    };
    newest.iter().take(count).rev().filter(|event| event.outcome != AuditOutcome::Intended).collect()
}

fn of_event(event: &AuditEvent) -> ListedStep {
    let failed = matches!(event.outcome, AuditOutcome::Failed | AuditOutcome::Refused);
    let kid = event.target.kid.as_ref().map_or_else(String::new, |kid| format!("key {} ", first_eight(kid)));
    let app = event.target.app.as_ref().map_or_else(String::new, |app| format!(" at app {app}"));
    let action = event.action.as_str().replace('_', " ");
    let outcome = match event.outcome {
        AuditOutcome::Done | AuditOutcome::Intended => "",
        AuditOutcome::Unchanged => ", nothing to change",
        AuditOutcome::Refused => ", refused",
        AuditOutcome::Failed => ", failed",
        AuditOutcome::Unknown => ", its answer was lost",
    };
    ListedStep {
        state: if failed { StepState::Failed } else { StepState::Done },
        what: format!("{kid}{action}{app}{outcome}"),
        why: event.why.clone(),
        at: Some(ShownTime(event.at)),
        left: None,
        command: failed.then(|| command_in(&event.why)).flatten(),
    }
}

fn of_wait(wait: &WaitReason, state: StepState, now: UnixMillis) -> ListedStep {
    let left = wait.until.map(|until| format!("{} left", rounded(now, until)));
    ListedStep {
        state,
        what: wait.what.replace('`', ""),
        why: String::new(),
        // Most sentences say the time themselves.
        at: wait.until.filter(|until| !wait.what.contains(&until.to_string())).map(ShownTime),
        left,
        command: command_in(&wait.what),
    }
}

/// Time from `now` until a time, in whole minutes where it is longer than two.
pub(super) fn rounded(now: UnixMillis, until: UnixMillis) -> String {
    let seconds = until.since(now).as_secs();
    let shown = if seconds < 120 { seconds } else { seconds.div_ceil(60) * 60 };
    HumanDuration(Duration::from_secs(shown)).to_string()
}

/// First command of a text, between backticks.
fn command_in(text: &str) -> Option<String> {
    let commands = text.split('`').skip(1).step_by(2);
    commands.map(str::trim).find(|command| command.starts_with("countersign ")).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{Actor, AuditTarget};

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn event(action: AuditAction, outcome: AuditOutcome, why: &str) -> AuditEvent {
        let target = AuditTarget { app: Some("web".parse().unwrap()), ..AuditTarget::default() };
        AuditEvent { at: NOW, actor: Actor::service(), action, target, outcome, why: why.to_owned() }
    }

    #[test]
    fn a_command_is_found_in_the_text_of_a_blocker() {
        let text = "look there: `countersign braze keys apply` asks again, or `countersign keys list`";
        assert_eq!(command_in(text).as_deref(), Some("countersign braze keys apply"));
        assert_eq!(command_in("`rm -rf /` and nothing"), None);
        assert_eq!(command_in("no command"), None);
    }

    #[test]
    fn events_have_their_shape() {
        let done = of_event(&event(AuditAction::MadePrimary, AuditOutcome::Done, "it signs"));
        assert_eq!((done.state, done.what.as_str()), (StepState::Done, "made primary at app web"));
        let failed =
            of_event(&event(AuditAction::Withdrawn, AuditOutcome::Failed, "see `countersign braze keys diff`"));
        assert_eq!(failed.state, StepState::Failed);
        assert_eq!(failed.command.as_deref(), Some("countersign braze keys diff"));
    }

    #[test]
    fn remaining_time_is_rounded_up() {
        let left = |seconds: i64| rounded(NOW, UnixMillis(NOW.0 + seconds * 1000));
        assert_eq!([left(-5), left(45), left(121), left(3600)], ["0s", "45s", "3m", "1h"]);
    }

    #[test]
    fn a_wait_says_how_long_and_a_fault_has_its_command() {
        let wait = WaitReason { what: "the soak".to_owned(), until: Some(UnixMillis(NOW.0 + 60_000)), is_fault: false };
        let step = of_wait(&wait, StepState::Now, NOW);
        assert_eq!((step.left.as_deref(), step.command), (Some("1m left"), None));
        let what = "app web holds three keys (`countersign braze keys diff`)".to_owned();
        let step = of_wait(&WaitReason { what, until: None, is_fault: true }, StepState::Failed, NOW);
        assert_eq!(step.what, "app web holds three keys (countersign braze keys diff)");
        assert_eq!(step.command.as_deref(), Some("countersign braze keys diff"));
    }
}
