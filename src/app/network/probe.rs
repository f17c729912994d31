//! Trial of an address: an empty datagram, which no router passes on. The kernel refuses it at once where a filter drops it; a
//! connection of TCP would only wait (`tcp_connect` in the kernel's `net/ipv4/tcp_output.c`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

use rustix::net::sockopt::set_ipv6_unicast_hops;

/// Port that nothing answers on (RFC 863).
const DISCARD: u16 = 9;

/// Returns true where the kernel refuses to send this process's packets to an address.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    send(address).is_err_and(|why| why.kind() == io::ErrorKind::PermissionDenied)
}

fn send(address: IpAddr) -> io::Result<()> {
    let socket = match address {
        IpAddr::V4(_) => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_ttl(1)?;
            socket
        }
        IpAddr::V6(_) => {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            set_ipv6_unicast_hops(&socket, Some(1))?;
            socket
        }
    };
    socket.connect((address, DISCARD))?;
    socket.send(&[]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stage `unit` has the other case: a unit with `IPAddressDeny=`.
    #[test]
    fn loopback_is_open() {
        assert!(!is_forbidden(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!is_forbidden(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }
}
