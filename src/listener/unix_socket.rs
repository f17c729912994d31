//! Unix socket: it belongs to one user, and accepts that user and root.

use std::{
    fs::Permissions,
    io::{self, Write as _},
    os::{
        fd::AsFd,
        unix::{fs::PermissionsExt as _, net::UnixListener as StdUnixListener},
    },
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{Mode, fchmod},
    process::geteuid,
};
use tokio::net::{UnixSocket, UnixStream};
use tracing::warn;

use super::{
    SocketPeer,
    peer::Peer,
    socket::BACKLOG,
    socket_error::{SocketError, SocketFault},
    socket_file::{Inode, SocketFile, SocketFolder, is_answered},
    transport::{Accept, Accepted},
};

/// Mode of the socket: its owner may connect, and root.
const MODE: u32 = 0o600;

/// Longest path of a socket, in bytes: the kernel's field has one more, which ends the text.
const MAX_PATH: usize = 107;

/// Listening unix socket. Its file is removed when the last of its listeners is dropped.
#[derive(Debug)]
pub struct UnixListener {
    unix: tokio::net::UnixListener,
    file: Arc<SocketFile>,
}

/// Listens on a socket at this path, in a folder of our own that nobody else may enter. A socket on which nobody
/// answers is replaced. Call it within the runtime.
///
/// # Errors
/// [`SocketError`].
pub fn bind_unix(path: &Path) -> Result<UnixListener, SocketError> {
    try_bind(path).map_err(|fault| SocketError { path: path.to_owned(), fault })
}

fn try_bind(path: &Path) -> Result<UnixListener, SocketFault> {
    // A longer one could be made by another name, but nobody could connect to it.
    if path.as_os_str().len() > MAX_PATH {
        return Err(SocketFault::TooLong);
    }
    let folder = SocketFolder::open(path)?;
    let (unix, inode) = bind_in(&folder, path)?;
    Ok(UnixListener { unix, file: Arc::new(SocketFile::new(folder, path, inode)) })
}

fn bind_in(folder: &SocketFolder, path: &Path) -> Result<(tokio::net::UnixListener, Inode), SocketFault> {
    // Two processes that start at once, or one that ends meanwhile, must not remove each other's socket.
    let _lock = folder.lock()?;
    if Inode::of_socket(path)?.is_some() && is_answered(path)? {
        return Err(SocketFault::InUse);
    }
    let new = folder.temporary();
    // One that is there was left by a process that was killed.
    let _ = std::fs::remove_file(&new);
    let unix = listen(&new).map_err(SocketFault::bind)?;
    let inode = Inode::of_socket(&new)?.ok_or(SocketFault::Replaced)?;
    std::fs::rename(&new, path)?;
    Ok((unix, inode))
}

/// Makes a socket that has its mode from its first moment on, and that nobody can connect to before.
fn listen(path: &Path) -> io::Result<tokio::net::UnixListener> {
    let socket = UnixSocket::new_stream()?;
    // Linux makes the file with the mode of the socket, less the umask.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)
}

impl UnixListener {
    /// Returns the path of the socket.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns the same socket once more, as [`Listener::again`](super::Listener::again) does.
    ///
    /// # Errors
    /// [`SocketError`] where the system has no descriptor for it.
    pub fn again(&self) -> Result<Self, SocketError> {
        let again = self.unix.as_fd().try_clone_to_owned().map(StdUnixListener::from).and_then(|socket| {
            socket.set_nonblocking(true)?;
            tokio::net::UnixListener::from_std(socket)
        });
        let unix = again.map_err(|why| SocketError { path: self.path().to_owned(), fault: why.into() })?;
        Ok(Self { unix, file: Arc::clone(&self.file) })
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    fn name(&self) -> String {
        self.path().display().to_string()
    }

    async fn accept(&self) -> Accepted<UnixStream> {
        loop {
            let (stream, _) = self.unix.accept().await?;
            if let Some(peer) = admitted(&stream) {
                return Ok((stream, peer));
            }
        }
    }

    fn into_waiting(self) -> io::Result<impl FnMut() -> Accepted<UnixStream>> {
        // No client finds the socket from now on.
        drop(self.file);
        let listener = self.unix.into_std()?;
        Ok(move || {
            loop {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                let stream = UnixStream::from_std(stream)?;
                if let Some(peer) = admitted(&stream) {
                    return Ok((stream, peer));
                }
            }
        })
    }

    fn write_and_close(stream: UnixStream, bytes: &[u8]) -> io::Result<()> {
        stream.into_std()?.write(bytes).map(drop)
    }
}

/// Returns the process at the other end, where it is of our own user or root. The kernel knows the user from the moment
/// of the connection.
fn admitted(stream: &UnixStream) -> Option<Peer> {
    let uid = stream.peer_cred().ok()?.uid();
    if uid == 0 || uid == geteuid().as_raw() {
        return Some(Peer::Socket(SocketPeer { uid }));
    }
    warn!(uid, "a connection to the unix socket is refused: only this service's user and root may use it");
    None
}
