//! File of a unix socket, and its folder.

use std::{
    fs::{DirBuilder, symlink_metadata},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, fstat, open},
    io::{Errno, retry_on_intr},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::geteuid,
};
use tracing::debug;

use super::socket_error::SocketFault;

/// Permissions of others.
const OTHERS: u32 = 0o077;

/// Folder of a socket: our own, and closed to everybody else.
#[derive(Debug)]
pub(super) struct SocketFolder {
    path: PathBuf,
    open: OwnedFd,
}

impl SocketFolder {
    /// Opens the folder of the socket at this path, or makes it.
    pub(super) fn open(socket: &Path) -> Result<Self, SocketFault> {
        let path = socket.parent().filter(|_| socket.is_absolute()).ok_or(SocketFault::NoFolder)?.to_owned();
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(SocketFault::FolderNotMade { folder: path, why }),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let found = open(&path, flags, Mode::empty()).and_then(|open| Ok((fstat(&open)?, open)));
        let (found, open) =
            found.map_err(|why| SocketFault::FolderUnusable { folder: path.clone(), why: why.into() })?;
        let (user, mode) = (geteuid().as_raw(), found.st_mode & 0o7777);
        if found.st_uid != user {
            return Err(SocketFault::FolderForeign { folder: path, owner: found.st_uid, user });
        }
        if mode & OTHERS != 0 {
            return Err(SocketFault::FolderTooWide { folder: path, mode });
        }
        Ok(Self { path, open })
    }

    /// Name of a socket that has not got its own yet.
    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join(".new")
    }

    /// Excludes other processes that open or remove a socket here, until the lock is dropped.
    pub(super) fn lock(&self) -> io::Result<FolderLock<'_>> {
        retry_on_intr(|| flock(&self.open, FlockOperation::LockExclusive))?;
        Ok(FolderLock(self))
    }
}

/// Lock of a folder; released on drop.
pub(super) struct FolderLock<'a>(&'a SocketFolder);

impl Drop for FolderLock<'_> {
    fn drop(&mut self) {
        let _ = flock(&self.0.open, FlockOperation::Unlock);
    }
}

/// Identity of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    /// Returns the identity of the socket at this path, where there is one.
    ///
    /// # Errors
    /// [`SocketFault::NoSocket`] where something else is there.
    pub(super) fn of_socket(path: &Path) -> Result<Option<Self>, SocketFault> {
        let found = match symlink_metadata(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let kind = found.file_type();
        if kind.is_socket() {
            return Ok(Some(Self { device: found.dev(), number: found.ino() }));
        }
        let name = if kind.is_dir() {
            "folder"
        } else if kind.is_symlink() {
            "link"
        } else {
            "file"
        };
        Err(SocketFault::NoSocket(name))
    }
}

/// File of a listening socket; removed on drop, where it is still that socket's.
#[derive(Debug)]
pub(super) struct SocketFile {
    folder: SocketFolder,
    path: PathBuf,
    inode: Inode,
}

impl SocketFile {
    pub(super) fn new(folder: SocketFolder, path: &Path, inode: Inode) -> Self {
        Self { folder, path: path.to_owned(), inode }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Ok(_lock) = self.folder.lock() else { return };
        match Inode::of_socket(&self.path) {
            Ok(Some(inode)) if inode == self.inode => {
                let _ = std::fs::remove_file(&self.path);
            }
            _ => debug!(path = %self.path.display(), "the socket is another process's by now, and stays"),
        }
    }
}

/// Returns true where a process accepts connections on this socket, or has too many of them.
pub(super) fn is_answered(path: &Path) -> Result<bool, SocketFault> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(io::Error::from)?;
    let address = SocketAddrUnix::new(path).map_err(io::Error::from)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(why) => Err(SocketFault::Other(why.into())),
    }
}
