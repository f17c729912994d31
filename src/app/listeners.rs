//! Sockets of the service, and the servers on them.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::sync::watch;

use super::Wiring;
use crate::{
    config::Settings,
    http::{self, RequestObserver},
    listener::{self, ListenError, Listener},
    telemetry::{Metrics, Readiness, RequestLog},
};

/// Sockets to serve on: inherited ones (systemd, `LISTEN_FDS`), or bound to the addresses in the settings.
pub struct Listeners {
    pub(super) public: Listener,
    pub(super) ops: Listener,
}

/// Addresses of a running service.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub public: SocketAddr,
    pub ops: SocketAddr,
}

impl Listeners {
    /// Uses the inherited sockets (first the public one, then ops), or binds the addresses in the settings.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn open(settings: &Settings) -> Result<Self, ListenError> {
        let mut inherited = listener::inherited()?.into_iter();
        let public = match inherited.next() {
            Some(listener) => listener,
            None => listener::bind(settings.server().listen)?,
        };
        let ops = match inherited.next() {
            Some(listener) => listener,
            None => listener::bind(settings.server().ops_listen)?,
        };
        Ok(Self { public, ops })
    }

    /// Returns the addresses.
    pub(super) fn addresses(&self) -> Running {
        Running { public: self.public.local_addr(), ops: self.ops.local_addr() }
    }

    /// Returns the same sockets once more, for servers that end while the sockets go on.
    pub(super) fn again(&self) -> Result<Self, ListenError> {
        Ok(Self { public: self.public.again()?, ops: self.ops.again()? })
    }
}

/// Parts of both servers of a process.
#[derive(Clone)]
pub(super) struct ServerParts {
    pub(super) config: listener::Config,
    pub(super) log: RequestLog,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
}

impl ServerParts {
    /// Parts of a wired service.
    pub(super) fn of(wiring: &Wiring) -> Self {
        Self {
            config: wiring.settings().server().clone(),
            log: wiring.state().request_log,
            metrics: Arc::clone(wiring.services().metrics()),
            readiness: Arc::clone(&wiring.state().readiness),
        }
    }

    /// Makes the observer of the public listener's requests. Requests of the ops listener are in no metric.
    pub(super) fn public_observer(&self) -> RequestObserver {
        RequestObserver { metrics: Some(Arc::clone(&self.metrics)), log: self.log }
    }

    /// Serves these routes, which the observer of the public listener is around already.
    pub(super) fn serve_public(
        &self,
        listener: Listener,
        routes: Router,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        listener::serve(listener, self.config.clone(), service(routes, self.public_observer()), stop)
    }

    /// Returns true where operators' tokens may come over this listener: nobody can read along.
    pub(super) fn takes_tokens(&self, listener: &Listener) -> bool {
        listener.local_addr().ip().is_loopback() || self.config.allow_plaintext
    }

    /// Serves these routes, and health.
    pub(super) fn serve_ops(
        &self,
        listener: Listener,
        routes: Router,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let health = http::health_routes(Arc::clone(&self.readiness));
        let nothing = || async { http::Problem::not_found("this listener has /metrics, /healthz, /readyz and /admin/v1/") };
        let routes = routes.merge(health).fallback(nothing);
        let observer = RequestObserver { metrics: None, log: self.log };
        let routes = http::middleware::wrap(routes, observer.clone());
        listener::serve(listener, self.config.clone(), service(routes, observer), stop)
    }
}

/// Makes the service that a listener runs from its routes.
pub(super) fn service(router: Router, observer: RequestObserver) -> listener::Service {
    let metrics = observer.metrics.clone();
    let raw_refusal = Arc::new(move |status| http::middleware::refused_unread(status, &observer));
    listener::Service { router, raw_refusal, metrics, deadline: http::REQUEST_DEADLINE }
}
