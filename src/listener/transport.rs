//! Byte stream of a client, and the listening sockets from which it comes.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::peer::Peer;

/// Byte stream of a client.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// Returns true where bytes have arrived that nobody has read, even where the runtime does not know of them yet.
    fn has_unread(&self) -> bool;
}

impl Transport for TcpStream {
    fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(self).is_ok_and(|bytes| bytes > 0)
    }
}

impl Transport for UnixStream {
    fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(self).is_ok_and(|bytes| bytes > 0)
    }
}

/// Accepted connection.
pub(super) type Accepted<S> = io::Result<(S, Peer)>;

/// Listening socket.
pub(super) trait Accept: Send + Sync + Sized {
    type Stream: Transport + Send + 'static;

    /// Returns the name of the socket in the log.
    fn name(&self) -> String;

    /// Accepts a connection. Nothing is lost where the future is dropped.
    fn accept(&self) -> impl Future<Output = Accepted<Self::Stream>> + Send;

    /// Takes no connections from now on but those that the kernel has accepted already: a call of the result returns
    /// one of them. The kernel is asked directly, because the runtime may not know of them yet.
    fn into_waiting(self) -> io::Result<impl FnMut() -> Accepted<Self::Stream>>;

    /// Writes the bytes that the socket takes at once, and closes.
    fn write_and_close(stream: Self::Stream, bytes: &[u8]) -> io::Result<()>;
}
