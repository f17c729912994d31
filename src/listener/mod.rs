//! HTTP/1.1 over TCP and unix sockets, for the public and the ops listener alike: sockets, limits, timeouts, drain.
//!
//! A connection passes: [`bind`], [`bind_unix`] or [`inherited()`] → `accept` (takes a permit, or refuses the connection) →
//! `connection` (hyper runs the protocol, `watchdog` its time) → `service` → the router.
//!
//! # Reasons for a listener of our own
//!
//! The files below do what `axum::serve` (0.8) and hyper (1.12) do not do today. A file may be deleted once the named
//! issue or pull request is released and the named tests pass without the file (`tests` is the folder beside this file,
//! `it` is `tests/it/listener.rs`). Open or closed is the state when this was written.
//!
//! - `accept`, `limiter`: `axum::serve` has no limit on connections, in all or by address; a limit in all is proposed
//!   in tokio-rs/axum pull request 3489 (open), and was asked of hyper in hyperium/hyper issue 2640 (closed). Its
//!   drain has no deadline: tokio-rs/axum issue 1070 (closed, referred to hyper); hyper leaves the deadline to the
//!   program, hyperium/hyper issue 3188 (closed). Tests: `it::too_many_connections_are_refused_with_a_reason`,
//!   `it::the_deadline_cuts_off_what_does_not_finish`.
//! - `connection`: hyper closes a socket on unread bytes, the kernel then resets the connection, and the client may
//!   lose the answer: hyperium/hyper issues 3078 (closed) and 3944 (open; the maintainers expect this). hyper's
//!   graceful shutdown closes an idle connection at once, even where a request is on its way: hyperium/hyper pull
//!   request 3808 (open). Tests: `it::a_body_that_nobody_reads_ends_the_connection_and_the_answer_arrives`,
//!   `tests::closing::draining_answers_a_request_that_was_on_its_way`.
//! - `transport`: hyper closes an idle connection without a look at what has just arrived on it. Test:
//!   `tests::closing::a_request_that_arrives_while_an_idle_connection_closes_is_answered`.
//! - `head`: hyper serves a request without `Host`, or with two, or with a transfer coding before `chunked`. Tests:
//!   `it::a_host_that_is_missing_doubled_or_malformed_is_refused`,
//!   `it::a_coding_that_is_not_read_and_a_length_beyond_reason_are_refused`.
//! - `progress`, `watchdog`: hyper has one timeout, for a request's head, and uses it for idle connections too. It
//!   has no timeout of its own for an idle connection, nor for a client that does not read: hyperium/hyper issues
//!   1628 and 2355 (both open). No issue was found on the cost of hyper's timer: `Conn::poll_read_head` in hyper's
//!   `proto/h1/conn.rs` drops it after each head and makes another for the next. Tests:
//!   `tests::a_client_that_does_not_read_is_cut_off`, `tests::the_next_head_has_as_long_as_the_first`.
//! - `wire`, `refusal`: hyper answers a malformed or oversized head by itself, with an empty body, and does not ask
//!   the service: hyperium/hyper issues 3225 and 3874 (both open). It closes without any answer on the preface of
//!   HTTP/2; no issue was found, `Conn::on_parse_error` in hyper's `proto/h1/conn.rs` shows it. Test:
//!   `it::what_is_not_http_1_is_refused_with_a_problem`.
//! - `unread`: where a service does not read a request's body, hyper reads what is there and otherwise closes the
//!   connection, without `Connection: close` in the answer: hyperium/hyper issues 3241 and 2384 (both closed). Test:
//!   `tests::a_body_that_arrives_after_its_refusal_leaves_the_connection_usable`.
//! - `service`: tells `progress` and `unread` when a request and its answer begin and end. It can be deleted together with them.

mod accept;
mod connection;
mod head;
mod inherited;
mod limiter;
mod peer;
mod progress;
mod refusal;
mod service;
mod socket;
mod socket_error;
mod socket_file;
#[cfg(test)]
mod tests;
mod transport;
mod unix_socket;
mod unread;
mod watchdog;
mod wire;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

pub use accept::{serve, serve_unix};
pub use inherited::{Inherited, inherited};
pub use peer::{LocalAddress, SocketPeer};
pub use refusal::RawRefusal;
pub use socket::{ListenError, Listener, bind};
pub use socket_error::{SocketError, SocketFault};
pub use unix_socket::{UnixListener, bind_unix};

