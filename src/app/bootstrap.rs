//! Bootstrap of a new installation: folder, configuration, sealing secret. Nothing is ever overwritten.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    domain::sealing::SealingSecrets,
    secret::{Secret, SystemEntropy, random},
};

/// Paths of the parts of an installation.
#[derive(Clone, Debug)]
pub struct Layout {
    pub config: PathBuf,
    pub sealing_secret: PathBuf,
    /// Folder of the key files.
    pub keys: PathBuf,
}

impl Layout {
    /// Default paths in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self {
            config: folder.join("countersign.toml"),
            sealing_secret: folder.join("sealing.secret"),
            keys: folder.join("keys"),
        }
    }

    /// Creates the configuration with this text, a new sealing secret and an empty key folder. Only their owner can
    /// read them.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where one of the files exists already: nothing is written then. Otherwise the
    /// error of the operating system.
    pub fn create(&self, config: &str) -> io::Result<()> {
        for file in [&self.config, &self.sealing_secret] {
            if file.symlink_metadata().is_ok() {
                let text = format!("{} exists already; nothing was written", file.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
        }
        if !self.keys.is_dir() {
            DirBuilder::new().mode(0o700).create(&self.keys)?;
        }
        let secret = Secret::new(random::<32>(&SystemEntropy).map_err(io::Error::other)?);
        write_new(&self.sealing_secret, SealingSecrets::line(1, &secret).as_bytes())?;
        write_new(&self.config, config.as_bytes())
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
