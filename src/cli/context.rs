//! Context of every command: settings, environment, output, exit codes.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::output::Output;
use crate::{
    app::{Ambient, DevError, Services},
    config::{ConfigErrors, Environment, Settings},
    files::{User, replaced_user},
    operate::Operator,
};

/// Exit code of an invalid configuration (`EX_CONFIG` of sysexits.h).
pub(super) const EXIT_CONFIG: u8 = 78;
/// Exit code: done, with warnings.
pub(super) const EXIT_WARNINGS: u8 = 3;
/// Exit code: not reachable, or not ready.
pub(super) const EXIT_NOT_READY: u8 = 4;

/// Default paths of the configuration file.
const DEFAULT_FILES: [&str; 2] = ["countersign.toml", "/etc/countersign/countersign.toml"];

/// Settings, environment and output of a command.
pub(super) struct Context {
    file: Option<PathBuf>,
    /// Environment as it was at start.
    pub(super) environment: Environment,
    pub(super) output: Output,
}

impl Context {
    pub(super) fn new(file: Option<PathBuf>, json: bool, environment: Environment) -> Self {
        let file = file.or_else(|| environment.config_file());
        Self { file, environment, output: Output { json } }
    }

    /// Returns the configuration file: the one that was named, or the first default path that exists.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let default = || DEFAULT_FILES.iter().map(Path::new).find(|file| file.is_file()).map(Path::to_owned);
        self.file.clone().or_else(default)
    }

    /// Loads the settings, with these flags over everything else. A process of root becomes the owner of the store then,
    /// so that the service can use every file that it makes.
    pub(super) fn settings(&self, flags: &[(String, String)]) -> anyhow::Result<Settings> {
        // The settings of somebody else name files that only root may read, and places to send them to: that user reads
        // them.
        if let Some(file) = self.file() {
            User::owner_of(&file).assume()?;
        }
        let settings = self.read_settings(flags)?;
        settings.user().assume()?;
        Ok(settings)
    }

    /// Loads the settings, for a command that makes no file.
    pub(super) fn read_settings(&self, flags: &[(String, String)]) -> Result<Settings, ConfigErrors> {
        Settings::load(self.file().as_deref(), &self.environment, flags)
    }

    /// Runs `work` with the operators' operations on the configured store and keys. A server may be running on them.
    pub(super) fn with_operator<T, F>(&self, work: impl FnOnce(Operator, Settings) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let settings = self.settings(&[])?;
        block_on(async {
            let services = Services::open(&settings, Ambient::system()).await?;
            work(services.operator(&settings)?, settings).await
        })
    }

    /// Prints the error of a command; returns its exit code.
    pub(super) fn report_error(&self, error: &anyhow::Error) -> ExitCode {
        self.output.error(error);
        if replaced_user() == Some(0) {
            let user = User::of_process().uid();
            self.output.remark(format_args!("(This ran as user {user}, the owner of the store, not as root.)"));
        }
        let in_dev = matches!(error.downcast_ref(), Some(DevError::Settings(_)));
        if in_dev || error.is::<ConfigErrors>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
    }
}

/// Runs a future to its end, on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
