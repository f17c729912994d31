//! Byte stream of a client.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

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
