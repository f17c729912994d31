//! Restoring a backup: into a file beside the store's path first, so that a restoration that fails leaves no store.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    errors::StoreName,
    file::{NewCopy, exists, resolve, sync_folder, with_suffix},
};
use crate::store::{Config, StoreError};

/// SQLite's files beside a store's file. Those of a lost store would be replayed on the restored one.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Copy of a backup beside the store's path. It is deleted again unless [`Restoration::put_in_place`] is called.
pub struct Restoration {
    config: Config,
    place: PathBuf,
    name: StoreName,
}

impl Restoration {
    pub(in crate::store) fn begin(config: &Config, backup: &Path) -> Result<Self, StoreError> {
        let name = StoreName::new(&config.path);
        let place = resolve(&config.path, &name)?;
        refuse_existing(&place, &name)?;
        let failed = |why: io::Error| StoreError::Backup { path: backup.display().to_string(), why: why.to_string() };
        let mut source = File::open(backup).map_err(failed)?;
        let mut copy = NewCopy::create(&with_suffix(&place, ".restoring"), &name)?;
        io::copy(&mut source, copy.file()).map_err(failed)?;
        let path = copy.path().to_owned();
        copy.keep().map_err(failed)?;
        Ok(Self { config: Config { path, ..config.clone() }, place, name })
    }

    /// Returns the configuration with which the copy is opened, to prepare it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes the copy the store. It must not be open.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where somebody else made a store meanwhile.
    pub fn put_in_place(self) -> Result<(), StoreError> {
        refuse_existing(&self.place, &self.name)?;
        // A rename would replace a store that another process has just made; a link does not.
        fs::hard_link(&self.config.path, &self.place)
            .and_then(|()| sync_folder(&self.place))
            .map_err(|why| self.name.unavailable(why))
    }
}

impl Drop for Restoration {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(with_suffix(&self.config.path, suffix));
        }
    }
}

fn refuse_existing(place: &Path, name: &StoreName) -> Result<(), StoreError> {
    for path in [place.to_owned()].into_iter().chain(COMPANIONS.map(|suffix| with_suffix(place, suffix))) {
        if exists(&path).map_err(|why| name.unavailable(why))? {
            return Err(StoreError::Exists { path: path.display().to_string() });
        }
    }
    Ok(())
}
