//! `countersign db`: create, migrate, back up, restore, copy.

mod copy;
mod restore;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::{context::Context, runtime};
use crate::{
    app::{Ambient, Services},
    config::Settings,
    domain::shell::{quoted, quoted_path},
};

#[derive(Subcommand)]
pub(super) enum Db {
    /// Create an empty store, where the one of this installation is gone for good
    ///
    /// All users must log in again, all opt-outs are lost, and backends need new API keys. Keys are not lost: import
    /// their files with `countersign keys import`. Where there is a backup, restore that instead. In a PostgreSQL database
    /// it makes the tables; the database itself and its role must exist.
    Create,
    /// Migrate the store's tables to this version; every command that writes to the store does it too
    Migrate,
    /// Copy the whole store, consistently, also while a server is running
    ///
    /// A store of an older version is migrated first: to be able to go back, make the backup with the older version. Of a
    /// PostgreSQL database, make backups with `pg_dump`.
    Backup {
        /// File to write; it must not exist
        #[arg(long)]
        to: PathBuf,
    },
    Restore(restore::Restore),
    Restored(restore::RestoredByOthers),
    Copy(copy::Copy),
}

impl Db {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create => create(context),
            Self::Migrate => migrate(context),
            Self::Backup { to } => backup(context, &to),
            Self::Restore(restore) => restore.run(context),
            Self::Restored(restored) => restored.run(context),
            Self::Copy(copy) => copy.run(context),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn create(context: &Context) -> anyhow::Result<()> {
    let settings = context.settings(&[])?;
    let store = settings.store().name();
    runtime::block_on(async { Ok(Services::create(&settings, Ambient::system()).await.map(drop)?) })?;
    let text = format!(
        "{store} is an empty store. All users must log in again, and opt-outs must be set again. Next:\n  \
         1. countersign keys import FILE      for each key file that is to be used\n  \
         2. countersign rotate run\n  \
         3. countersign clients create        new API keys for your backends\n  \
         4. countersign doctor"
    );
    context.output.answer(&json!({ "created": store }), text)
}

fn migrate(context: &Context) -> anyhow::Result<()> {
    let schema = context.with_operator(async |operator, _| Ok(operator.store().schema().await?))?;
    context
        .output
        .answer(&schema, format_args!("The store has schema {}; this build knows {}.", schema.found, schema.known))
}

fn backup(context: &Context, to: &Path) -> anyhow::Result<()> {
    let settings = context.settings(&[])?;
    if let Some(url) = settings.store().url {
        let to = quoted_path(to);
        bail!(
            "the store is a PostgreSQL database: back it up with `pg_dump --format=custom --schema=countersign --file={to} \
             {}`, or with the continuous archive of your database; and keep the sealing secret, elsewhere",
            quoted(&url)
        );
    }
    runtime::block_on(async {
        let services = Services::open_for_command(&settings, Ambient::system()).await?;
        Ok(services.operator(&settings)?.store().backup(to.to_owned()).await?)
    })?;
    let text = format!(
        "The store is copied to {}. It is of use only with the sealing secret: keep that too, elsewhere.",
        to.display()
    );
    context.output.answer(&json!({ "backup": to }), text)
}

/// Fails where the store is no file.
fn refuse_database(settings: &Settings, from: &Path) -> anyhow::Result<()> {
    let Some(url) = settings.store().url else { return Ok(()) };
    bail!(
        "the store is a PostgreSQL database: stop every node, restore it, as the owner of its tables, with `pg_restore --clean --if-exists \
         --single-transaction --dbname={} {}`, then run `countersign db restored`, which ends the sessions in it, before \
         you start a node",
        quoted(&url),
        quoted_path(from)
    )
}
