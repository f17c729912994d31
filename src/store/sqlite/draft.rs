//! File that is to become the store: made under another name in the store's folder, then renamed. A process that is
//! killed at any point leaves no store or a whole one, and the next attempt begins anew.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{
    connect,
    errors::StoreName,
    file::{create_owner_only, exists, resolve, sync_folder, with_suffix},
};
use crate::{
    files::{folder_of, write_fault},
    store::StoreError,
};

/// Ending of the draft's name.
const UNFINISHED: &str = ".unfinished";
/// SQLite's files beside a database. Those of a lost store would be replayed on the new one.
pub(super) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Unfinished store. It is deleted again unless [`Draft::put_in_place`] is called.
pub(super) struct Draft {
    path: PathBuf,
    place: PathBuf,
    name: StoreName,
    /// Folder, locked until this is dropped: the draft of another process is not taken for the rest of a dead one.
    _folder: File,
}

impl Draft {
    /// Creates an empty draft, in place of one that another process left unfinished. Waits for another process that is
    /// making a store in this folder.
    pub(super) fn begin(store: &Path, name: &StoreName) -> Result<Self, StoreError> {
        let place = resolve(store, name)?;
        let folder = lock_folder(&place).map_err(|why| name.unavailable(format!("its folder: {why}")))?;
        refuse_existing(&place, name)?;
        let path = draft_path(&place);
        let made = remove(&path).and_then(|()| create_owner_only(&path).map(drop));
        made.map_err(|why| name.unavailable(format!("{}: {}", path.display(), write_fault(&path, &why))))?;
        Ok(Self { path, place, name: name.clone(), _folder: folder })
    }

    /// Returns the path of the draft.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the draft the store. No connection to it may be open.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where somebody else made a store meanwhile.
    pub(super) fn put_in_place(self) -> Result<(), StoreError> {
        // Whatever is still in a log of the draft moves into the draft.
        drop(self.name.check(connect::alone(&self.path))?);
        refuse_existing(&self.place, &self.name)?;
        refuse_log(&self.path, &self.name)?;
        let done = File::open(&self.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| rename_new(&self.path, &self.place))
            .and_then(|()| sync_folder(&self.place));
        match done {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Err(exists_already(&self.place)),
            done => done.map_err(|why| self.name.unavailable(write_fault(&self.place, &why))),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // The error that led here is reported already.
        let _ = remove(&self.path);
    }
}

/// Returns the path of the draft of the store at this path.
pub(super) fn draft_path(place: &Path) -> PathBuf {
    with_suffix(place, UNFINISHED)
}

fn lock_folder(place: &Path) -> io::Result<File> {
    let folder = File::open(folder_of(place))?;
    folder.lock()?;
    Ok(folder)
}

/// Removes a draft and SQLite's files beside it.
fn remove(draft: &Path) -> io::Result<()> {
    [""].into_iter().chain(COMPANIONS).try_for_each(|suffix| match fs::remove_file(with_suffix(draft, suffix)) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    })
}

/// Renames a file; never replaces one.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system cannot do that in one step. A link does not replace a file either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        renamed => Ok(renamed?),
    }
}

fn refuse_existing(place: &Path, name: &StoreName) -> Result<(), StoreError> {
    if exists(place).map_err(|why| name.unavailable(why))? {
        return Err(exists_already(place));
    }
    refuse_log(place, name)
}

/// Fails where SQLite has files beside this one.
fn refuse_log(file: &Path, name: &StoreName) -> Result<(), StoreError> {
    for path in COMPANIONS.map(|suffix| with_suffix(file, suffix)) {
        if exists(&path).map_err(|why| name.unavailable(why))? {
            return Err(exists_already(&path));
        }
    }
    Ok(())
}

fn exists_already(path: &Path) -> StoreError {
    let why = "exists: stop the service and move the store's file, and its -wal and -shm, away first";
    StoreError::Exists { path: path.display().to_string(), why: why.to_owned() }
}
