//! Addresses of clients: the network in which they are counted, and the client's address behind proxies. Addresses of
//! others: the ones that this service may dial ([`outbound`]). Names by which a listener may be called.

mod allowed_host;
mod forwarded;
pub mod outbound;

use std::net::{IpAddr, Ipv6Addr};

pub use allowed_host::{AllowedHost, NamedHost, NotHost};
pub use forwarded::{ForwardedHeader, TrustedProxies};

/// Bits of an IPv6 address that name the network; the other half names the interface (RFC 4291 §2.5.1).
const IPV6_NETWORK_BITS: u32 = 64;

/// Returns the network that stands for one client: an IPv4 address itself, the /64 of an IPv6 address.
///
/// An IPv6 host may use any address of its /64, so that a single address does not identify it. An IPv4-mapped IPv6
/// address (RFC 4291 §2.5.5.2) counts as its IPv4 address.
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let interface = u128::MAX >> IPV6_NETWORK_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !interface))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_and_an_ipv6_network_are_one_client() {
        for (address, network) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::"),
            ("2001:db8::ffff:1", "2001:db8::"),
            ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ] {
            assert_eq!(client_network(address.parse().unwrap()), network.parse::<IpAddr>().unwrap(), "{address}");
        }
    }
}
