//! HTTP/1.1 over TCP, for the public and the ops listener alike: sockets, caps, timeouts, drain.
//!
//! The way of a connection: [`bind`] or [`inherited`] → `accept` (takes a permit, or is turned away) → `connection`
//! (hyper drives the protocol, `watchdog` its time) → the service. What hyper would answer by itself, before the
//! service is asked (400, 431), is replaced by `refusal`.

mod accept;
mod connection;
mod limiter;
mod progress;
mod refusal;
mod service;
mod socket;
#[cfg(test)]
mod tests;
mod unread;
mod watchdog;
mod wire;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;

pub use accept::serve;
pub use refusal::RawRefusal;
pub use socket::{ListenError, Listener, bind, inherited};

use crate::telemetry::Metrics;

/// The most bytes a request's line and headers may have together.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most header fields a request may have.
pub const MAX_HEADERS: usize = 64;

/// How one listener serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How many connections may be open; beyond it a connection is answered 503 and closed.
    pub max_connections: usize,
    /// How many of them may come from one IPv4 address or one IPv6 /64. A proxy in front is one address.
    pub max_connections_per_address: usize,
    /// How long a connection may take for each step.
    pub timeouts: Timeouts,
    /// How long requests in flight may take to end, once the process is told to stop.
    pub drain: Duration,
    /// While draining: how long a connection without a request stays, since its client may just be sending one. That
    /// one is answered, with `Connection: close`. Zero closes at once.
    pub drain_idle: Duration,
}

impl Config {
    /// The defaults, on this address.
    pub fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            max_connections: 4096,
            max_connections_per_address: 1024,
            timeouts: Timeouts::default(),
            drain: Duration::from_secs(20),
            drain_idle: Duration::from_millis(500),
        }
    }
}

/// How long a connection may take for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to its first byte.
    pub first_byte: Duration,
    /// From a request's first byte to the end of its headers.
    pub header: Duration,
    /// From an answer to the next request's first byte.
    pub idle: Duration,
    /// A request's body. The service keeps it, so that it can answer with a problem.
    pub body: Duration,
    /// The whole request. The service keeps it; the listener closes the connection [`BACKSTOP`] later.
    pub request: Duration,
    /// For the client to take an answer; for each 64 KB of it, where it is longer.
    pub write: Duration,
}

/// How much longer than [`Timeouts::request`] the listener waits for a service that does not keep to it.
pub const BACKSTOP: Duration = Duration::from_secs(5);

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            header: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            body: Duration::from_secs(10),
            request: Duration::from_secs(15),
            write: Duration::from_secs(15),
        }
    }
}

/// What is served.
#[derive(Clone)]
pub struct Service {
    /// Answers the requests. It finds the peer as `axum::extract::ConnectInfo<SocketAddr>`.
    pub router: Router,
    /// Words the answers that are given before the router is asked.
    pub raw_refusal: RawRefusal,
    /// Where connections are counted; the public listener only.
    pub metrics: Option<Arc<Metrics>>,
}
