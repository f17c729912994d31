//! Proxies in front of the service, and the warnings about them that only a request can show.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;

use crate::address::{ForwardedHeader, TrustedProxies};

/// Trusted proxies in force.
pub struct Proxies {
    trusted: ArcSwap<TrustedProxies>,
    /// Set once the process has warned: each request would repeat the warning.
    warned: AtomicBool,
}

impl Proxies {
    /// Makes the state, in which nothing has been warned about.
    pub fn new(trusted: TrustedProxies) -> Self {
        Self { trusted: ArcSwap::from_pointee(trusted), warned: AtomicBool::new(false) }
    }

    /// Replaces the trusted proxies.
    pub fn replace(&self, trusted: TrustedProxies) {
        self.trusted.store(Arc::new(trusted));
    }

    /// Returns the address of the client that sent these headers.
    pub(super) fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = self.trusted.load();
        if !self.warned.load(Relaxed) {
            self.warn(&trusted, peer, headers);
        }
        trusted.client_address(peer, headers)
    }

    /// Warns, once, where proxies hide their clients: all of them then share the limits of one address.
    fn warn(&self, trusted: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) {
        let sends = |header: ForwardedHeader| headers.contains_key(header.name());
        let other = match trusted.header {
            ForwardedHeader::XForwardedFor => ForwardedHeader::Forwarded,
            ForwardedHeader::Forwarded => ForwardedHeader::XForwardedFor,
        };
        let nobody_is_trusted =
            trusted.networks.is_empty() && is_private(peer) && (sends(trusted.header) || sends(other));
        let wrong_header = trusted.contains(peer) && sends(other) && !sends(trusted.header);
        if !(nobody_is_trusted || wrong_header) || self.warned.swap(true, Relaxed) {
            return;
        }
        if nobody_is_trusted {
            tracing::warn!(
                %peer,
                "a proxy seems to be in front, and all of its clients count as one address: set `trusted_proxies = [\"{peer}\"]` in [server], or the proxies' network"
            );
        } else {
            tracing::warn!(
                %peer,
                "a trusted proxy sends {} and no {}, and all of its clients count as one address: set `forwarded_header = \"{}\"` in [server]",
                other.name(), trusted.header.name(), other.name()
            );
        }
    }
}

/// Returns true for an address that the Internet does not route (RFC 1918, 3927, 4193, 4291, 6598): a proxy has one
/// more often than a client.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
