//! `countersign keys`: the key ceremony.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;

use super::{
    compromise::{Compromise, names},
    context::{Access, Context},
    given,
    key_places::{Move, erase, rewrap},
    output::table,
};
use crate::{
    domain::{
        ids::{AppName, RingName},
        key::{KeyRecord, KeyState},
        spki::{Fingerprint, Spki},
    },
    operate::{ConfirmedKey, DashboardChange},
};

/// Reason why a command that needs a private key or its passphrase asks no other machine.
pub(super) const PRIVATE: &str =
    "private keys and their passphrases neither enter nor leave over the network; run it where the keys are";

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Generate a key; it signs nothing before a rotation has published it
    Generate {
        /// Ring of the key
        #[arg(long, default_value = "main")]
        ring: RingName,
        /// Bits of the modulus: 2048 (Braze's recommendation), 3072 or 4096
        #[arg(long, default_value_t = 2048)]
        bits: u32,
    },
    /// Import a private key in PEM: PKCS#1, PKCS#8 or encrypted PKCS#8
    Import {
        /// File to read; - reads stdin
        file: PathBuf,
        /// Ring of the key
        #[arg(long, default_value = "main")]
        ring: RingName,
        /// File with the passphrase that opens the key
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// List the keys on record, oldest first
    List,
    /// Show one key
    Show {
        /// Id of the key, or a beginning of it that no other key has
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Print the public key to paste into Braze
    Public {
        /// Id of the key, or a beginning of it that no other key has [default: the active key of the ring]
        #[arg(allow_hyphen_values = true)]
        kid: Option<String>,
        /// Ring whose active key is printed
        #[arg(long, default_value = "main", conflicts_with = "kid")]
        ring: RingName,
    },
    /// Confirm that a key was added or deleted in the Braze dashboard
    ///
    /// For apps that have no workspace in the configuration. No key signs before every app of its ring holds it: a
    /// token signed with a key that Braze does not have is rejected (error 27). Where an app has a workspace, Braze's
    /// own list proves that; for the others this confirmation is the proof.
    Confirm {
        /// Id of the key, or a beginning of it that no other key has
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Fingerprint of the key in the dashboard: copy the public key from there, then
        /// --fingerprint "$(openssl pkey -pubin -in COPY -outform DER | sha256sum)"
        #[arg(long, value_name = "SHA256", required_unless_present_any = ["public_key", "deleted"])]
        fingerprint: Option<Fingerprint>,
        /// The copy itself, in a file, instead of its fingerprint
        #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
        public_key: Option<PathBuf>,
        /// The key was deleted in the dashboard
        #[arg(long, conflicts_with_all = ["fingerprint", "public_key"])]
        deleted: bool,
        /// Confirm for this app only [default: every app of the ring that has no workspace]
        #[arg(long)]
        app: Option<AppName>,
    },
    Compromise(Compromise),
    Move(Move),
    /// Erase a private key that no record names
    ///
    /// Such a key is what a crash left; `doctor` lists it. A key on record is never erased so.
    Erase {
        /// Id of the key, or at least 8 characters of it
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Encrypt the keys again, after a new passphrase or a new sealing secret was configured
    ///
    /// Key files are encrypted with the configured passphrase (without one they are not encrypted), keys in the store with
    /// the newest sealing secret. Each file is replaced as a whole, after the new one was read back and has signed. May be
    /// repeated. Exit code 1: a key is as it was.
    Rewrap {
        /// File with the passphrase before [default: none, the key files were not encrypted]
        #[arg(long, value_name = "FILE")]
        old_passphrase_file: Option<PathBuf>,
    },
}

impl KeysCommand {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Compromise(compromise) => return compromise.run(context),
            Self::Move(command) => return command.run(context),
            Self::Erase { kid } => erase(context, &kid),
            Self::Rewrap { old_passphrase_file } => return rewrap(context, old_passphrase_file.as_deref()),
            Self::Generate { ring, bits } => generate(context, ring, bits),
            Self::Import { file, ring, passphrase_file } => import(context, &file, ring, passphrase_file.as_deref()),
            Self::List => list(context),
            Self::Show { kid } => show(context, &kid),
            Self::Public { kid, ring } => public(context, kid.as_deref(), &ring),
            Self::Confirm { kid, app, deleted: true, .. } => confirm_deleted(context, &kid, app.as_ref()),
            Self::Confirm { kid, fingerprint, public_key, app, .. } => {
                confirm(context, &kid, given_fingerprint(fingerprint, public_key)?, app.as_ref())
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn generate(context: &Context, ring: RingName, bits: u32) -> anyhow::Result<()> {
    let key = context.with_operations(Access::Change, async |ops| Ok(ops.generate_key(ring, bits).await?))?;
    print_new_key(context, &key)
}

fn import(
    context: &Context,
    file: &std::path::Path,
    ring: RingName,
    passphrase: Option<&std::path::Path>,
) -> anyhow::Result<()> {
    context.stay_here(PRIVATE)?;
    let pem = given::secret(context, file)?;
    let passphrase = passphrase.map(|file| given::passphrase(context, file)).transpose()?;
    let key = context
        .with_operator(async |operator, _| Ok(operator.keys().import(ring, &pem, passphrase.as_ref()).await?))?;
    print_new_key(context, &key)
}

fn print_new_key(context: &Context, key: &KeyRecord) -> anyhow::Result<()> {
    context.output.answer(key, &key.public_key)?;
    let program = context.program();
    context.output.remark(format_args!(
        "Key {} is on record for ring {}. Next:\n  1. add the public key above to every app of the ring at Braze\n  \
         2. {program} keys confirm {} --fingerprint …   (of what is at Braze; not for apps that have a workspace)\n  \
         3. {program} rotate run --ring {}\n\
         For apps that have a workspace, step 3 does everything.",
        key.kid, key.ring, key.kid, key.ring
    ));
    Ok(())
}

fn list(context: &Context) -> anyhow::Result<()> {
    let keys = context.with_operations(Access::Read, async |ops| Ok(ops.keys().await?))?;
    let rows = keys.iter().map(|key| {
        [
            key.kid.to_string(),
            key.ring.to_string(),
            key.state.as_str().to_owned(),
            key.bits.to_string(),
            key.changed.to_string(),
        ]
    });
    context.output.answer(&keys, table(&["KID", "RING", "STATE", "BITS", "SINCE"], rows))
}

fn show(context: &Context, kid: &str) -> anyhow::Result<()> {
    let key = context.with_operations(Access::Read, async |ops| Ok(ops.key(kid).await?))?;
    let fingerprint = Spki::from_pem(&key.public_key).with_context(|| format!("key {}", key.kid))?.fingerprint();
    let text = format!(
        "kid      {}\nSHA-256  {fingerprint}\nring     {}\nstate    {}, since {}\nbits     {}\ncustody  {} ({})\ncreated  {}\n\n{}\n\
         `{} keys public {} | openssl pkey -pubin -outform DER | sha256sum` prints the same SHA-256.",
        key.kid,
        key.ring,
        key.state.as_str(),
        key.changed,
        key.bits,
        key.custody,
        key.locator,
        key.created,
        key.public_key,
        context.program(),
        key.kid
    );
    let mut value = serde_json::to_value(&key)?;
    value["fingerprint"] = fingerprint.to_string().into();
    context.output.answer(&value, text)
}

fn public(context: &Context, kid: Option<&str>, ring: &RingName) -> anyhow::Result<()> {
    let key = context.with_operations(Access::Read, async |ops| {
        if let Some(kid) = kid {
            return Ok(ops.key(kid).await?);
        }
        let mut keys = ops.keys().await?;
        keys.retain(|key| key.ring == *ring && key.state == KeyState::Active);
        if keys.is_empty() {
            ops.rings(Some(ring)).await?;
        }
        keys.pop().with_context(|| format!("ring {ring} has no active key (`countersign keys list`)"))
    })?;
    context.output.answer(&serde_json::json!({ "kid": key.kid, "public_key": key.public_key }), &key.public_key)
}

/// Returns the fingerprint that was given, or that of the copy.
fn given_fingerprint(fingerprint: Option<Fingerprint>, copy: Option<PathBuf>) -> anyhow::Result<Fingerprint> {
    let Some(copy) = copy else { return fingerprint.context("give --fingerprint, or --public-key") };
    let pem = given::public_text(&copy)?;
    Ok(Spki::from_pem(&pem).with_context(|| copy.display().to_string())?.fingerprint())
}

fn confirm(context: &Context, kid: &str, fingerprint: Fingerprint, app: Option<&AppName>) -> anyhow::Result<()> {
    let added = DashboardChange::Added(fingerprint);
    let ConfirmedKey { key, apps } =
        context.with_operations(Access::Change, async |ops| Ok(ops.confirm_key(kid, added, app).await?))?;
    let value = serde_json::json!({ "key": key, "apps": apps });
    context.output.answer(&value, format!("Key {} is confirmed for {}.", key.kid, names(&apps)))?;
    if key.state == KeyState::Published {
        let program = context.program();
        context.output.remark(format_args!("`{program} rotate run --ring {}` lets it sign.", key.ring));
    }
    Ok(())
}

fn confirm_deleted(context: &Context, kid: &str, app: Option<&AppName>) -> anyhow::Result<()> {
    let deleted = DashboardChange::Deleted;
    let ConfirmedKey { key, apps } =
        context.with_operations(Access::Change, async |ops| Ok(ops.confirm_key(kid, deleted, app).await?))?;
    let text = format!("Key {} is on record as deleted at Braze for {}.", key.kid, names(&apps));
    context.output.answer(&serde_json::json!({ "key": key, "apps": apps }), text)
}
