//! Address of the client behind proxies: from `X-Forwarded-For`, or from `Forwarded` (RFC 7239).
//!
//! Both are lists to which each proxy appends the address that connected to it. A client can send a list of its own,
//! so a list is read from its end, and only as far as the hops are trusted. Bytes left of that may be anything: no
//! quote, comma or byte in them changes the part that the trusted proxies wrote.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Header from which the client's address is taken. The operator chooses it: a proxy that sets one of them hands the
/// other one on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    #[default]
    XForwardedFor,
    Forwarded,
}

impl ForwardedHeader {
    /// Returns the name of the header.
    pub fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => X_FORWARDED_FOR,
            Self::Forwarded => FORWARDED,
        }
    }

    /// Returns the last hop of a list, and the list before it.
    fn split_last(self, list: &[u8]) -> (&[u8], &[u8]) {
        let comma = match self {
            Self::XForwardedFor => list.iter().rposition(|byte| *byte == b','),
            Self::Forwarded => last_outside_quotes(list, b','),
        };
        comma.map_or((&[], list), |comma| (&list[..comma], &list[comma + 1..]))
    }

    fn hop(self, text: &[u8]) -> Option<IpAddr> {
        match self {
            Self::XForwardedFor => node(text),
            Self::Forwarded => node(for_parameter(text)?),
        }
    }
}

/// Networks of the proxies in front of this service, and the header that they set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    pub header: ForwardedHeader,
}

impl TrustedProxies {
    /// Returns true where this address is one of the proxies.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Returns the address of the client: the peer's, or, behind trusted proxies, the last one in their list that is
    /// not a trusted proxy. An entry that is no address (`unknown`, `_hidden`) ends the walk at the proxy that wrote
    /// it.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        for line in headers.get_all(self.header.name()).iter().rev() {
            let mut rest = line.as_bytes();
            while !rest.is_empty() {
                let (before, hop) = self.header.split_last(rest);
                rest = before;
                // Empty entries are ignored (RFC 9110 §5.6.1).
                if hop.trim_ascii().is_empty() {
                    continue;
                }
                let Some(hop) = self.header.hop(hop) else { return client };
                client = hop.to_canonical();
                if !self.contains(client) {
                    return client;
                }
            }
        }
        client
    }
}

/// Reads an address as proxies write it: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:443`, each of them also in quotes (RFC 7239 §6).
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_ascii();
    let text = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"'))?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_port.then_some(address.parse::<Ipv6Addr>().ok()?.into());
    }
    if let Some((address, port)) = text.split_once(':')
        && let Ok(address) = address.parse::<Ipv4Addr>()
    {
        return is_port(port).then_some(address.into());
    }
    text.parse().ok()
}

