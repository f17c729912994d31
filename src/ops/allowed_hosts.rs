//! Names by which the ops listener may be called. A page of somebody else, whose name was made to resolve to this listener
//! (DNS rebinding), is sent by the browser of an operator like one of our own; its `Host` shows what it is.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use axum::{
    extract::{Request, State},
    http::{StatusCode, header::HOST},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    address::{AllowedHost, NamedHost},
    http::Problem,
    listener::{LocalAddress, SocketPeer},
};

/// Hosts that `server.ops_hosts` allows now.
#[derive(Default)]
pub struct AllowedHosts(ArcSwap<Vec<AllowedHost>>);

impl AllowedHosts {
    /// Makes the list.
    pub fn new(hosts: Vec<AllowedHost>) -> Self {
        Self(ArcSwap::from_pointee(hosts))
    }

    /// Replaces the list.
    pub fn replace(&self, hosts: Vec<AllowedHost>) {
        self.0.store(Arc::new(hosts));
    }

    /// Returns true where a request that arrived at this address may name this host: this machine, the address itself,
    /// or one of the list.
    fn allow(&self, named: &NamedHost, local: Option<IpAddr>) -> bool {
        let is_local = named.address().is_some_and(|address| Some(address) == local.map(|local| local.to_canonical()));
        named.is_loopback() || is_local || self.0.load().iter().any(|host| host.allows(named))
    }
}

/// Refuses a request that names another host (RFC 9110 §15.5.20). A browser opens no unix socket: any host is right there.
pub(super) async fn check_host(State(hosts): State<Arc<AllowedHosts>>, request: Request, next: Next) -> Response {
    let local = request.extensions().get::<LocalAddress>().map(|local| local.0.ip());
    let text = requested_host(&request);
    let is_socket = request.extensions().get::<SocketPeer>().is_some();
    if is_socket || NamedHost::parse(text).is_some_and(|named| hosts.allow(&named, local)) {
        return next.run(request).await;
    }
    let shown: String = text.chars().take(256).collect();
    let detail = format!(
        "this listener is not called {shown:?}: add the name to `ops_hosts` in [server], if it is one of this service's, \
         or use a loopback address"
    );
    Problem::client(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

/// Returns the host of the request's target, or `Host` (RFC 9112 §3.3). Without any it is empty.
fn requested_host(request: &Request) -> &str {
    let of_header = || request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    request.uri().authority().map_or_else(of_header, |authority| authority.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_at_which_a_request_arrived_is_right() {
        let hosts = AllowedHosts::new(vec!["ops.example.com".parse().unwrap()]);
        let allow = |host: &str, local: &str| hosts.allow(&NamedHost::parse(host).unwrap(), local.parse().ok());
        assert!(allow("192.0.2.7:9090", "192.0.2.7") && allow("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(allow("[2001:DB8::1]:9090", "2001:db8::1") && allow("ops.example.com", "192.0.2.7"));
        assert!(!allow("192.0.2.8", "192.0.2.7") && !allow("[2001:db8::2]", "2001:db8::1") && !allow("192.0.2.7", ""));
        hosts.replace(Vec::new());
        assert!(!allow("ops.example.com", "192.0.2.7"));
    }
}
