//! The store's file. It is made readable and writable by its owner only, and is refused where others could read or
//! replace it, by the rule of [`crate::files`].

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::errors::StoreName;
use crate::{
    files::{Breaches, Rule, Use},
    store::StoreError,
};

/// Mode of a new file of the store.
const OWNER_ONLY: u32 = 0o600;
/// SQLite's files beside the store's file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Path and identity (device and inode) of the store's file when the store was opened.
pub(super) struct StoreFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl StoreFile {
    /// Checks the file, or creates an empty one.
    pub(super) fn prepare(path: &Path, name: &StoreName) -> Result<Self, StoreError> {
        let path = resolve(path, name)?;
        if !exists(&path).map_err(|why| name.unavailable(why))? {
            create(&path).map_err(|why| name.unavailable(why))?;
        }
        let found = check_file(&path, name)?;
        for suffix in COMPANIONS {
            check_companion(&with_suffix(&path, suffix), name)?;
        }
        Ok(Self { path, identity: identity(&found) })
    }

    /// Returns the path, with its folder resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails where the file was removed or replaced while it was in use: writes would be lost at the next start.
    pub(super) fn still_there(&self, name: &StoreName) -> Result<(), StoreError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Ok(_) => Err(name.unavailable("the file was replaced while it was in use; restart countersign")),
            Err(why) => Err(name.unavailable(format!("the file was removed while it was in use ({why})"))),
        }
    }
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
    let file = path.file_name().ok_or_else(|| name.unavailable("this is not the path of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|why| name.unavailable(format!("its folder: {why}")))?;
    judge(&folder, Use::Folder)?;
    Ok(folder.join(file))
}

/// Creates an empty file. A file that exists is not opened: to close it would drop the locks that SQLite holds on it
/// in this process (POSIX `fcntl`).
fn create(path: &Path) -> io::Result<()> {
    match create_owner_only(path) {
        Ok(file) => file.sync_all().and_then(|()| sync_folder(path)),
        // Another process created it first.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(why) => Err(why),
    }
}

/// Creates a file with mode 0600. `create_new` follows no symlink.
fn create_owner_only(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)
}

/// Syncs the folder of a file, so that the file's name is durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut breaches = rule.judge_path(folder, Use::Folder);
    // Where there is no store, the files beside it are a stray log: whoever opens or restores the store names that.
    if !breaches.are_of_owner() && path.exists() {
        for suffix in [""].into_iter().chain(COMPANIONS) {
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

fn identity(found: &Metadata) -> (u64, u64) {
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
    pub(super) fn create(path: &Path, name: &StoreName) -> Result<Self, StoreError> {
        let path = resolve(path, name)?;
        let file = create_owner_only(&path)
            .map_err(|why| StoreError::Backup { path: path.display().to_string(), why: cannot_create(&why) })?;
        Ok(Self { path, file, kept: false })
    }

    /// Returns the path, with its folder resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file, to write to.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the copy durable.
    pub(super) fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        sync_folder(&self.path)?;
        self.kept = true;
        Ok(())
    }
}

fn cannot_create(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::AlreadyExists => "exists: name another file, or move this one away".to_owned(),
        _ => why.to_string(),
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
