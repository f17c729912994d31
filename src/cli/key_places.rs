//! `countersign keys move` and `keys rewrap`: the places of private keys, and what encrypts them there.

use std::{path::Path, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    context::{Access, Context, EXIT_WARNINGS},
    given,
    keys::PRIVATE,
    output::table,
};
use crate::{
    domain::{ids::RingName, key::CustodyKind},
    operate::KeySelection,
};

/// Move private keys to the store or to files
///
/// Each key is copied, and proven by a signature with the copy; its record then names the new place. The copy before is
/// erased only after every live node has loaded the key from there. May be repeated, also after a crash: it does what is
/// left. Exit code 3: a node has not loaded a key from there yet, so that both copies exist.
#[derive(Args)]
pub(super) struct Move {
    /// Place that the keys move to
    #[arg(long)]
    to: CustodyArg,
    /// Ids of the keys, or beginnings of them that no other key has [default: every key that is held]
    #[arg(allow_hyphen_values = true)]
    kids: Vec<String>,
    /// Only the keys of this ring
    #[arg(long, conflicts_with = "kids")]
    ring: Option<RingName>,
    /// Longest wait for the nodes, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u32,
}

/// Place of private keys, on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum CustodyArg {
    /// Sealed in the store
    Store,
    /// Files in the key folder
    File,
}

impl From<CustodyArg> for CustodyKind {
    fn from(place: CustodyArg) -> Self {
        match place {
            CustodyArg::Store => Self::Store,
            CustodyArg::File => Self::File,
        }
    }
}

impl Move {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let patience = Duration::from_secs(self.wait.into());
        let keys = if self.kids.is_empty() { KeySelection::Held(self.ring) } else { KeySelection::Ids(self.kids) };
        let moved = context
            .with_operations(Access::Destroy, async |ops| Ok(ops.move_keys(keys, self.to.into(), patience).await?))?;
        let rows = moved.iter().map(|key| {
            let state = if key.waiting_for.is_empty() { "moved" } else { "two copies" };
            [key.kid.to_string(), key.ring.to_string(), key.custody.as_str().to_owned(), state.to_owned()]
        });
        context.output.answer(&moved, table(&["KID", "RING", "CUSTODY", "STATE"], rows))?;
        let mut waiting: Vec<&str> = moved.iter().flat_map(|key| &key.waiting_for).map(String::as_str).collect();
        waiting.sort_unstable();
        waiting.dedup();
        if waiting.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        context.output.remark(format_args!(
            "These nodes have not loaded a key from there: {}. The copies before are kept. See the nodes' logs: a node needs \
             the sealing secret for keys in the store, the key files in its own folder for keys in files, and this version. \
             Then run the same command again.",
            waiting.join(", ")
        ));
        Ok(ExitCode::from(EXIT_WARNINGS))
    }
}

/// Encrypts every key again, with the configured passphrase or the newest sealing secret.
pub(super) fn rewrap(context: &Context, old: Option<&Path>) -> anyhow::Result<ExitCode> {
    context.stay_here(PRIVATE)?;
    let old = old.map(|file| given::passphrase(context, file)).transpose()?;
    let keys = context.with_operator(async |operator, _| Ok(operator.keys().rewrap(old.as_ref()).await?))?;
    let rows = keys.iter().map(|key| {
        let state = match (&key.error, key.changed) {
            (Some(_), _) => "failed",
            (None, true) => "encrypted again",
            (None, false) => "current",
        };
        [key.kid.to_string(), key.ring.to_string(), key.custody.clone(), state.to_owned()]
    });
    context.output.answer(&keys, table(&["KID", "RING", "CUSTODY", "STATE"], rows))?;
    let mut failed = false;
    for why in keys.iter().filter_map(|key| key.error.as_ref()) {
        context.output.remark(why);
        failed = true;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) fn erase(context: &Context, kid: &str) -> anyhow::Result<()> {
    let erased = context.with_operations(Access::Destroy, async |ops| Ok(ops.erase_key(kid).await?))?;
    let value = erased.iter().map(|from| serde_json::json!({ "custody": from.custody, "locator": from.locator }));
    let lines = erased.iter().map(|from| format!("{} is erased from custody {}.", from.locator, from.custody));
    context.output.answer(&value.collect::<serde_json::Value>(), lines.collect::<Vec<_>>().join("\n"))
}
