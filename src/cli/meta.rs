//! Version, shell completions, manual pages.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use super::{Cli, context::Context, output::to_stdout};

/// Print a completion script for a shell
#[derive(Args)]
pub(super) struct Completions {
    /// Shell to complete for
    shell: Shell,
}

/// Print the manual page, or write one for every command
#[derive(Args)]
pub(super) struct Man {
    /// Folder to write the pages to; existing pages are overwritten
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Print the version
#[derive(Args)]
pub(super) struct VersionCommand {}

impl Completions {
    pub(super) fn run(self, _: &Context) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "countersign", &mut script);
        to_stdout(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Man {
    pub(super) fn run(self, _: &Context) -> anyhow::Result<ExitCode> {
        match self.out {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Cli::command()).render(&mut page)?;
                to_stdout(&page)?;
            }
            Some(folder) => {
                clap_mangen::generate_to(Cli::command(), &folder).with_context(|| folder.display().to_string())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn version(context: &Context) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    let value = json!({ "name": "countersign", "version": version });
    context.output.answer(&value, format_args!("countersign {version}"))?;
    Ok(ExitCode::SUCCESS)
}
