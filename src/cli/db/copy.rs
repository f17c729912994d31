//! `countersign db copy`: move a site to another store.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Args;
use serde_json::json;

use crate::{
    app::{StorePlace, copy_store},
    cli::{
        context::{Context, UsageError},
        given, runtime,
    },
    config::check_store_url,
};

/// Rows of a table after which progress is shown.
const SHOWN_EVERY: u64 = 250_000;

/// Copy the whole store into another, empty one, and verify the copy: to move between SQLite and PostgreSQL
///
/// Sessions, opt-outs, records of keys, API keys and the audit log are copied, as of one point in time, and source and
/// target are compared by the numbers and checksums of their rows before the copy becomes a store. Where it fails or is
/// killed, nothing is left of it. No node may be running on the source: what it writes meanwhile would be lost.
#[derive(Args)]
pub(in crate::cli) struct Copy {
    /// Store to copy: sqlite:FILE or `postgres://ROLE@HOST/DATABASE`
    #[arg(long, value_name = "STORE")]
    from: StoreArg,
    /// Store to make: sqlite:FILE, which must not exist, or `postgres://ROLE@HOST/DATABASE`, without data of ours
    #[arg(long, value_name = "STORE")]
    to: StoreArg,
    /// File whose first line is the password for --from, where that is not the configured store
    #[arg(long, value_name = "FILE")]
    from_password_file: Option<PathBuf>,
    /// File whose first line is the password for --to, where that is not the configured store
    #[arg(long, value_name = "FILE")]
    to_password_file: Option<PathBuf>,
}

/// Store, as it is given on the command line.
#[derive(Clone)]
enum StoreArg {
    File(PathBuf),
    Database(String),
}

/// Text that names no store. It is not shown: it may have a password.
#[derive(Debug, thiserror::Error)]
#[error("this is no store: write sqlite:FILE or postgres://ROLE@HOST/DATABASE")]
struct BadStoreArg;

impl FromStr for StoreArg {
    type Err = BadStoreArg;

    fn from_str(text: &str) -> Result<Self, BadStoreArg> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Database(text.to_owned()));
        }
        let file = text.strip_prefix("sqlite:").filter(|file| !file.is_empty() && !file.starts_with("//"));
        file.map(|file| Self::File(file.into())).ok_or(BadStoreArg)
    }
}

impl StoreArg {
    /// Returns the store at this place, with the password from a file.
    fn store(&self, context: &Context, password_file: Option<&PathBuf>) -> anyhow::Result<StorePlace> {
        match (self, password_file) {
            (Self::File(_), Some(_)) => Err(UsageError::new("a password file is for a postgres:// URL").into()),
            (Self::File(file), None) => Ok(StorePlace::File(file.clone())),
            (Self::Database(url), file) => {
                check_store_url(url).map_err(UsageError::new)?;
                let password = file.map(|file| given::password(context, file)).transpose()?;
                Ok(StorePlace::Database { url: url.clone(), password })
            }
        }
    }
}

impl fmt::Display for StoreArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Database(url) => f.write_str(url),
        }
    }
}

impl Copy {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<()> {
        let settings = context.settings(&[])?;
        let from = self.from.store(context, self.from_password_file.as_ref())?;
        let to = self.to.store(context, self.to_password_file.as_ref())?;
        let progress = |table: &str, rows: u64| {
            if rows.is_multiple_of(SHOWN_EVERY) {
                context.output.remark(format_args!("{table}: {rows} rows"));
            }
        };
        let tables = runtime::block_on(async { Ok(copy_store(&settings, from, to, progress).await?) })?;
        let lines: Vec<String> = tables.iter().map(|table| format!("  {:<14} {}", table.name, table.rows)).collect();
        let Self { from, to, .. } = self;
        let text = format!("{from} is copied to {to} and verified. Rows:\n{}\n{}", lines.join("\n"), self.next_steps());
        context.output.answer(&json!({ "from": from.to_string(), "to": to.to_string(), "tables": tables }), text)
    }

    fn removal(&self) -> String {
        match &self.from {
            StoreArg::File(file) => format!("put {} away", file.display()),
            StoreArg::Database(_) => "when all is well, DROP SCHEMA countersign CASCADE in the old database".to_owned(),
        }
    }

    fn next_steps(&self) -> String {
        let setting = match &self.to {
            StoreArg::File(file) => format!("path = {}, and no url", toml::Value::from(file.display().to_string())),
            StoreArg::Database(url) => format!("url = {}, and password_file", toml::Value::from(url.as_str())),
        };
        format!(
            "Next:\n  \
             1. in [store] of the configuration: {setting}; the sealing secret and the keys stay the same\n  \
             2. countersign doctor\n  \
             3. start the service\n  \
             4. {}, so that no node is started on it again",
            self.removal()
        )
    }
}
