//! The running service: two listeners, background tasks, signals; from start to drained.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::sync::watch;

use super::{
    Background, BackgroundTask, OpenError, Services, TaskEnded, Wiring, process,
    signals::{Signals, StopSignal},
};
use crate::{
    config::{ConfigErrors, Settings},
    http::{self, RequestObserver},
    listener::{self, Listener},
    ops,
    telemetry::{Alarm, Metrics, RequestLog},
};

/// Sockets to serve on: inherited ones (systemd, `LISTEN_FDS`), or bound to the addresses in the settings.
pub struct Listeners {
    public: Listener,
    ops: Listener,
}

/// Addresses of a running service.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub public: SocketAddr,
    pub ops: SocketAddr,
}

/// Reason why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// The process drained, and must be started again.
    #[error(transparent)]
    Task(#[from] TaskEnded),
}

impl Listeners {
    /// Uses the inherited sockets (first the public one, then ops), or binds the addresses in the settings.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn open(settings: &Settings) -> Result<Self, ServeError> {
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
}

/// Serves until SIGTERM or SIGINT, or until a background task ends, then drains. `reload` is called at SIGHUP; `ready` once
/// requests are served.
///
/// # Errors
/// [`ServeError`] where the service cannot start, or a background task ended.
pub async fn serve(
    settings: Settings,
    services: Services,
    listeners: Listeners,
    reload: impl Fn() -> Result<Settings, ConfigErrors> + Send,
    ready: impl FnOnce(Running) + Send,
) -> Result<(), ServeError> {
    process::harden();
    process::raise_open_files_limit();
    let wiring = Wiring::open(Arc::new(settings), Arc::new(services)).await?;
    let running = Running { public: listeners.public.local_addr(), ops: listeners.ops.local_addr() };
    let (stop, stopped) = watch::channel(false);
    let (stop_ops, ops_stopped) = watch::channel(false);
    let mut background = wiring.start();
    background.spawn(BackgroundTask::PublicListener, serve_public(&wiring, listeners.public, stopped));
    background.spawn(BackgroundTask::OpsListener, serve_ops(&wiring, listeners.ops, ops_stopped));
    // A signal may arrive as soon as somebody knows that the service is ready.
    let mut signals = Signals::listen().map_err(ServeError::Signals)?;
    ready(running);
    notify(&[sd_notify::NotifyState::Ready]);

    let outcome = until_stopped(&wiring, &mut background, &mut signals, reload).await;

    wiring.state().readiness.drain();
    notify(&[sd_notify::NotifyState::Stopping]);
    delay_shutdown(wiring.settings().server().shutdown_delay, &mut signals.stop).await;
    // The ops listener stops last, so that `/readyz` reports the drain.
    let _ = stop.send(true);
    background.join(BackgroundTask::PublicListener).await;
    let _ = stop_ops.send(true);
    background.join(BackgroundTask::OpsListener).await;
    drop(background);
    wiring.deregister().await;
    tracing::info!("drained");
    outcome
}

fn serve_public(
    wiring: &Wiring,
    listener: Listener,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let config = wiring.settings().server().clone();
    let observer = observer(wiring, Some(Arc::clone(wiring.services().metrics())));
    listener::serve(listener, config, service(wiring.routes(), observer), stop)
}

fn serve_ops(
    wiring: &Wiring,
    listener: Listener,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let health = http::health_routes(Arc::clone(&wiring.state().readiness));
    let nothing = || async { http::Problem::not_found("this listener has /metrics, /healthz and /readyz") };
    let routes = ops::router(Arc::clone(wiring.services().metrics())).merge(health).fallback(nothing);
    let config = wiring.settings().server().clone();
    let observer = observer(wiring, None);
    listener::serve(listener, config, service(http::middleware::wrap(routes, observer.clone()), observer), stop)
}

fn observer(wiring: &Wiring, metrics: Option<Arc<Metrics>>) -> RequestObserver {
    RequestObserver { metrics, log: wiring.state().request_log }
}

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
        listener::serve(self.0, listener::Config::default(), service(routes, observer), stopped).await;
    }
}

/// Makes the service that a listener runs from its routes.
fn service(router: Router, observer: RequestObserver) -> listener::Service {
    let metrics = observer.metrics.clone();
    let raw_refusal = Arc::new(move |status| http::middleware::refused_unread(status, &observer));
    listener::Service { router, raw_refusal, metrics, deadline: http::REQUEST_DEADLINE }
}

/// Serves on for this time, in which load balancers notice that the service is not ready. A second signal ends it.
async fn delay_shutdown(delay: Duration, stop: &mut StopSignal) {
    if delay.is_zero() {
        return;
    }
    tracing::info!(?delay, "stopping: not ready, and still serving");
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = stop.received() => tracing::info!("a second signal: the delay ends"),
    }
}

/// Handles SIGHUP until SIGTERM or SIGINT arrives, or a background task ends.
async fn until_stopped(
    wiring: &Wiring,
    background: &mut Background,
    signals: &mut Signals,
    reload: impl Fn() -> Result<Settings, ConfigErrors>,
) -> Result<(), ServeError> {
    loop {
        tokio::select! {
            () = signals.stop.received() => return Ok(()),
            ended = background.ended() => return Err(ended.into()),
            _ = signals.hangup.recv() => {
                let reloaded = match reload() {
                    Ok(new) => wiring.reload(new).await,
                    Err(errors) => Err(errors.to_string()),
                };
                if let Err(why) = reloaded {
                    tracing::error!(why, "reload refused: the old configuration and keys stay in use");
                    wiring.services().metrics().alarm(Alarm::Reload);
                }
                notify(&[sd_notify::NotifyState::Ready]);
            }
        }
    }
}

/// Notifies systemd, where it supervises this process (`Type=notify`).
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::debug!(%why, "systemd could not be notified");
    }
}
