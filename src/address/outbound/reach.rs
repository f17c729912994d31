//! Addresses that may be dialled. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that a URL may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Public addresses.
    Public,
    /// Public and private addresses (RFC 1918, RFC 6598, RFC 4193).
    Private,
    /// Loopback addresses, and no others: the URL's host is one of them, or `localhost`.
    Loopback,
}

/// Kind of an address, by what lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    Loopback,
    /// Link-local (with the metadata services of clouds), multicast, unspecified, reserved, documentation.
    Never,
}

impl Reach {
    /// Returns true where an address may be dialled.
    pub fn allows(self, address: IpAddr) -> bool {
        match kind(address) {
            Kind::Public => self != Self::Loopback,
            Kind::Private => self == Self::Private,
            Kind::Loopback => self == Self::Loopback,
            Kind::Never => false,
        }
    }
}

/// Returns true for a host that is a loopback address or `localhost` (RFC 6761 §6.3).
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || literal(host).is_some_and(|address| kind(address) == Kind::Loopback)
}

/// Reads the host of a URL as an address; an IPv6 address stands in brackets.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| kind_v6(address), kind_v4),
    }
}

/// Kind by the IANA registry of special-purpose IPv4 addresses (RFC 6890).
fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, _, _) => Kind::Loopback,
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Kind::Private,
        (0 | 224..=255, _, _)
        | (169, 254, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => Kind::Never,
        _ => Kind::Public,
    }
}

/// Kind of an IPv6 address that has no IPv4 address in it: the block `2000::/3` is routed (RFC 4291 §2.4), less its
/// special blocks.
fn kind_v6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [first, ..] if first & 0xfe00 == 0xfc00 => Kind::Private,
        // Protocol assignments with Teredo (2001::/23), documentation (2001:db8::/32, 3fff::/20).
        [0x2001, second, ..] if second < 0x0200 || second == 0x0db8 => Kind::Never,
        [0x3fff, second, ..] if second < 0x1000 => Kind::Never,
        [first, ..] if first & 0xe000 == 0x2000 => Kind::Public,
        _ => Kind::Never,
    }
}

/// IPv4 address to which a packet for this IPv6 address goes: mapped (RFC 4291 §2.5.5), translated (RFC 6052, RFC 8215)
/// or tunnelled (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        // A network's own prefix of RFC 8215 may translate from any place; the usual one is the last 32 bits.
        | [0x0064, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, _, _, _, _, _] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: [&str; 22] = [
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "100::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ];
    const PRIVATE: [&str; 10] = [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "fc00::1",
        "fd12:3456::1",
        "::ffff:10.0.0.1",
        "64:ff9b::c0a8:101",
    ];
    const LOOPBACK: [&str; 6] =
        ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"];
    const PUBLIC: [&str; 9] = [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "64:ff9b::808:808",
    ];

    #[test]
    fn addresses_are_allowed_by_their_kind() {
        let table: [(&[&str], [bool; 3]); 4] = [
            (&NEVER, [false, false, false]),
            (&PRIVATE, [false, true, false]),
            (&LOOPBACK, [false, false, true]),
            (&PUBLIC, [true, true, false]),
        ];
        for (addresses, expected) in table {
            for address in addresses {
                let parsed: IpAddr = address.parse().unwrap();
                let allowed = [Reach::Public, Reach::Private, Reach::Loopback].map(|reach| reach.allows(parsed));
                assert_eq!(allowed, expected, "{address}");
            }
        }
    }

    #[test]
    fn a_loopback_host_is_a_literal_or_localhost() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.", "a.localhost", "localhost.example.com", "10.0.0.1", "[fe80::1]", "0.0.0.0", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