use crate::{
    address::{AllowedHost, ForwardedHeader, TrustedProxies},
    clock::human_duration,
    telemetry::Metrics,
};

/// Largest size of a request's line and headers together, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// Largest number of header fields of a request.
pub const MAX_HEADERS: usize = 64;

/// Time between the [`Service::deadline`] and the end of a connection whose service does not keep to it.
pub const BACKSTOP: Duration = Duration::from_secs(5);

/// Addresses, limits and timeouts of the listeners. `[server]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Address for apps and backends.
    pub listen: SocketAddr,
    /// Address for metrics and health.
    pub ops_listen: SocketAddr,
    /// Unix socket on which the ops listener's routes are served too.
    pub ops_socket: Option<PathBuf>,
    /// Names by which the ops listener may be called, beside its addresses.
    pub ops_hosts: Vec<AllowedHost>,
    /// Allows plain HTTP beyond loopback, because TLS is terminated in front of this service.
    pub allow_plaintext: bool,
    /// Proxies whose [`forwarded_header`](Self::forwarded_header) the routes trust.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Header from which the client's address is taken behind trusted proxies.
    pub forwarded_header: ForwardedHeader,
    /// Longest time from an answer to the next request's first byte. A proxy in front must close first: a request
    /// that it sends while this listener closes gets no answer.
    #[serde(with = "human_duration")]
    pub keep_alive: Duration,
    /// Largest number of open connections. A connection beyond it is answered 503 and closed.
    pub max_connections: NonZeroUsize,
    /// Largest number of open connections of one [client network](crate::address::client_network). A proxy in front
    /// is one address.
    pub max_connections_per_address: NonZeroUsize,
    /// Time between the request to stop and the drain, in which the service still takes requests, but reports that it
    /// is not ready: load balancers notice that with a delay.
    #[serde(with = "human_duration")]
    pub shutdown_delay: Duration,
    /// Longest time for requests in flight to end, once the listener drains.
    #[serde(with = "human_duration")]
    pub drain: Duration,
    /// Longest time of each step of a connection.
    #[serde(skip)]
    pub timeouts: Timeouts,
    /// Longest time, while draining, for a connection without a request, since its client may just be sending one.
    /// Such a request is answered, with `Connection: close`. Zero closes at once.
    #[serde(skip)]
    pub drain_idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            ops_socket: None,
            ops_hosts: Vec::new(),
            allow_plaintext: false,
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            keep_alive: Duration::from_secs(75),
            shutdown_delay: Duration::ZERO,
            max_connections: const { NonZeroUsize::new(10_000).unwrap() },
            max_connections_per_address: const { NonZeroUsize::new(2000).unwrap() },
            drain: Duration::from_secs(20),
            timeouts: Timeouts::default(),
            drain_idle: Duration::from_millis(500),
        }
    }
}

impl Config {
    /// Returns the trusted proxies, with the header that they set.
    pub fn proxies(&self) -> TrustedProxies {
        TrustedProxies { networks: self.trusted_proxies.clone(), header: self.forwarded_header }
    }
}

/// Reads networks, or single addresses, which are networks of one.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            serde::de::Error::custom(format!("{text:?} is neither an address nor a network like 10.0.0.0/8"))
        })
    };
    texts.iter().map(network).collect()
}

/// Longest time of each step of a connection. The service keeps the time of a request: [`Service::deadline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to its first byte.
    pub first_byte: Duration,
    /// From a request's first byte to the end of its headers.
    pub header: Duration,
    /// For the client to take an answer; for each 64 KB of it, where it is longer.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { first_byte: Duration::from_secs(5), header: Duration::from_secs(5), write: Duration::from_secs(15) }
    }
}

/// Router of a listener, with its deadline, its refusals and its metrics.
#[derive(Clone)]
pub struct Service {
    /// Router of the requests. Over TCP they have the peer's address as `axum::extract::ConnectInfo<SocketAddr>`;
    /// over a unix socket they have [`SocketPeer`].
    pub router: Router,
    /// Tells the routes of a request over TCP the address that it has reached: [`LocalAddress`].
    pub tells_local_address: bool,
    /// Longest time that the router takes for a request. The listener closes the connection [`BACKSTOP`] later.
    pub deadline: Duration,
    /// Makes the answers that do not come from the router.
    pub raw_refusal: RawRefusal,
    /// Metrics of connections; only the public listener has them.
    pub metrics: Option<Arc<Metrics>>,
}
