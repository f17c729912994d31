//! Way of a request to the console: over TLS, or over plain HTTP on this machine; and the origin that our own pages
//! have on that way.

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, header},
};

use crate::address::TrustedProxies;

/// Cookie of a session over TLS: its name makes browsers refuse it from anywhere else.
const SECURE_COOKIE: &str = "__Host-countersign-console";
/// Cookie of a session over plain HTTP on loopback.
const PLAIN_COOKIE: &str = "countersign-console";

/// Protection of a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// TLS ends in front of this service.
    Tls,
    /// Plain HTTP that does not leave this machine.
    Loopback,
    /// Plain HTTP beyond loopback: no credential may pass.
    None,
}

impl Protection {
    /// Judges the way of a request. `plaintext` says that TLS ends in front of the listener although the proxy does not
    /// say so.
    pub(super) fn of(extensions: &Extensions, headers: &HeaderMap, proxies: &TrustedProxies, plaintext: bool) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
        let is_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
        match peer {
            Some(peer) if proxies.contains(peer) && is_https => Self::Tls,
            // A proxy that speaks for somebody else is not this machine.
            Some(peer) if peer.is_loopback() && !forwards(headers) => Self::Loopback,
            Some(_) if plaintext => Self::Tls,
            _ => Self::None,
        }
    }

    fn cookie_name(self) -> &'static str {
        if self == Self::Tls { SECURE_COOKIE } else { PLAIN_COOKIE }
    }

    /// Value of the session's cookie.
    pub(super) fn cookie(self, headers: &HeaderMap) -> Option<&str> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == self.cookie_name()).map(|(_, value)| value).next()
    }

    /// `Set-Cookie` that begins a session; with an empty value, the one that ends it.
    pub(super) fn set_cookie(self, value: &str) -> String {
        let (name, end) = (self.cookie_name(), if value.is_empty() { "; Max-Age=0" } else { "" });
        match self {
            Self::Tls => format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Secure{end}"),
            _ => format!("{name}={value}; Path=/console; HttpOnly; SameSite=Strict{end}"),
        }
    }

    /// True where the request comes from a page of our own: cookies do not separate ports, origins do.
    pub(super) fn is_own_origin(self, headers: &HeaderMap) -> bool {
        let scheme = if self == Self::Tls { "https" } else { "http" };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match (text(header::ORIGIN), text(header::HOST)) {
            (Some(origin), Some(host)) => origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")),
            _ => false,
        }
    }
}

/// True where a proxy sent the request on.
fn forwards(headers: &HeaderMap) -> bool {
    ["x-forwarded-for", "x-forwarded-proto", "forwarded"].iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(peer: &str, forwarded: Option<&'static str>, trusted: bool, plaintext: bool) -> Protection {
        let mut extensions = Extensions::new();
        let peer: std::net::IpAddr = peer.parse().unwrap();
        extensions.insert(ConnectInfo(SocketAddr::from((peer, 1))));
        let mut headers = HeaderMap::new();
        if let Some(proto) = forwarded {
            headers.insert("x-forwarded-proto", proto.parse().unwrap());
        }
        let networks = if trusted { vec![peer.into()] } else { Vec::new() };
        let proxies = TrustedProxies { networks, ..TrustedProxies::default() };
        Protection::of(&extensions, &headers, &proxies, plaintext)
    }

    #[test]
    fn only_a_trusted_proxy_says_that_there_was_tls() {
        assert_eq!(way("127.0.0.1", None, false, false), Protection::Loopback);
        assert_eq!(way("::1", None, false, false), Protection::Loopback);
        assert_eq!(way("127.0.0.1", Some("https"), true, false), Protection::Tls);
        assert_eq!(way("127.0.0.1", Some("https"), false, false), Protection::None);
        assert_eq!(way("192.0.2.1", Some("https"), false, false), Protection::None);
        assert_eq!(way("192.0.2.1", Some("http"), true, false), Protection::None);
        assert_eq!(way("192.0.2.1", None, false, true), Protection::Tls);
        assert_eq!(
            Protection::of(&Extensions::new(), &HeaderMap::new(), &TrustedProxies::default(), false),
            Protection::None
        );
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let own = |origin: &str, way: Protection| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:9090".parse().unwrap());
            if !origin.is_empty() {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            way.is_own_origin(&headers)
        };
        assert!(own("http://127.0.0.1:9090", Protection::Loopback) && own("https://127.0.0.1:9090", Protection::Tls));
        for foreign in ["", "null", "http://127.0.0.1:9091", "http://127.0.0.1", "https://127.0.0.1:9090"] {
            assert!(!own(foreign, Protection::Loopback), "{foreign}");
        }
    }
}
