//! Listening sockets.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener as StdTcpListener},
    os::fd::AsFd,
};

use rustix::io::Errno;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{
    peer::Peer,
    socket_error::SocketError,
    transport::{Accept, Accepted},
};
use crate::telemetry::TOO_FEW_FILES;

/// Number of connections that the kernel may keep waiting to be accepted (it lowers this to its own limit).
pub(super) const BACKLOG: u32 = 1024;

/// Listening socket.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    fn new(tcp: TcpListener) -> io::Result<Self> {
        let address = tcp.local_addr()?;
        Ok(Self { tcp, address })
    }

    /// Returns the address that it listens on, with the chosen port where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the same socket once more: connections go to whichever of the two accepts them, and the socket is closed
    /// when both are dropped.
    ///
    /// # Errors
    /// [`ListenError::NoMoreFiles`] where the process may have no descriptor for it.
    pub fn again(&self) -> Result<Self, ListenError> {
        let again = self.tcp.as_fd().try_clone_to_owned().map(StdTcpListener::from).and_then(adopt);
        again.map_err(|why| ListenError::of(self.address, why))
    }
}

impl Accept for Listener {
    type Stream = TcpStream;

    fn name(&self) -> String {
        self.address.to_string()
    }

    async fn accept(&self) -> Accepted<TcpStream> {
        let (stream, client) = self.tcp.accept().await?;
        accepted(stream, client, self.address)
    }

    fn into_waiting(self) -> io::Result<impl FnMut() -> Accepted<TcpStream>> {
        let (listener, address) = (self.tcp.into_std()?, self.address);
        Ok(move || {
            let (stream, client) = listener.accept()?;
            stream.set_nonblocking(true)?;
            accepted(TcpStream::from_std(stream)?, client, address)
        })
    }

    fn write_and_close(stream: TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.into_std()?.write(bytes).map(drop)
    }
}

/// Completes a connection to a listener with this address.
fn accepted(stream: TcpStream, client: SocketAddr, listener: SocketAddr) -> Accepted<TcpStream> {
    // Answers are written whole, so Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let local = if listener.ip().is_unspecified() { stream.local_addr()? } else { listener };
    Ok((stream, Peer::Tcp { client, local: Some(local) }))
}

/// Failure to listen. The message tells what to do.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another process listens there.
    #[error(
        "{0} is already in use: stop the process that listens there (`ss -ltnp` shows it), or configure another address (`listen`, `ops_listen`)"
    )]
    InUse(SocketAddr),
    /// The port needs a privilege.
    #[error(
        "may not listen on {0}: ports below 1024 need CAP_NET_BIND_SERVICE; use a higher port, or socket activation"
    )]
    Denied(SocketAddr),
    /// Not an address of this machine.
    #[error("{0} is not an address of this machine: `listen` must name one of its own, or 0.0.0.0 or [::] for all")]
    NotOurs(SocketAddr),
    /// The process may open no more files.
    #[error("cannot listen on {0}: {TOO_FEW_FILES}")]
    NoMoreFiles(SocketAddr),
    /// Any other error.
    #[error("cannot listen on {address}: {why}")]
    Other { address: SocketAddr, why: io::Error },
    /// An inherited socket cannot be used.
    #[error(
        "socket {index} of LISTEN_FDS cannot be used ({why}): pass listening TCP sockets, the public one first, then ops"
    )]
    Inherited {
        /// Position of the socket in `LISTEN_FDS`, from 0.
        index: usize,
        why: io::Error,
    },
    /// More sockets were inherited than there is use for.
    #[error(
        "socket {index} of LISTEN_FDS is one too many: pass one named `public` and one named `ops` (`FileDescriptorName=` in a \
         unit; a drop-in that replaces an address begins with an empty `ListenStream=`)"
    )]
    Surplus {
        /// Position of the socket in `LISTEN_FDS`, from 0.
        index: usize,
    },
    /// A unix socket cannot be had.
    #[error(transparent)]
    Unix(#[from] SocketError),
}

impl ListenError {
    fn of(address: SocketAddr, why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Denied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotOurs(address),
            _ if Errno::from_io_error(&why) == Some(Errno::MFILE) => Self::NoMoreFiles(address),
            _ => Self::Other { address, why },
        }
    }
}

/// Listens on this address. Call it within the runtime.
///
/// # Errors
/// [`ListenError`].
pub fn bind(address: SocketAddr) -> Result<Listener, ListenError> {
    try_bind(address).map_err(|why| ListenError::of(address, why))
}

fn try_bind(address: SocketAddr) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the last process's connections to leave TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Listener::new(socket.listen(BACKLOG)?)
}

pub(super) fn adopt(socket: StdTcpListener) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    Listener::new(TcpListener::from_std(socket)?)
}
