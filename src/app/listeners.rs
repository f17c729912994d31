//! Sockets of the service, and the servers on them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::sync::watch;

use super::Wiring;
use crate::{
    config::Settings,
    http::{self, RequestObserver},
    listener::{self, Inherited, ListenError, Listener, UnixListener},
    ops::{self, AllowedHosts},
    telemetry::{Metrics, Readiness, RequestLog},
};

/// Sockets to serve on: inherited ones (systemd, `LISTEN_FDS`), or bound to the addresses in the settings.
pub struct Listeners {
    pub(super) public: Listener,
    pub(super) ops: OpsListeners,
}

/// Sockets of the ops routes.
pub(super) struct OpsListeners {
    tcp: Listener,
    unix: Option<UnixListener>,
}

/// Addresses of a running service.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub public: SocketAddr,
    pub ops: SocketAddr,
}

impl Listeners {
    /// Uses the sockets that are inherited, and binds the addresses in the settings of the others. The unix socket is never
    /// inherited.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn open(settings: &Settings) -> Result<Self, ListenError> {
        let server = settings.server();
        let Inherited { public, ops } = listener::inherited()?;
        let public = public.map_or_else(|| listener::bind(server.listen), Ok)?;
        let tcp = ops.map_or_else(|| listener::bind(server.ops_listen), Ok)?;
        let unix = server.ops_socket.as_deref().map(listener::bind_unix).transpose()?;
        Ok(Self { public, ops: OpsListeners { tcp, unix } })
    }

    /// Returns the addresses.
    pub(super) fn addresses(&self) -> Running {
        Running { public: self.public.local_addr(), ops: self.ops.tcp.local_addr() }
    }

    /// Returns the same sockets once more, for servers that end while the sockets go on.
    pub(super) fn again(&self) -> Result<Self, ListenError> {
        let unix = self.ops.unix.as_ref().map(UnixListener::again).transpose()?;
        Ok(Self { public: self.public.again()?, ops: OpsListeners { tcp: self.ops.tcp.again()?, unix } })
    }
}

/// Parts of both servers of a process.
#[derive(Clone)]
pub(super) struct ServerParts {
    pub(super) config: listener::Config,
    pub(super) log: RequestLog,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) ops_hosts: Arc<AllowedHosts>,
}

impl ServerParts {
    /// Parts of a wired service.
    pub(super) fn of(wiring: &Wiring) -> Self {
        Self {
            config: wiring.settings().server().clone(),
            log: wiring.state().request_log,
            metrics: Arc::clone(wiring.services().metrics()),
            readiness: Arc::clone(&wiring.state().readiness),
            ops_hosts: Arc::clone(wiring.ops_hosts()),
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
        let service = service(routes, self.public_observer(), http::REQUEST_DEADLINE);
        listener::serve(listener, self.config.clone(), service, stop)
    }

    /// Serves these routes and health, on the address and the unix socket alike.
    pub(super) fn serve_ops(
        &self,
        listeners: OpsListeners,
        routes: Router,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let routes = routes.merge(http::health_routes(Arc::clone(&self.readiness)));
        let observer = RequestObserver { metrics: None, log: self.log };
        let routes = http::middleware::wrap_within(ops::DEADLINE, routes, observer.clone());
        let service = service(routes, observer, ops::DEADLINE);
        let service = listener::Service { tells_local_address: true, ..service };
        let tcp = listener::serve(listeners.tcp, self.config.clone(), service.clone(), stop.clone());
        let unix = listeners.unix.map(|unix| listener::serve_unix(unix, self.config.clone(), service, stop));
        async move {
            match unix {
                Some(unix) => drop(tokio::join!(tcp, unix)),
                None => tcp.await,
            }
        }
    }
}

/// Makes the service that a listener runs from its routes, each of whose requests ends within `deadline`.
pub(super) fn service(router: Router, observer: RequestObserver, deadline: Duration) -> listener::Service {
    let metrics = observer.metrics.clone();
    let raw_refusal = Arc::new(move |status| http::middleware::refused_unread(status, &observer));
    listener::Service { router, tells_local_address: false, deadline, raw_refusal, metrics }
}
