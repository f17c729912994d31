//! `countersign braze`: what Braze holds, compared with our records.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    context::{Access, Context, EXIT_NOT_READY, EXIT_WARNINGS},
    output::{table, time_or_dash},
    rotate::{RingFilter, exit_code, rotate},
};
use crate::{
    domain::{ids::Kid, key::KeyState},
    operate::{BrazeKey, RingOutcome, RotationAct},
};

#[derive(Subcommand)]
pub(super) enum Braze {
    /// The public keys of SDK authentication
    #[command(subcommand)]
    Keys(BrazeKeysCommand),
}

#[derive(Subcommand)]
pub(super) enum BrazeKeysCommand {
    /// List the keys that Braze holds for each app. Exit code 4: Braze does not answer
    List(RingFilter),
    /// Show differences: unknown and missing keys, duplicates, wrong primary. Exit code 3: there are some
    ///
    /// Braze is not asked about an app without a workspace: for such an app the command shows what operators attested.
    Diff(RingFilter),
    /// Repair our keys: publish missing ones, set the primary, delete retired and compromised ones
    ///
    /// Unknown keys are not touched: delete them in the Braze dashboard, if nobody needs them.
    Apply(RingFilter),
}

impl Braze {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Keys(BrazeKeysCommand::List(filter)) => list(context, &filter),
            Self::Keys(BrazeKeysCommand::Diff(filter)) => diff(context, &filter),
            Self::Keys(BrazeKeysCommand::Apply(filter)) => apply(context, &filter),
        }
    }
}

fn list(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let ring = filter.ring.as_ref();
    let found = context.with_operations(Access::Read, async |ops| Ok(ops.braze_keys(ring).await?))?;
    let header = ["APP", "BRAZE'S ID", "IS", "KID", "STATE", "SINCE", "", "DESCRIPTION"];
    context.output.answer(&found.keys, table(&header, found.keys.iter().map(row)))?;
    for source in &found.sources {
        context.output.remark(source);
    }
    Ok(if found.silent.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_READY) })
}

fn row(key: &BrazeKey) -> [String; 8] {
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let primary = if key.primary { "primary" } else { "" };
    [
        key.app.to_string(),
        text(key.id.as_deref()),
        key.is.as_str().to_owned(),
        text(key.kid.as_ref().map(Kid::as_str)),
        text(key.state.map(KeyState::as_str)),
        time_or_dash(key.since),
        primary.to_owned(),
        key.description.clone(),
    ]
}

fn diff(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let ring = filter.ring.as_ref();
    let diff = context.with_operations(Access::Read, async |ops| Ok(ops.braze_diff(ring).await?))?;
    context.output.answer(&diff.entries(), &diff)?;
    Ok(match () {
        () if diff.is_silent() => ExitCode::from(EXIT_NOT_READY),
        () if diff.drift.is_empty() => ExitCode::SUCCESS,
        () => ExitCode::from(EXIT_WARNINGS),
    })
}

fn apply(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let outcomes = context.with_operations(Access::Destroy, async |ops| {
        let mut outcomes: Vec<RingOutcome> = Vec::new();
        for ring in ops.rings(filter.ring.as_ref()).await? {
            outcomes.push(rotate(context, ops, &ring, RotationAct::Repair).await?);
            for app in ops.apps_by_hand(&ring).await? {
                context.output.remark(format_args!(
                    "App {app} has no workspace, so nothing was changed for it at Braze: change its keys in the dashboard, and attest that with `countersign keys confirm`."
                ));
            }
        }
        Ok(outcomes)
    })?;
    for outcome in &outcomes {
        context.output.answer(&serde_json::to_value(outcome)?, outcome)?;
    }
    Ok(exit_code(outcomes.iter().map(RingOutcome::outcome).max()))
}
