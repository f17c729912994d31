//! `countersign clock`: accept this machine's clock.

use std::process::ExitCode;

use clap::Subcommand;

use super::context::Context;

#[derive(Subcommand)]
pub(super) enum ClockCommand {
    /// Accept this machine's clock as right, after comparing it with another one
    ///
    /// Nodes that do not trust their clock answer 503. Those with this machine's time go on within 2 s, and the store's
    /// latest time becomes this one, also where it was later. The store keeps who accepted which time.
    Accept,
}

impl ClockCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Accept => accept(context),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn accept(context: &Context) -> anyhow::Result<()> {
    let acceptance = context.with_operator(async |operator, _| Ok(operator.clocks().accept().await?))?;
    let before = acceptance.before.map_or_else(String::new, |before| format!("; before, it was {before}"));
    let text = format!("The time is {}. The store has it as its latest time{before}.", acceptance.floor.time);
    context.output.answer(&acceptance, text)
}
