//! The store's file: made for its owner alone, and refused where others could read or replace it.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::errors::StoreName;
use crate::store::StoreError;

/// The only mode a file of the store may have.
const OWNER_ONLY: u32 = 0o600;
/// Others may delete and replace what is in a folder with one of these bits, unless it is sticky.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// The store's file, as it was when the store was opened.
pub(super) struct StoreFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl StoreFile {
    /// Checks the file, or makes an empty one.
    pub(super) fn prepare(path: &Path, name: &StoreName) -> Result<Self, StoreError> {
        let path = resolve(path, name)?;
        if !exists(&path).map_err(|why| name.unavailable(why))? {
            create(&path).map_err(|why| name.unavailable(why))?;
        }
        let found = check_file(&path, name)?;
        for beside in ["-wal", "-shm"] {
            check_beside(&with_suffix(&path, beside), name)?;
        }
        Ok(Self { path, identity: identity(&found) })
    }

    /// The path, with its folder resolved.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails where the file was deleted or replaced since: what is written now would be lost at the next start.
    pub(super) fn still_there(&self, name: &StoreName) -> Result<(), StoreError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Ok(_) => Err(name.unavailable("the file was replaced while it was in use; restart countersign")),
            Err(why) => Err(name.unavailable(format!("the file was removed while it was in use ({why})"))),
        }
    }
}

/// Like `try_exists`, but a symlink exists even where it leads nowhere.
fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(why),
    }
}

/// The path with its folder resolved and found safe. Symlinks above the folder are the operator's business.
fn resolve(path: &Path, name: &StoreName) -> Result<PathBuf, StoreError> {
    let file = path.file_name().ok_or_else(|| name.unavailable("this is no path of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|why| name.unavailable(format!("its folder: {why}")))?;
    let mode = fs::metadata(&folder).map_err(|why| name.unavailable(why))?.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0 {
        return Err(loose(&folder, mode, mode & !WRITABLE_BY_OTHERS));
    }
    Ok(folder.join(file))
}

/// Makes an empty file. It is not opened where it exists: closing a file that the engine has open too, in this
/// process, would drop the engine's locks (POSIX `fcntl`).
fn create(path: &Path) -> io::Result<()> {
    match create_owner_only(path) {
        Ok(file) => file.sync_all().and_then(|()| sync_folder(path)),
        // Another process was faster.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(why) => Err(why),
    }
}

/// A new file for the owner alone; `create_new` follows no symlink.
fn create_owner_only(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)
}

/// Makes the names in a file's folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn check_file(path: &Path, name: &StoreName) -> Result<Metadata, StoreError> {
    let found = fs::symlink_metadata(path).map_err(|why| name.unavailable(why))?;
    if !found.is_file() {
        return Err(name.unavailable(format!("{} is not a regular file; symlinks are refused", path.display())));
    }
    let mode = found.mode() & 0o7777;
    if mode & OPEN_TO_OTHERS == 0 { Ok(found) } else { Err(loose(path, mode, OWNER_ONLY)) }
}

/// The engine gives the files beside the store its mode, so one that has another was put there.
fn check_beside(path: &Path, name: &StoreName) -> Result<(), StoreError> {
    match exists(path) {
        Ok(true) => match check_file(path, name) {
            // Another process that closes the store deletes them.
            Err(StoreError::Unavailable { .. }) if matches!(exists(path), Ok(false)) => Ok(()),
            checked => checked.map(drop),
        },
        Ok(false) => Ok(()),
        Err(why) => Err(name.unavailable(why)),
    }
}

fn loose(path: &Path, mode: u32, wanted: u32) -> StoreError {
    StoreError::LooseMode { path: path.display().to_string(), mode, wanted }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// A new, empty file for a copy of the store. Unless [`NewCopy::keep`] is called, it goes again.
pub(super) struct NewCopy {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl NewCopy {
    pub(super) fn create(path: &Path, name: &StoreName) -> Result<Self, StoreError> {
        let path = resolve(path, name)?;
        let file = create_owner_only(&path)
            .map_err(|why| name.unavailable(format!("cannot make the copy {}: {why}", path.display())))?;
        Ok(Self { path, file, kept: false })
    }

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

impl Drop for NewCopy {
    fn drop(&mut self) {
        if !self.kept {
            // Half a copy is worse than none; what goes wrong here was told already.
            let _ = fs::remove_file(&self.path);
        }
    }
}