/// Returns true for a port, or for the name that hides one (RFC 7239 §6.3).
fn is_port(text: &str) -> bool {
    let hidden = text.strip_prefix('_').is_some_and(|name| !name.is_empty());
    hidden || ((1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the value of `for=` in one element of `Forwarded`, where there is exactly one (RFC 7239 §4).
fn for_parameter(element: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let semicolon = last_outside_quotes(pairs, b';');
        let pair = semicolon.map_or(pairs, |at| &pairs[at + 1..]).trim_ascii();
        rest = semicolon.map(|at| &pairs[..at]);
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        if pair[..equals].eq_ignore_ascii_case(b"for") && found.replace(&pair[equals + 1..]).is_some() {
            return None;
        }
    }
    found
}

/// Returns the position of the last such byte that is not within a quoted string (RFC 9110 §5.6.4), read from the end.
fn last_outside_quotes(text: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in text.iter().enumerate().rev() {
        let escaped = || text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
        match *byte {
            b'"' if !(quoted && escaped()) => quoted = !quoted,
            byte if byte == wanted && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    fn proxies(header: ForwardedHeader) -> TrustedProxies {
        TrustedProxies { networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()], header }
    }

    fn headers(header: ForwardedHeader, lines: &[Vec<u8>]) -> HeaderMap {
        lines.iter().map(|line| (header.name(), HeaderValue::from_bytes(line).unwrap())).collect()
    }

    #[track_caller]
    fn client_is(header: ForwardedHeader, peer: &str, lines: &[&str], expected: &str) {
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let client = proxies(header).client_address(ip(peer), &headers(header, &lines));
        assert_eq!(
            client,
            ip(expected),
            "{peer} {:?}",
            lines.iter().map(|l| l.escape_ascii().to_string()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_hops_only() {
        for (peer, lines, expected) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["junk"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["10.0.0.3", "10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            client_is(ForwardedHeader::XForwardedFor, peer, lines, expected);
        }
    }

    /// The forms that proxies were seen to send.
    #[test]
    fn every_form_of_x_forwarded_for_is_read() {
        for (form, expected) in [
            ("203.0.113.9:51234", "203.0.113.9"),
            ("[2001:db8::9]:51234", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("\"203.0.113.9\"", "203.0.113.9"),
            ("203.0.113.9,", "203.0.113.9"),
            ("203.0.113.9", "203.0.113.9"),
            ("2001:db8::9", "2001:db8::9"),
            (" 203.0.113.9 , ,\t", "203.0.113.9"),
            ("\"[2001:db8::9]:51234\"", "2001:db8::9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            client_is(ForwardedHeader::XForwardedFor, "10.0.0.1", &[form], expected);
        }
        for form in
            ["203.0.113.9:", "203.0.113.9:x", "[2001:db8::9", "[203.0.113.9]", "\"203.0.113.9", "203.0.113", "_x"]
        {
            client_is(ForwardedHeader::XForwardedFor, "10.0.0.1", &["198.51.100.7", form], "10.0.0.1");
        }
    }

    /// The forms of RFC 7239 §4 and §6.
    #[test]
    fn every_form_of_forwarded_is_read() {
        for (form, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=203.0.113.9;proto=http;by=203.0.113.43", "203.0.113.9"),
            ("proto=https; host=\"a;b,c\\\"d\" ;for=\"203.0.113.9:_port\"", "203.0.113.9"),
            ("for=192.0.2.43, for=203.0.113.9", "203.0.113.9"),
            ("for=203.0.113.9, for=\"[fd00::1]\"", "203.0.113.9"),
            ("for=198.51.100.7, for=unknown", "10.0.0.1"),
            ("for=198.51.100.7, for=_hidden", "10.0.0.1"),
            ("for=198.51.100.7, proto=https", "10.0.0.1"),
            ("for=198.51.100.7;for=198.51.100.8", "10.0.0.1"),
        ] {
            client_is(ForwardedHeader::Forwarded, "10.0.0.1", &[form], expected);
        }
    }

    #[test]
    fn the_header_that_was_not_chosen_is_ignored() {
        let chosen = proxies(ForwardedHeader::Forwarded);
        let other = headers(ForwardedHeader::XForwardedFor, &[b"203.0.113.9".to_vec()]);
        assert_eq!(chosen.client_address(ip("10.0.0.1"), &other), ip("10.0.0.1"));
    }

    /// Bytes of a header's value, with those that mean something here more often.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let telling = prop::sample::select(&b"\",;=\\[]:. \tfor10"[..]);
        let byte = prop_oneof![4 => telling, 1 => (0x20..=0xffu8).prop_filter("DEL", |byte| *byte != 0x7f)];
        prop::collection::vec(byte, 0..60)
    }

    fn either() -> impl Strategy<Value = ForwardedHeader> {
        prop::sample::select(&[ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded][..])
    }

    /// The entry that a proxy appends for this address.
    fn entry(header: ForwardedHeader, address: IpAddr) -> String {
        match (header, address) {
            (ForwardedHeader::XForwardedFor, _) => address.to_string(),
            (ForwardedHeader::Forwarded, IpAddr::V4(_)) => format!("proto=https;for={address}"),
            (ForwardedHeader::Forwarded, IpAddr::V6(_)) => format!("for=\"[{address}]:443\";host=\"a,b\""),
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in either(), lines in prop::collection::vec(bytes(), 0..4)) {
            let _ = proxies(header).client_address(ip("10.0.0.1"), &headers(header, &lines));
        }

        #[test]
        fn an_untrusted_peer_is_the_client(header in either(), lines in prop::collection::vec(bytes(), 0..4)) {
            prop_assert_eq!(proxies(header).client_address(ip("192.0.2.1"), &headers(header, &lines)), ip("192.0.2.1"));
        }

        #[test]
        fn a_claim_of_an_untrusted_hop_is_never_believed(
            header in either(),
            mut lines in prop::collection::vec(bytes(), 0..4),
            client in prop::sample::select(&["192.0.2.1", "2001:db8::1"][..]),
            proxies_between in 0..3usize,
            same_line in any::<bool>(),
        ) {
            let mut appended = entry(header, ip(client));
            for hop in 0..proxies_between {
                appended = format!("{appended}, {}", entry(header, ip(["10.0.0.7", "fd00::7"][hop % 2])));
            }
            match lines.last_mut() {
                Some(last) if same_line => last.extend_from_slice(format!(", {appended}").as_bytes()),
                _ => lines.push(appended.into_bytes()),
            }
            prop_assert_eq!(proxies(header).client_address(ip("10.0.0.1"), &headers(header, &lines)), ip(client));
        }
    }
}
