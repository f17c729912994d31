//! Names by which a listener may be called.

use std::{fmt, net::IpAddr, str::FromStr};

use http::uri::Authority;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Ports that a client leaves out: those of HTTP and, behind a TLS terminator, of HTTPS.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// Host and port as a request names them (RFC 9110 §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHost {
    /// Name in lower case, or address.
    host: String,
    port: Option<u16>,
}

impl NamedHost {
    /// Reads `Host`, or the authority of a request's target.
    pub fn parse(text: &str) -> Option<Self> {
        let authority = text.parse::<Authority>().ok()?;
        let port = authority.as_str().strip_prefix(authority.host())?;
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            None => return None,
            Some(port) => Some(port.parse().ok()?),
        };
        (!authority.host().is_empty()).then(|| Self { host: authority.host().to_ascii_lowercase(), port })
    }

    /// Returns the address, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.host);
        bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
    }

    /// Returns true for this machine's own name, and its loopback addresses. A name below `localhost` may be resolved
    /// by a server, and is none.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }
}

impl fmt::Display for NamedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.iter().try_for_each(|port| write!(f, ":{port}"))
    }
}

/// Host that operators allow: on every port, or on the named one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(NamedHost);

/// Text that is no host.
#[derive(Debug, Error)]
#[error("{0:?} is no host: write a name, or name:port, like \"countersign.internal:9090\"")]
pub struct NotHost(String);

impl AllowedHost {
    /// Returns true where a request may name this host.
    pub fn allows(&self, named: &NamedHost) -> bool {
        let is_port = |own: u16| named.port.map_or(DEFAULT_PORTS.contains(&own), |port| port == own);
        self.0.host == named.host && self.0.port.is_none_or(is_port)
    }
}

impl FromStr for AllowedHost {
    type Err = NotHost;

    fn from_str(text: &str) -> Result<Self, NotHost> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        let host = NamedHost::parse(text).filter(|_| text.chars().all(is_part) && !text.ends_with(':'));
        host.map(Self).ok_or_else(|| NotHost(text.chars().take(64).collect()))
    }
}

impl Serialize for AllowedHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AllowedHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> NamedHost {
        NamedHost::parse(text).unwrap()
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for text in ["localhost", "LocalHost:9090", "127.0.0.1", "127.9.9.9:1", "[::1]:9090", "[::ffff:127.0.0.1]"] {
            assert!(named(text).is_loopback(), "{text}");
        }
        for text in ["a.localhost", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]", "0.0.0.0"] {
            assert!(!named(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_port_is_compared_where_the_operator_names_one() {
        for (allowed, requested, expected) in [
            ("ops.example.com", "OPS.example.com:1", true),
            ("Ops.Example.com", "ops.example.com", true),
            ("ops.example.com:9090", "ops.example.com:9090", true),
            ("ops.example.com:9090", "ops.example.com:9091", false),
            ("ops.example.com:9090", "ops.example.com", false),
            ("ops.example.com:443", "ops.example.com", true),
            ("ops.example.com", "a.ops.example.com", false),
            ("ops.example.com", "ops.example.com.", false),
            ("[2001:db8::1]", "[2001:db8::1]:9090", true),
        ] {
            let allowed: AllowedHost = allowed.parse().unwrap();
            assert_eq!(allowed.allows(&named(requested)), expected, "{allowed:?} {requested}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "http://a", "a/b", "user@a", "a:", "a:x", "a:99999", "*.example.com", "a b", ":9090"] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
    }
}
