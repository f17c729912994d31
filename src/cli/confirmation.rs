//! Confirmation of commands that cannot be undone.

use std::{
    fmt::Display,
    io::{self, BufRead, IsTerminal, Write},
};

use anyhow::bail;
use clap::Args;

use super::{context::UsageError, output::Output};

/// Flag `--yes` of a command that asks.
#[derive(Args)]
pub(super) struct Confirmation {
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Asks on the terminal whether to go on, after the consequences. Nothing is asked with `--yes`.
    ///
    /// # Errors
    /// [`UsageError`] where nobody can be asked; an error where the answer is not yes.
    pub(super) fn require(&self, output: Output, consequences: impl Display) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        output.remark(&consequences);
        if !can_ask(output) {
            let text = "this cannot be undone, and there is no terminal to ask on: nothing was changed; add --yes";
            return Err(UsageError::new(text).into());
        }
        ask()
    }

    /// True where a command that can be undone asks too: on a terminal. Timers run it without `--yes`.
    pub(super) fn is_possible(&self, output: Output) -> bool {
        !self.yes && can_ask(output)
    }
}

/// True where a person reads the question and can answer it. Programs, which read JSON, are never asked.
fn can_ask(output: Output) -> bool {
    !output.json && io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn ask() -> anyhow::Result<()> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "Continue? [y/N] ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    bail!("nothing was changed")
}
