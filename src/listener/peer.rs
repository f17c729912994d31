//! Other end of a connection.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use axum::{extract::ConnectInfo, http::Extensions};

/// Process at the other end of a unix socket. Each request that comes over one has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPeer {
    /// Its user: that of this process, or root.
    pub uid: u32,
}

/// Address of this machine at which a TCP connection arrived. Each request that comes over TCP has it as
/// an extension, where the service asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress(pub SocketAddr);

/// Other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    /// Client, and the address that it has reached, where the routes are told.
    Tcp { client: SocketAddr, local: Option<SocketAddr> },
    /// Process of this machine.
    Socket(SocketPeer),
}

impl Peer {
    /// Returns the address that stands for the client where connections are counted. All processes are one client.
    pub(super) fn address(&self) -> IpAddr {
        match self {
            Self::Tcp { client, .. } => client.ip(),
            Self::Socket(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// Leaves out the address that the client has reached: one entry more costs every request some 300 instructions.
    pub(super) fn without_local_address(self) -> Self {
        match self {
            Self::Tcp { client, .. } => Self::Tcp { client, local: None },
            Self::Socket(_) => self,
        }
    }

    /// Tells the routes of it.
    pub(super) fn extend(&self, extensions: &mut Extensions) {
        match self {
            Self::Tcp { client, local } => {
                extensions.insert(ConnectInfo(*client));
                if let Some(local) = local {
                    extensions.insert(LocalAddress(*local));
                }
            }
            Self::Socket(peer) => {
                extensions.insert(*peer);
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { client, .. } => client.fmt(f),
            Self::Socket(peer) => write!(f, "uid {}", peer.uid),
        }
    }
}
