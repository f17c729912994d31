//! Other end of a connection.

/// Process at the other end of a unix socket. Each request that comes over one has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPeer {
    /// Its user: that of this process, or root.
    pub uid: u32,
}
