//! The store's file. It is made readable and writable by its owner only, and is refused where others could read or
//! replace it, by the rule of [`crate::files`].

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::errors::{Fault, StoreName};
use crate::{
    files::{Breaches, Rule, Use, folder_of, write_fault},
    store::StoreError,
};

/// Mode of a new file of the store.
const OWNER_ONLY: u32 = 0o600;
/// Files that SQLite keeps beside a store's file while the store is open. A write that is only in a `-wal` file that
/// was removed is lost, and processes with different `-shm` files do not see each other's locks.
const WAL_FILES: [&str; 2] = ["-wal", "-shm"];

/// Device and inode of a file.
type Identity = (u64, u64);

/// Files of the store, with their identities when the store was opened.
pub(super) struct StoreFile {
    path: PathBuf,
    watched: Vec<(PathBuf, Identity)>,
}

impl StoreFile {
    /// Checks the file of a store that must exist.
    pub(super) fn existing(path: &Path, name: &StoreName) -> Result<Self, StoreError> {
        let folder = folder_of(path);
        if !folder.exists() {
            return Err(name.missing(&format!("does not exist, nor does its folder {}", folder.display())));
        }
        let path = resolve(path, name)?;
        if !exists(&path).map_err(|why| name.unavailable(why))? {
            return Err(name.missing("does not exist"));
        }
        let found = check_file(&path, name)?;
        for suffix in WAL_FILES {
            check_companion(&with_suffix(&path, suffix), name)?;
        }
        Ok(Self { watched: vec![(path.clone(), identity(&found))], path })
    }

    /// Watches the `-wal` and `-shm` files too. To be called once SQLite has them open; it keeps them while it does.
    pub(super) fn watch_log(&mut self, name: &StoreName) -> Result<(), StoreError> {
        for suffix in WAL_FILES {
            let path = with_suffix(&self.path, suffix);
            let found = fs::symlink_metadata(&path).map_err(|why| name.unavailable(why))?;
            self.watched.push((path, identity(&found)));
        }
        Ok(())
    }

    /// Returns the path, with its folder resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the reason where one of the files was removed or replaced while it was in use: writes would be lost at
    /// the next start. Where the files cannot even be looked at, it is an outage.
    pub(super) fn still_there(&self) -> Result<(), Fault> {
        self.watched.iter().try_for_each(|(path, watched)| {
            let shown = path.display();
            match fs::symlink_metadata(path) {
                Ok(found) if identity(&found) == *watched => Ok(()),
                Ok(_) => Err(Fault::Other(format!("{shown} was replaced while it was in use; restart countersign"))),
                Err(why) if is_gone(&why) => {
                    let text = format!("{shown} was removed while it was in use ({why}): put it back and restart");
                    Err(Fault::Other(text))
                }
                Err(why) => Err(Fault::Outage(format!("{shown}: {why}"))),
            }
        })
    }

    /// Returns the fault itself, or that one of the files was lost, which explains every outage and is none.
    pub(super) fn unless_lost(&self, fault: Fault) -> Fault {
        match (fault, self.still_there()) {
            (Fault::Outage(_), Err(lost @ Fault::Other(_))) => lost,
            (fault, _) => fault,
        }
    }
}

/// Returns true where there is no file of that name, or no folder.
fn is_gone(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Like [`Path::try_exists`], but true for a symlink whose target does not exist.
pub(super) fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(why),
    }
}

/// Resolves the folder of a path, and fails where others could replace files in it. The folder itself may be reached
/// through symlinks.
pub(super) fn resolve(path: &Path, name: &StoreName) -> Result<PathBuf, StoreError> {
    resolve_named(path, |why| name.unavailable(why))
}

fn resolve_named(path: &Path, refused: impl Fn(String) -> StoreError) -> Result<PathBuf, StoreError> {
    let file = path.file_name().ok_or_else(|| refused("this is not the path of a file".to_owned()))?;
    let folder =
        folder_of(path).canonicalize().map_err(|why| refused(format!("its folder: {}", write_fault(path, &why))))?;
    judge(&folder, Use::Folder)?;
    Ok(folder.join(file))
}

/// Creates a file with mode 0600. `create_new` follows no symlink.
pub(super) fn create_owner_only(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)
}

/// Syncs the folder of a file, so that the file's name is durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Fails where the path is not a regular file, or others could read or write it.
fn check_file(path: &Path, name: &StoreName) -> Result<Metadata, StoreError> {
    let found = fs::symlink_metadata(path).map_err(|why| name.unavailable(why))?;
    if !found.is_file() {
        return Err(name.unavailable(format!("{} is not a regular file; symlinks are refused", path.display())));
    }
    judge(path, Use::Secret)?;
    Ok(found)
}

/// Fails where a path's owner or mode breaks the rule. The file is not opened: to close it would drop SQLite's locks.
fn judge(path: &Path, purpose: Use) -> Result<(), StoreError> {
    let breaches = Rule::of_process(false).judge_path(path, purpose);
    if breaches.is_empty() { Ok(()) } else { Err(StoreError::Access(breaches)) }
}

/// Breaches of the rule in a store's folder and files.
pub(in crate::store) fn breaches(path: &Path, rule: &Rule) -> Breaches {
    let mut breaches = rule.judge_path(folder_of(path), Use::Folder);
    // Where there is no store, the files beside it are a stray log: whoever opens or restores the store names that.
    if !breaches.are_of_owner() && path.exists() {
        for suffix in [""].into_iter().chain(WAL_FILES) {
            breaches.extend(rule.judge_path(&with_suffix(path, suffix), Use::Secret));
        }
    }
    breaches
}

/// Checks SQLite's `-wal` or `-shm` file, if there is one. SQLite gives them the mode of the store's file, so that
/// somebody else made one that has another mode.
fn check_companion(path: &Path, name: &StoreName) -> Result<(), StoreError> {
    match exists(path) {
        Ok(true) => match check_file(path, name) {
            // Another process deletes these files when it is the last to close the store.
            Err(_) if matches!(exists(path), Ok(false)) => Ok(()),
            checked => checked.map(drop),
        },
        Ok(false) => Ok(()),
        Err(why) => Err(name.unavailable(why)),
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// A new, empty file for a copy of the store. It is deleted again unless [`NewCopy::keep`] is called.
pub(super) struct NewCopy {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl NewCopy {
    /// Creates the file. Fails where it exists, or others could replace files in its folder.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let refused = |path: &Path, why: String| StoreError::Backup { path: path.display().to_string(), why };
        let path = resolve_named(path, |why| refused(path, why))?;
        let file = create_owner_only(&path).map_err(|why| refused(&path, cannot_create(&path, &why)))?;
        Ok(Self { path, file, kept: false })
    }

    /// Returns the path, with its folder resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the copy durable.
    pub(super) fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        sync_folder(&self.path)?;
        self.kept = true;
        Ok(())
    }
}

fn cannot_create(path: &Path, why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::AlreadyExists => {
            "exists, and is not overwritten: name another file, or move this one away".to_owned()
        }
        _ => write_fault(path, why),
    }
}

impl Drop for NewCopy {
    fn drop(&mut self) {
        if !self.kept {
            // An incomplete copy must not be taken for a backup. The error that led here is reported already.
            let _ = fs::remove_file(&self.path);
        }
    }
}
