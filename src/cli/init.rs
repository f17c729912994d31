//! `countersign init`: set up an installation.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{
    context::{Context, block_on},
    given,
    key_places::CustodyArg,
};
use crate::{
    app::{Ambient, Layout, Services},
    config::{SAMPLE, Settings},
    domain::{
        ids::RingName,
        key::{KeyRecord, KeyState},
        shell::quoted_path,
    },
    files::{Rule, Use, User},
};

/// Set up a service: configuration, sealing secret, first key
///
/// Writes countersign.toml, sealing.secret, keys/ (unless the store keeps the keys) and countersign.db into a folder, and prints the public key for
/// Braze. Nothing that exists is overwritten.
#[derive(Args)]
pub(super) struct Init {
    /// Folder to set up
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// File whose first line is the passphrase that encrypts the key files (PKCS#8, scrypt, AES-256); its path is
    /// written to the configuration
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Place of the private keys
    #[arg(long, value_name = "PLACE", default_value = "file", conflicts_with = "passphrase_file")]
    custody: CustodyArg,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let user = User::owner_of(&self.dir);
        let configuration = self.configuration(context)?;
        user.assume()?;
        // A folder is named by its whole path: "." tells nobody which one is meant.
        let folder = std::path::absolute(&self.dir)?;
        let breaches = Rule::new(user, false).judge_path(&folder, Use::Folder);
        if !breaches.is_empty() {
            anyhow::bail!("{breaches}");
        }
        let mut layout = Layout::of(&self.dir);
        if matches!(self.custody, CustodyArg::Store) {
            layout.keys = None;
        }
        let mut bootstrap = layout.begin(&configuration)?;
        let settings = Settings::load(Some(bootstrap.draft()), &context.environment, &[])?;
        bootstrap.expect(&settings);
        let key = block_on(first_key(&settings))?;
        bootstrap.finish()?;
        let value = json!({ "config": layout.config, "kid": key.kid, "public_key": key.public_key });
        context.output.answer(&value, &key.public_key)?;
        context.output.remark(next_steps(&layout, &key));
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the sample configuration, with the path of the passphrase file.
    fn configuration(&self, context: &Context) -> anyhow::Result<String> {
        if matches!(self.custody, CustodyArg::Store) {
            return with_setting(SAMPLE, "kind", "kind = \"store\"\n");
        }
        let Some(file) = &self.passphrase_file else { return Ok(SAMPLE.to_owned()) };
        given::passphrase(context, file)?;
        let file = file.canonicalize().with_context(|| file.display().to_string())?;
        let setting = format!("passphrase_file = {}\n", toml::Value::from(file.display().to_string()));
        with_setting(SAMPLE, "passphrase_file", &setting)
    }
}

/// Replaces the first line of the sample that has this setting as a comment.
fn with_setting(sample: &str, name: &str, setting: &str) -> anyhow::Result<String> {
    let commented = sample.lines().find(|line| line.starts_with(&format!("# {name} = ")));
    let commented = commented.with_context(|| format!("the sample has no {name}"))?;
    Ok(sample.replacen(&format!("{commented}\n"), setting, 1))
}

/// Makes the first key of the ring `main`, or returns the one that a killed `init` has made.
async fn first_key(settings: &Settings) -> anyhow::Result<KeyRecord> {
    let services = if settings.store().path.symlink_metadata().is_ok() {
        Services::open(settings, Ambient::system()).await?
    } else {
        Services::create(settings, Ambient::system()).await?
    };
    let keys = services.operator(settings)?.keys();
    let ring: RingName = "main".parse()?;
    let is_first = |key: &KeyRecord| key.ring == ring && key.state == KeyState::Active;
    match keys.list().await?.into_iter().find(is_first) {
        Some(key) => Ok(key),
        None => Ok(keys.first_key(ring).await?),
    }
}

fn next_steps(layout: &Layout, key: &KeyRecord) -> String {
    let config = quoted_path(layout.config.strip_prefix(".").unwrap_or(&layout.config));
    format!(
        "\nKey {} is ready. Next:\n  \
         1. paste the public key above into Braze: Settings > App Settings > SDK Authentication, for each of your apps\n  \
         2. edit {config}: name your apps; where their users have a session already (Firebase, Auth0, …), add \
            [[apps.web.sign_in]] (docs/sign-in.md), and step 3 is not needed\n  \
         3. countersign -c {config} clients create backend --app web     (an API key for your backend, shown once)\n  \
         4. countersign -c {config} serve\n  \
         5. keep {} and {} safe: without them tokens cannot be refreshed or signed",
        key.kid,
        display(&layout.sealing_secret),
        layout.keys.as_deref().map_or_else(|| "backups of the store".to_owned(), display),
    )
}

fn display(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}
