//! `countersign db`: migrate, back up, restore.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use serde_json::json;

use super::context::{Context, block_on};
use crate::app::Services;

#[derive(Subcommand)]
pub(super) enum Db {
    /// Migrate the store's tables to this version; every command that opens the store does it too
    Migrate,
    /// Copy the whole store, consistently, also while a server is running
    ///
    /// A store of an older version is migrated first: to be able to go back, make the backup with the older version.
    Backup {
        /// File to write; it must not exist
        #[arg(long)]
        to: PathBuf,
    },
    /// Restore a backup in place of a lost store, and end every session in it
    ///
    /// Some of those sessions may have been ended after the backup was made, so all users log in again.
    Restore {
        /// Backup to restore
        #[arg(long)]
        from: PathBuf,
    },
}

impl Db {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Migrate => migrate(context),
            Self::Backup { to } => backup(context, &to),
            Self::Restore { from } => restore(context, &from),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn migrate(context: &Context) -> anyhow::Result<()> {
    let schema = context.with_operator(async |operator, _| Ok(operator.store().schema().await?))?;
    context
        .output
        .answer(&schema, format_args!("The store has schema {}; this build knows {}.", schema.found, schema.known))
}

fn backup(context: &Context, to: &Path) -> anyhow::Result<()> {
    context.with_operator(async |operator, _| Ok(operator.store().backup(to.to_owned()).await?))?;
    let text = format!(
        "The store is copied to {}. It is of use only with the sealing secret: keep that too, elsewhere.",
        to.display()
    );
    context.output.answer(&json!({ "backup": to }), text)
}

fn restore(context: &Context, from: &Path) -> anyhow::Result<()> {
    let settings = context.settings(&[])?;
    block_on(async { Ok(Services::restore(&settings, from).await?) })?;
    context.output.answer(&json!({ "restored": from }), "The store is restored; every session in it is ended.")
}
