//! The first things of a new service: folder, configuration, sealing secret, first key. Nothing is ever overwritten.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Services;
use crate::{
    domain::{ids::RingName, key::KeyRecord, sealing::SealingSecrets},
    rotate::CeremonyError,
    secret::{Secret, SystemEntropy, random},
};

/// Where the parts of a service are, in its folder.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The configuration.
    pub config: PathBuf,
    /// The sealing secret.
    pub sealing_secret: PathBuf,
    /// The folder of the key files.
    pub keys: PathBuf,
}

impl Layout {
    /// The usual places in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self {
            config: folder.join("countersign.toml"),
            sealing_secret: folder.join("sealing.secret"),
            keys: folder.join("keys"),
        }
    }

    /// Writes this configuration, a new sealing secret and an empty key folder, each for its owner's eyes only.
    ///
    /// # Errors
    /// Where one of the files exists, before anything is written; or the system's own.
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

/// Makes the first key of a ring and lets it sign at once: nothing was signed before it, so that no token can be
/// rejected for it; the app turns enforcement on at Braze only after its public half is there.
pub async fn first_key(services: &Services, ring: RingName) -> Result<KeyRecord, CeremonyError> {
    let ceremony = services.ceremony();
    let key = ceremony.generate(ring, 2048).await?;
    Ok(ceremony.activate(&key.kid).await?.key)
}
