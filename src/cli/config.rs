//! `countersign config`: check, sample, dump.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{
    context::{Access, Context, EXIT_WARNINGS},
    target::Target,
};
use crate::config::SAMPLE;

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration, and list every error with its file and line; changes nothing
    ///
    /// Exit code 0: all well; 3: warnings; 78: errors.
    Check,
    /// Print the commented sample: every setting at its default
    Default,
    /// Print the configuration in force, secrets left out
    Dump {
        /// Show the origin of each value
        #[arg(long)]
        show_origin: bool,
    },
}

impl ConfigCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check => return check(context),
            Self::Default => {
                context.stay_here("the sample is the one of this program")?;
                context.output.answer(&json!({ "toml": SAMPLE }), SAMPLE)
            }
            Self::Dump { show_origin } => dump(context, show_origin),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn check(context: &Context) -> anyhow::Result<ExitCode> {
    context.stay_here("it checks the file of this machine; `config dump` asks a service for its own")?;
    let settings = context.read_settings(&[])?;
    let warnings = settings.warnings();
    let mut text = "The configuration is good.".to_owned();
    for warning in &warnings {
        text.push_str("\nwarning: ");
        text.push_str(warning);
    }
    context.output.answer(&json!({ "ok": true, "warnings": warnings }), text)?;
    Ok(if warnings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WARNINGS) })
}

fn dump(context: &Context, show_origin: bool) -> anyhow::Result<()> {
    let Target::Remote(_) = context.target()? else {
        let settings = context.read_settings(&[])?;
        return context.output.answer(&settings.to_json(), settings.dump(show_origin));
    };
    let configuration = context.with_operations(Access::Read, async |ops| Ok(ops.configuration().await?))?;
    let text = if show_origin { &configuration.toml_with_origins } else { &configuration.toml };
    context.output.answer(&configuration.json, text)
}
