//! Configuration of custody.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use crate::{clock::human_duration, domain::key::CustodyKind, secret::Secret};

/// Location of the keys, and limits of signing. `[custody]` in the configuration.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Place of new keys; those on record are loaded from where they are.
    pub kind: CustodyKind,
    /// Folder of the key files.
    pub dir: PathBuf,
    /// File whose first line is the passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// Passphrase that encrypts the key files that are written, and opens those that are encrypted; `config` reads it
    /// from the file.
    #[serde(skip_serializing)]
    pub passphrase: Option<Secret<String>>,
    /// `secrets.allow_world_readable`, which `config` sets.
    #[serde(skip)]
    pub allow_world_readable: bool,
    /// Threads that sign; `None`: one for each processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<NonZeroUsize>,
    pub batch: Batch,
    /// Longest time that a signature may wait for its turn; beyond that the request is refused at once.
    #[serde(with = "human_duration")]
    pub max_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kind: CustodyKind::File,
            dir: "keys".into(),
            passphrase_file: None,
            passphrase: None,
            allow_world_readable: false,
            threads: None,
            batch: Batch::Auto,
            max_wait: Duration::from_millis(30),
        }
    }
}

impl Config {
    /// Returns a copy whose folder is resolved against `folder`.
    #[must_use]
    pub fn at(&self, folder: &Path) -> Self {
        Self {
            dir: folder.join(&self.dir),
            passphrase_file: self.passphrase_file.clone(),
            passphrase: self.passphrase.as_ref().map(|passphrase| Secret::new(passphrase.expose().clone())),
            ..*self
        }
    }

    /// Number of threads that sign.
    pub(super) fn thread_count(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), NonZeroUsize::get)
    }

    /// Returns true where the change to `other` needs no restart.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_passphrase = match (&self.passphrase, &other.passphrase) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.matches(theirs.expose().as_bytes()),
            _ => false,
        };
        same_passphrase
            && self.kind == other.kind
            && (&self.dir, &self.passphrase_file, self.allow_world_readable, self.threads, self.batch, self.max_wait)
                == (
                    &other.dir,
                    &other.passphrase_file,
                    other.allow_world_readable,
                    other.threads,
                    other.batch,
                    other.max_wait,
                )
    }
}
