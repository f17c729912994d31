//! Listener of a service inside another program.

use std::net::SocketAddr;

use axum::Router;
use tokio::sync::watch;

use super::{ServeError, listeners::service};
use crate::{
    http::{REQUEST_DEADLINE, RequestObserver},
    listener::{self, Listener},
    telemetry::RequestLog,
};

/// Listener on a free loopback port, for a service inside another program (the demo).
pub struct LoopbackListener(Listener);

impl LoopbackListener {
    /// Binds a free port.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn bind() -> Result<Self, ServeError> {
        Ok(Self(listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?))
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Serves these routes until dropped.
    pub async fn serve(self, routes: Router) {
        let (_stop, stopped) = watch::channel(false);
        let observer = RequestObserver { metrics: None, log: RequestLog::None };
        listener::serve(self.0, listener::Config::default(), service(routes, observer, REQUEST_DEADLINE), stopped)
            .await;
    }
}
