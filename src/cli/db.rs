//! `countersign db`: create, migrate, back up, restore.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, block_on};
use crate::app::{Ambient, LiveClients, Restored, Services};

#[derive(Subcommand)]
pub(super) enum Db {
    /// Create an empty store, where the one of this installation is gone for good
    ///
    /// All users must log in again, all opt-outs are lost, and backends need new API keys. Keys are not lost: import
    /// their files with `countersign keys import`. Where there is a backup, restore that instead.
    Create,
    /// Migrate the store's tables to this version; every command that writes to the store does it too
    Migrate,
    /// Copy the whole store, consistently, also while a server is running
    ///
    /// A store of an older version is migrated first: to be able to go back, make the backup with the older version.
    Backup {
        /// File to write; it must not exist
        #[arg(long)]
        to: PathBuf,
    },
    Restore(Restore),
}

/// Restore a backup in place of a lost store, and end every session in it
///
/// Some of those sessions may have been ended after the backup was made, so all users log in again. Where it fails or is
/// killed, no store is left: run it again. It prints what else came back: API keys, opt-outs, states of keys.
#[derive(Args)]
pub(super) struct Restore {
    /// Backup to restore
    #[arg(long)]
    from: PathBuf,
    /// Revoke every API key in the backup: some may have been revoked after it was made
    #[arg(long)]
    revoke_clients: bool,
}

impl Db {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create => create(context),
            Self::Migrate => migrate(context),
            Self::Backup { to } => backup(context, &to),
            Self::Restore(restore) => restore.run(context),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn create(context: &Context) -> anyhow::Result<()> {
    let settings = context.settings(&[])?;
    let store = settings.store().path;
    block_on(async { Ok(Services::create(&settings, Ambient::system()).await.map(drop)?) })?;
    let text = format!(
        "{} is an empty store. All users must log in again, and opt-outs must be set again. Next:\n  \
         1. countersign keys import FILE      for each key file that is to be used\n  \
         2. countersign rotate run\n  \
         3. countersign clients create        new API keys for your backends\n  \
         4. countersign doctor",
        store.display()
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
    context.with_operator(async |operator, _| Ok(operator.store().backup(to.to_owned()).await?))?;
    let text = format!(
        "The store is copied to {}. It is of use only with the sealing secret: keep that too, elsewhere.",
        to.display()
    );
    context.output.answer(&json!({ "backup": to }), text)
}

impl Restore {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let settings = context.settings(&[])?;
        let clients = if self.revoke_clients { LiveClients::Revoke } else { LiveClients::Keep };
        let restored = block_on(async { Ok(Services::restore(&settings, &self.from, clients).await?) })?;
        context.output.answer(&self.as_json(&restored), self.text(&restored))
    }

    fn as_json(&self, restored: &Restored) -> serde_json::Value {
        let api_keys = restored.api_keys.iter().map(|key| json!({ "id": key.id.as_str(), "client": key.client }));
        let keys = restored.keys.iter();
        let keys = keys.map(|(key, why)| json!({ "kid": key.kid, "ring": key.ring, "state": key.state, "fault": why }));
        json!({
            "restored": self.from,
            "age_seconds": restored.age.ok().map(|age| age.as_secs()),
            "api_keys": api_keys.collect::<Vec<_>>(),
            "api_keys_revoked": self.revoke_clients,
            "opt_outs": restored.opt_outs,
            "keys": keys.collect::<Vec<_>>(),
        })
    }

    fn text(&self, restored: &Restored) -> String {
        let as_of = match restored.age {
            Ok(span) => format!("as it was {} ago", age(span)),
            Err(stopped) => format!("as it was some time ago ({stopped})"),
        };
        let mut text = format!(
            "The store is restored {as_of}; every session in it is ended.\n\
             {} opt-outs are back. Those set since then are lost: set them again.\n",
            restored.opt_outs
        );
        let _ = match (restored.api_keys.is_empty(), self.revoke_clients) {
            (true, _) => writeln!(text, "No API key was live."),
            (false, true) => writeln!(text, "These API keys were live, and are revoked: create new ones."),
            (false, false) => writeln!(
                text,
                "These API keys are valid again. Revoke those that were revoked since then: \
                 `countersign clients revoke ID` (`db restore --revoke-clients` revokes all of them)."
            ),
        };
        for key in &restored.api_keys {
            let _ = writeln!(text, "  {}  {}", key.id, key.client);
        }
        text.push_str(
            "States of the keys as they were then. Stop a key that was compromised since then again, before ",
        );
        text.push_str("you start the service: `countersign keys compromise KID`.\n");
        for (key, fault) in &restored.keys {
            let fault = fault.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let _ = writeln!(text, "  {}  ring {}  {}{fault}", key.kid, key.ring, key.state.as_str());
        }
        text
    }
}

/// Formats the age of a backup in its two largest units.
fn age(age: std::time::Duration) -> String {
    let minutes = age.as_secs() / 60;
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
