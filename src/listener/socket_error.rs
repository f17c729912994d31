//! Failure to listen on a unix socket. The message tells what to do.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Failure to listen on a unix socket.
#[derive(Debug, Error)]
#[error("{}: {fault}", path.display())]
pub struct SocketError {
    pub path: PathBuf,
    pub fault: SocketFault,
}

/// Reason why a unix socket cannot be had.
#[derive(Debug, Error)]
pub enum SocketFault {
    /// Another process answers there.
    #[error(
        "another process answers on this socket: stop it (`ss -lxp` shows it), or configure another `ops_socket` in [server]"
    )]
    InUse,
    /// The path is of something else.
    #[error(
        "this is a {0} and no socket, and is not replaced: remove it, or configure another `ops_socket` in [server]"
    )]
    NoSocket(&'static str),
    /// The path has no folder.
    #[error("`ops_socket` in [server] must be an absolute path in a folder of its own, like /run/countersign/ops.sock")]
    NoFolder,
    /// The folder is not there, and cannot be made.
    #[error(
        "the folder {} cannot be made ({why}): make it with `install -d -m 0700 {}`, as the user of this service",
        .folder.display(), .folder.display()
    )]
    FolderNotMade { folder: PathBuf, why: io::Error },
    /// The folder cannot be used as one.
    #[error(
        "the folder {} cannot be used ({why}): it must be a folder, and no link; configure another `ops_socket` in [server]",
        .folder.display()
    )]
    FolderUnusable { folder: PathBuf, why: io::Error },
    /// Other users may enter the folder.
    #[error(
        "the folder {} has the mode {mode:04o}, and must have 0700, so that nobody else can reach the socket: run `chmod 0700 {}`, or configure an `ops_socket` in a folder of its own",
        .folder.display(), .folder.display()
    )]
    FolderTooWide { folder: PathBuf, mode: u32 },
    /// The folder is another user's.
    #[error(
        "the folder {} belongs to user {owner}, and this process is user {user}: give it to this user (`chown {user} {}`), or configure an `ops_socket` in a folder of its own",
        .folder.display(), .folder.display()
    )]
    FolderForeign { folder: PathBuf, owner: u32, user: u32 },
    /// The path is longer than the system allows.
    #[error(
        "the path is too long for a socket: configure a shorter `ops_socket` in [server], like /run/countersign/ops.sock"
    )]
    TooLong,
    /// The new socket vanished.
    #[error("another process removed the new socket at once: start again, and give the folder to this service alone")]
    Replaced,
    /// Any other error.
    #[error("cannot listen on this socket: {0}")]
    Other(#[from] io::Error),
}

impl SocketFault {
    /// Makes the fault of a socket that cannot be bound. In a folder with a long name the temporary one may be too long.
    pub(super) fn bind(why: io::Error) -> Self {
        if why.kind() == io::ErrorKind::InvalidInput { Self::TooLong } else { Self::Other(why) }
    }
}
