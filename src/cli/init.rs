//! `countersign init`: set up an installation.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{
    context::{Context, UsageError},
    given,
    key_places::CustodyArg,
    runtime,
};
use crate::{
    app::{Ambient, Bootstrap, Layout},
    config::{SAMPLE, Settings, check_store_url},
    domain::{
        ids::RingName,
        key::{KeyRecord, KeyState},
        shell::quoted_path,
    },
    files::{Rule, Use, User},
};

/// Set up a service: configuration, sealing secret, first key
///
/// Writes countersign.toml, sealing.secret, keys/ and countersign.db into a folder, and prints the public key for Braze.
/// Nothing that exists is overwritten. With --custody store there is no keys/. With --store-url there is no
/// countersign.db: the store is a PostgreSQL database, which must exist, and its tables are made.
#[derive(Args)]
pub(super) struct Init {
    /// Folder to set up
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// File whose first line is the passphrase that encrypts the key files (PKCS#8, scrypt, AES-256); its path is
    /// written to the configuration
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// PostgreSQL database that is to be the store, for several nodes: `postgres://ROLE@HOST/DATABASE`, without a password
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
    /// File whose first line is the password of that role; its path is written to the configuration
    #[arg(long, value_name = "FILE", requires = "store_url")]
    store_password_file: Option<PathBuf>,
    /// File of the authorities (PEM) of the database's certificate, where this machine does not trust them; its path is
    /// written to the configuration
    #[arg(long, value_name = "FILE", requires = "store_url")]
    store_ca_file: Option<PathBuf>,
    /// Place of the private keys
    #[arg(long, value_name = "PLACE", default_value = "file", conflicts_with = "passphrase_file")]
    custody: CustodyArg,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if let Some(url) = &self.store_url {
            check_store_url(url).map_err(|why| UsageError::new(format!("--store-url: {why}")))?;
        }
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
        let key = runtime::block_on(first_key(&settings, &mut bootstrap))?;
        bootstrap.finish()?;
        let value = json!({ "config": layout.config, "kid": key.kid, "public_key": key.public_key });
        context.output.answer(&value, &key.public_key)?;
        context.output.remark(self.next_steps(&layout, &key));
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the sample configuration, with the settings that were asked for.
    fn configuration(&self, context: &Context) -> anyhow::Result<String> {
        let mut configuration = SAMPLE.to_owned();
        if let Some(file) = &self.passphrase_file {
            given::passphrase(context, file)?;
            configuration = with_setting(&configuration, "custody", "passphrase_file", &whole_path(file)?)?;
        }
        if matches!(self.custody, CustodyArg::Store) {
            configuration = with_setting(&configuration, "custody", "kind", "store")?;
        }
        if let Some(url) = &self.store_url {
            configuration = with_setting(&configuration, "store", "url", url)?;
        }
        if let Some(file) = &self.store_password_file {
            given::password(context, file)?;
            configuration = with_setting(&configuration, "store", "password_file", &whole_path(file)?)?;
        }
        if let Some(file) = &self.store_ca_file {
            configuration = with_setting(&configuration, "store", "ca_file", &whole_path(file)?)?;
        }
        Ok(configuration)
    }

    fn next_steps(&self, layout: &Layout, key: &KeyRecord) -> String {
        let steps = next_steps(layout, key);
        if self.store_url.is_none() {
            return steps;
        }
        let keys = layout.keys.as_deref().map_or_else(String::new, |keys| format!(" and {}", display(keys)));
        let password = if self.store_password_file.is_some() { ", password file" } else { "" };
        let authorities = if self.store_ca_file.is_some() { ", file of authorities" } else { "" };
        format!(
            "{steps}\n  \
             6. further nodes: give each machine the same configuration{password}{authorities}, {}{keys}, and start `countersign serve`; \
                it needs nothing else",
            display(&layout.sealing_secret),
        )
    }
}

/// Returns the path from the root. The file itself may be a link whose target is replaced later, as in a mounted secret
/// of Kubernetes: the path stays that of the link.
fn whole_path(file: &Path) -> anyhow::Result<String> {
    let path = || file.display().to_string();
    let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize().with_context(path)?.join(name).display().to_string())
}

/// Returns the sample with a setting in the place where it is commented out.
fn with_setting(sample: &str, section: &str, name: &str, value: &str) -> anyhow::Result<String> {
    let begin = format!("# {name} = ");
    let missing = || format!("the sample has no {name} in [{section}]");
    let at = sample.find(&format!("\n[{section}]\n")).with_context(missing)? + 1;
    let (before, rest) = sample.split_at(at);
    let old = rest.lines().find(|line| line.starts_with(&begin)).with_context(missing)?;
    Ok(format!("{before}{}", rest.replacen(old, &format!("{name} = {}", toml::Value::from(value)), 1)))
}

/// Makes the first key of the ring `main`, or returns the one that a killed `init` has made.
async fn first_key(settings: &Settings, bootstrap: &mut Bootstrap) -> anyhow::Result<KeyRecord> {
    let services = bootstrap.services(settings, Ambient::system()).await?;
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
