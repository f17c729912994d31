//! `countersign rotate`: replace keys without one rejected token.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{
    confirmation::Confirmation,
    context::{Access, Context, EXIT_NOT_READY, EXIT_WARNINGS},
    rotate_show::{plan_text, status_text},
};
use crate::{
    domain::ids::RingName,
    operate::{Operations, Outcome, RingOutcome, RingPlan, RingStatus, RotationAct},
};

#[derive(Subcommand)]
pub(super) enum Rotate {
    /// Show what a rotation would do and when, each step with its reason; changes nothing. Exit code 4: Braze does not
    /// answer, so the plan is not known
    Plan(RingFilter),
    /// Begin a rotation to a new key, or continue the one in progress
    ///
    /// Each step is recorded before it takes effect, so this command may be stopped and started again at any time.
    /// A running service continues the rotation by itself. Exit code 3: still waiting; 4: Braze does not answer.
    Run {
        #[command(flatten)]
        ring: RingArg,
        /// Wait until the rotation is done, which takes longer than the longest token lifetime
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Show each ring: keys, nodes, blockers, latest steps. Exit code 3: a rotation is in progress
    Status(RingFilter),
    /// Abort the current rotation; the active key keeps signing
    Abort(RingArg),
    /// Switch back to the previous key while Braze still has it
    Rollback(RingArg),
}

/// Rings that a command concerns.
#[derive(Args)]
pub(super) struct RingFilter {
    /// Only this ring [default: every ring that apps use]
    #[arg(long)]
    pub(super) ring: Option<RingName>,
}

/// Ring that a command concerns.
#[derive(Args)]
pub(super) struct RingArg {
    /// Name of the ring
    #[arg(long, default_value = "main")]
    ring: RingName,
}

impl Rotate {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Plan(filter) => plan(context, &filter),
            Self::Run { ring, wait, confirmation } => run(context, &ring.ring, wait, &confirmation),
            Self::Status(filter) => status(context, &filter),
            Self::Abort(arg) => abort(context, &arg.ring),
            Self::Rollback(arg) => rollback(context, &arg.ring),
        }
    }
}

/// Acts on the rotation of a ring, and prints each step that was done.
pub(super) async fn rotate(
    context: &Context,
    ops: &dyn Operations,
    ring: &RingName,
    act: RotationAct,
) -> anyhow::Result<RingOutcome> {
    let outcome = ops.rotate(ring, act).await?;
    for step in &outcome.steps {
        context.output.remark(format_args!("{}\n    {}", step.what, step.why));
    }
    Ok(outcome)
}

/// Goes on with a rotation until nothing is left to do; returns the last outcome with every step.
async fn follow(
    context: &Context,
    ops: &dyn Operations,
    ring: &RingName,
    mut outcome: RingOutcome,
) -> anyhow::Result<RingOutcome> {
    // The clock of whoever answers says how long it takes.
    while let Some(pause) = outcome.pause(ops.about().await?.now) {
        tokio::time::sleep(pause).await;
        let next = rotate(context, ops, ring, RotationAct::FollowUp).await?;
        let steps = outcome.steps.into_iter().chain(next.steps).collect();
        outcome = RingOutcome { steps, ..next };
    }
    Ok(outcome)
}

fn plan(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let plans = context.with_operations(Access::Read, async |ops| {
        let mut plans: Vec<RingPlan> = Vec::new();
        for ring in ops.rings(filter.ring.as_ref()).await? {
            plans.push(ops.rotation_plan(&ring).await?);
        }
        Ok(plans)
    })?;
    let texts: Vec<String> = plans.iter().map(|plan| plan_text(plan, &context.program())).collect();
    context.output.answer(&plans, texts.join("\n\n"))?;
    Ok(if plans.iter().any(RingPlan::is_silent) { ExitCode::from(EXIT_NOT_READY) } else { ExitCode::SUCCESS })
}

fn run(context: &Context, ring: &RingName, wait: bool, confirmation: &Confirmation) -> anyhow::Result<ExitCode> {
    let outcome = context.with_operations(Access::Change, async |ops| {
        if confirmation.is_possible(context.output) {
            let plan = plan_text(&ops.rotation_plan(ring).await?, &context.program());
            confirmation.require(context.output, plan)?;
        }
        let outcome = rotate(context, ops, ring, RotationAct::Run).await?;
        if wait { follow(context, ops, ring, outcome).await } else { Ok(outcome) }
    })?;
    finish(context, &outcome)
}

fn act(context: &Context, ring: &RingName, act: RotationAct) -> anyhow::Result<RingOutcome> {
    context.with_operations(Access::Destroy, async |ops| rotate(context, ops, ring, act).await)
}

fn abort(context: &Context, ring: &RingName) -> anyhow::Result<ExitCode> {
    let outcome = act(context, ring, RotationAct::Abort)?;
    let text = format!("The rotation of ring {ring} is aborted; the active key keeps signing.\n{outcome}");
    context.output.answer(&serde_json::to_value(&outcome)?, text)?;
    Ok(exit_code(Some(outcome.outcome())))
}

fn rollback(context: &Context, ring: &RingName) -> anyhow::Result<ExitCode> {
    let outcome = act(context, ring, RotationAct::RollBack)?;
    let text = format!("Ring {ring} is rolled back: the previous key signs again.\n{outcome}");
    context.output.answer(&serde_json::to_value(&outcome)?, text)?;
    Ok(exit_code(Some(outcome.outcome())))
}

/// Prints the outcome of a command that reconciled a ring; returns its exit code.
pub(super) fn finish(context: &Context, outcome: &RingOutcome) -> anyhow::Result<ExitCode> {
    context.output.answer(&serde_json::to_value(outcome)?, outcome)?;
    Ok(exit_code(Some(outcome.outcome())))
}

/// Returns the exit code for the worst outcome of some rings; `None`: there is no ring.
pub(super) fn exit_code(worst: Option<Outcome>) -> ExitCode {
    match worst {
        None | Some(Outcome::Done) => ExitCode::SUCCESS,
        Some(Outcome::Waiting) => ExitCode::from(EXIT_WARNINGS),
        Some(Outcome::BrazeSilent) => ExitCode::from(EXIT_NOT_READY),
    }
}

fn status(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let rings = context.with_operations(Access::Read, async |ops| {
        let mut rings: Vec<RingStatus> = Vec::new();
        for ring in ops.rings(filter.ring.as_ref()).await? {
            rings.push(ops.rotation_status(&ring).await?);
        }
        Ok(rings)
    })?;
    let texts: Vec<String> = rings.iter().map(status_text).collect();
    context.output.answer(&serde_json::to_value(&rings)?, texts.join("\n\n"))?;
    Ok(exit_code(rings.iter().map(RingStatus::outcome).max()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_ring_in_any_order() {
        let worst = |outcomes: &[Outcome]| exit_code(outcomes.iter().copied().max());
        assert_eq!(worst(&[]), ExitCode::SUCCESS);
        assert_eq!(worst(&[Outcome::Waiting, Outcome::Done]), ExitCode::from(EXIT_WARNINGS));
        assert_eq!(worst(&[Outcome::Waiting, Outcome::BrazeSilent, Outcome::Done]), ExitCode::from(EXIT_NOT_READY));
        assert_eq!(worst(&[Outcome::BrazeSilent, Outcome::Waiting]), ExitCode::from(EXIT_NOT_READY));
    }
}
