//! Context of every command: settings, environment, output, exit codes.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    output::Output,
    remote, runtime,
    target::{Target, TargetFlags, URL_VARIABLE},
};
use crate::{
    app::{Ambient, DevError, Services},
    config::{ConfigErrors, Environment, Settings},
    domain::shell::quoted_path,
    files::{User, replaced_user},
    operate::{Operations, Operator},
};

pub(super) use super::usage::UsageError;

/// Exit code of an invalid configuration (`EX_CONFIG` of sysexits.h).
pub(super) const EXIT_CONFIG: u8 = 78;
/// Exit code: wrong usage.
pub(super) const EXIT_USAGE: u8 = 2;
/// Exit code: done, with warnings.
pub(super) const EXIT_WARNINGS: u8 = 3;
/// Exit code: not reachable, or not ready.
pub(super) const EXIT_NOT_READY: u8 = 4;
/// Exit code: on record, but some nodes may not know it yet.
pub(super) const EXIT_PENDING: u8 = 5;

/// Default paths of the configuration file.
const DEFAULT_FILES: [&str; 2] = ["countersign.toml", "/etc/countersign/countersign.toml"];

/// Access that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It only reads.
    Read,
    /// It changes something.
    Change,
    /// It changes what cannot be undone, or what tokens depend on.
    Destroy,
}

/// Settings, environment and output of a command.
pub(super) struct Context {
    file: Option<PathBuf>,
    flags: TargetFlags,
    /// Environment as it was at start.
    pub(super) environment: Environment,
    pub(super) output: Output,
}

impl Context {
    pub(super) fn new(file: Option<PathBuf>, flags: TargetFlags, json: bool, environment: Environment) -> Self {
        let file = file.or_else(|| environment.config_file());
        Self { file, flags, environment, output: Output { json } }
    }

    /// Returns the configuration file: the one that was named, or the first default path that exists.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let default = || DEFAULT_FILES.iter().map(Path::new).find(|file| file.is_file()).map(Path::to_owned);
        self.file.clone().or_else(default)
    }

    /// Returns the beginning of commands that are printed: the program, with the configuration file or the service that
    /// was named.
    pub(super) fn program(&self) -> String {
        match &self.file {
            Some(file) => format!("countersign -c {}{}", quoted_path(file), self.flags.as_given()),
            None => format!("countersign{}", self.flags.as_given()),
        }
    }

    /// Chooses the target of a command.
    ///
    /// # Errors
    /// Those of [`TargetFlags::target`].
    pub(super) fn target(&self) -> Result<Target, UsageError> {
        self.flags.target(self.environment.url(), self.environment.token_file())
    }

    /// Checks that no flag names a service, for a command that works on this machine only.
    ///
    /// # Errors
    /// [`UsageError`] with the reason.
    pub(super) fn stay_here(&self, why: &str) -> Result<(), UsageError> {
        if self.flags.names_service() {
            return Err(UsageError::new(format!("this command does not take --url: {why}")));
        }
        Ok(())
    }

    /// Checks that no flag names a service, for a command that needs a private key or its passphrase.
    ///
    /// # Errors
    /// [`UsageError`] with the reason.
    pub(super) fn keep_private(&self) -> Result<(), UsageError> {
        let why =
            "private keys and their passphrases neither enter nor leave over the network; run it where the keys are";
        self.stay_here(why)?;
        match self.target()? {
            Target::Local => Ok(()),
            // What the command prints next would go to that service.
            Target::Remote(_) => Err(UsageError::new(format!(
                "{URL_VARIABLE} names a service, and {why}: add --local to use this machine's store"
            ))),
        }
    }

    /// Runs `work` with the operators' operations: on the configured store and keys, or on those of a service that is
    /// asked.
    pub(super) fn with_operations<T>(
        &self,
        access: Access,
        work: impl AsyncFnOnce(&dyn Operations) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        match self.target()? {
            Target::Local => {
                let checked = async |operator: Operator, _| {
                    remote::checked(&operator, self.flags.installation(), "this machine's store").await?;
                    work(&operator).await
                };
                if access == Access::Read { self.with_reader(checked) } else { self.with_operator(checked) }
            }
            Target::Remote(target) => {
                self.output.target(&target.endpoint);
                if access == Access::Destroy {
                    target.check_destructive()?;
                }
                let token = target.token_file.as_deref().map(remote::token).transpose()?;
                runtime::block_on(async {
                    let operations = remote::connect(&target.endpoint, token)?;
                    let place = target.endpoint.to_string();
                    remote::checked(&*operations, target.installation, &place).await?;
                    work(&*operations).await
                })
            }
        }
    }

    /// Loads the settings, with these flags over everything else. A process of root becomes the owner of its files then,
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

    /// Runs `work`, which only reads, with the operators' operations on the configured store and keys. The store is
    /// open for reading only, so that nothing is migrated and no file is made.
    pub(super) fn with_reader<T, F>(&self, work: impl FnOnce(Operator, Settings) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let settings = self.settings(&[])?;
        runtime::block_on(async {
            let services = Services::open_read_only(&settings, Ambient::system()).await?;
            work(services.operator(&settings)?, settings).await
        })
    }

    /// Runs `work` with the operators' operations on the configured store and keys. A server may be running on them.
    pub(super) fn with_operator<T, F>(&self, work: impl FnOnce(Operator, Settings) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let settings = self.settings(&[])?;
        runtime::block_on(async {
            let services = Services::open_for_command(&settings, Ambient::system()).await?;
            work(services.operator(&settings)?, settings).await
        })
    }

    /// Prints the error of a command; returns its exit code.
    pub(super) fn report_error(&self, error: &anyhow::Error) -> ExitCode {
        self.output.error(error);
        if replaced_user() == Some(0) {
            let user = User::of_process().uid();
            self.output.remark(format_args!("(This ran as user {user}, the owner of its files, not as root.)"));
        }
        if error.is::<UsageError>() {
            return ExitCode::from(EXIT_USAGE);
        }
        let in_dev = matches!(error.downcast_ref(), Some(DevError::Settings(_)));
        if in_dev || error.is::<ConfigErrors>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
    }
}
