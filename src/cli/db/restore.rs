//! `countersign db restore` and `countersign db restored`.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::refuse_database;
use crate::{
    app::{LiveClients, Restored, Services},
    cli::{context::Context, runtime},
    clock::UnixMillis,
};

/// Restore a backup in place of a lost store, and end every session in it
///
/// Some of those sessions may have been ended after the backup was made, so all users log in again. Where it fails or is
/// killed, no store is left: run it again. It prints what else came back: API keys, opt-outs, states of keys. A PostgreSQL
/// database is restored with `pg_restore`, and then `countersign db restored`.
#[derive(Args)]
pub(in crate::cli) struct Restore {
    /// Backup to restore
    #[arg(long)]
    from: PathBuf,
    #[command(flatten)]
    clients: Clients,
}

/// End the sessions of a PostgreSQL database that was restored, or that lost its last writes in a fail-over
///
/// Some of those sessions may have been ended by the writes that are lost, so their users log in again. Run it before a node
/// is started, or with --before afterwards. It can be repeated. It prints what else came back: API keys, opt-outs, states
/// of keys.
#[derive(Args)]
pub(in crate::cli) struct RestoredByOthers {
    /// Time up to which sessions began that are to end, like 2026-11-21T07:05:00Z; default: now
    #[arg(long, value_name = "TIME")]
    before: Option<UnixMillis>,
    #[command(flatten)]
    clients: Clients,
}

/// Treatment of the API keys that came back.
#[derive(Args)]
struct Clients {
    /// Revoke every API key that came back: some may have been revoked since
    #[arg(long)]
    revoke_clients: bool,
}

impl Clients {
    fn treatment(&self) -> LiveClients {
        if self.revoke_clients { LiveClients::Revoke } else { LiveClients::Keep }
    }
}

impl Restore {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<()> {
        let settings = context.settings(&[])?;
        refuse_database(&settings, &self.from)?;
        let clients = self.clients.treatment();
        let restored = runtime::block_on(async { Ok(Services::restore(&settings, &self.from, clients).await?) })?;
        let report = Report { restored: &restored, clients, command: "restore" };
        let as_of = as_of(&restored);
        let beginning = format!("The store is restored {as_of}; every session in it is ended.");
        context.output.answer(&report.as_json(json!({ "restored": self.from })), report.text(&beginning))
    }
}

impl RestoredByOthers {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<()> {
        let settings = context.settings(&[])?;
        let clients = self.clients.treatment();
        let (restored, before) =
            runtime::block_on(async { Ok(Services::restored(&settings, self.before, clients).await?) })?;
        let report = Report { restored: &restored, clients, command: "restored" };
        let beginning = format!("Every session that began up to {before} is ended.");
        context.output.answer(&report.as_json(json!({ "ended_until": before })), report.text(&beginning))
    }
}

/// Contents of a restored store, for people and as JSON.
struct Report<'a> {
    restored: &'a Restored,
    clients: LiveClients,
    /// Name of the command.
    command: &'static str,
}

impl Report<'_> {
    fn as_json(&self, mut answer: Value) -> Value {
        let restored = self.restored;
        let api_keys = restored.api_keys.iter().map(|key| json!({ "id": key.id.as_str(), "client": key.client }));
        let keys = restored.keys.iter();
        let keys = keys.map(|(key, why)| json!({ "kid": key.kid, "ring": key.ring, "state": key.state, "fault": why }));
        answer["age_seconds"] = json!(restored.age.ok().map(|age| age.as_secs()));
        answer["api_keys"] = api_keys.collect();
        answer["api_keys_revoked"] = json!(self.clients == LiveClients::Revoke);
        answer["opt_outs"] = json!(restored.opt_outs);
        answer["keys"] = keys.collect();
        answer
    }

    fn text(&self, beginning: &str) -> String {
        let restored = self.restored;
        let mut text = format!(
            "{beginning}\n{} opt-outs are back. Those set since then are lost: set them again.\n",
            restored.opt_outs
        );
        let _ = match (restored.api_keys.is_empty(), self.clients) {
            (true, _) => writeln!(text, "No API key was live."),
            (false, LiveClients::Revoke) => {
                writeln!(text, "These API keys were live, and are revoked: create new ones.")
            }
            (false, LiveClients::Keep) => writeln!(
                text,
                "These API keys are valid again. Revoke those that were revoked since then: \
                 `countersign clients revoke ID` (`db {} --revoke-clients` revokes all of them).",
                self.command
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

/// Returns the age of what was restored.
fn as_of(restored: &Restored) -> String {
    match restored.age {
        Ok(span) => format!("as it was {} ago", age(span)),
        Err(stopped) => format!("as it was some time ago ({stopped})"),
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
