//! The running service: two listeners, a watch, signals; from start to drained.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use axum::Router;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{OpenError, Services, process, signals::Stop, watch::NodeAgent};
use crate::{
    config::{ConfigErrors, Settings},
    domain::sealing::SealingKeys,
    http::{self, AppState, Jwks, Limits},
    listener::{self, Listener},
    ops,
    rotate::{RotationScheduler, SchedulerSetup, StepPhase},
    telemetry::{Alarm, Metrics, Readiness},
};

/// The sockets to serve on: inherited ones (systemd, `LISTEN_FDS`), or bound by the settings.
pub struct Listeners {
    public: Listener,
    ops: Listener,
}

/// Where the service is reached.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// The public listener's address.
    pub public: SocketAddr,
    /// The ops listener's address.
    pub ops: SocketAddr,
}

/// The service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener.
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    /// A room.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Signals.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
}

impl Listeners {
    /// Takes the inherited sockets (first the public one, then ops), or binds those of the settings.
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

/// Serves until SIGTERM or SIGINT, then drains. `reload` is called at SIGHUP; `ready` once the first request may come.
pub async fn serve(
    settings: Settings,
    services: Services,
    listeners: Listeners,
    reload: impl Fn() -> Result<Settings, ConfigErrors> + Send,
    ready: impl FnOnce(Running) + Send,
) -> Result<(), ServeError> {
    process::harden();
    process::make_room_for_connections();
    let services = Arc::new(services);
    let public = open_public(&settings, &services).await?;
    let (setup_sender, setups) = watch::channel(scheduler_setup(&services, &settings));
    let (settings_sender, settings) = watch::channel(Arc::new(settings));
    let watch = NodeAgent::new(Arc::clone(&services), Arc::clone(&public));

    let running = Running { public: listeners.public.local_addr(), ops: listeners.ops.local_addr() };
    let (stop, stopped) = watch::channel(false);
    let (stop_ops, ops_stopped) = watch::channel(false);
    let current = Arc::clone(&settings.borrow());
    let public_service = service(http::router(&public), Some(Arc::clone(&services.metrics)));
    let public_config = current.listener_config(running.public);
    let public_server = tokio::spawn(listener::serve(listeners.public, public_config, public_service, stopped));
    let ops_routes =
        ops::router(Arc::clone(&services.metrics)).merge(http::health_routes(Arc::clone(&public.readiness)));
    let ops_service = service(http::middleware::wrap(ops_routes, None), None);
    let ops_config = current.listener_config(running.ops);
    let ops_server = tokio::spawn(listener::serve(listeners.ops, ops_config, ops_service, ops_stopped));
    let scheduler = RotationScheduler::new(Arc::clone(&services.metrics), Arc::clone(&public.readiness));
    let scheduling = tokio::spawn(scheduler.run(setups));
    let watching = tokio::spawn(watch.run(settings));
    ready(running);
    notify(&[sd_notify::NotifyState::Ready]);

    until_told_to_stop(&services, &public, &settings_sender, &setup_sender, reload).await?;

    // The ops listener goes last, so that it can tell of the draining.
    public.readiness.drain();
    notify(&[sd_notify::NotifyState::Stopping]);
    let _ = stop.send(true);
    let _ = public_server.await;
    let _ = stop_ops.send(true);
    let _ = ops_server.await;
    scheduling.abort();
    watching.abort();
    // A node that is gone need not be waited for; where this fails, it is forgotten in 30 s.
    let _ = services.store.forget_node(&services.node).await;
    tracing::info!("drained");
    Ok(())
}

/// Makes the setup of the rotation scheduler by these settings; `None`, and a line in the log, where that fails.
fn scheduler_setup(services: &Services, settings: &Settings) -> Option<Arc<SchedulerSetup>> {
    let observer = Arc::new(|step: &_, reason: &str, phase| {
        if phase == StepPhase::Done {
            tracing::info!(%step, reason, "rotation");
        }
    });
    match services.rotator(settings, format!("node {}", services.node), observer) {
        Ok(rotator) => Some(Arc::new(SchedulerSetup { rotator, rings: settings.rotations() })),
        Err(why) => {
            tracing::error!(%why, "rotation is off until the next reload");
            None
        }
    }
}

/// What the public routes work with, after a first look at keys and API keys: a key that does not load is a reason not to
/// start.
pub async fn open_public(settings: &Settings, services: &Arc<Services>) -> Result<Arc<AppState>, OpenError> {
    let public = Arc::new(AppState {
        issuer: services.issuer(settings),
        api_keys: crate::identity::ApiKeys::default(),
        limits: ArcSwap::from_pointee(Limits::new(settings.limits())),
        trusted_proxies: ArcSwap::from_pointee(settings.server().trusted_proxies.clone()),
        jwks: Jwks::default(),
        readiness: Arc::new(Readiness::default()),
        metrics: Arc::clone(&services.metrics),
        clock: Arc::clone(&services.clock),
    });
    NodeAgent::new(Arc::clone(services), Arc::clone(&public)).first_look(settings).await?;
    Ok(public)
}

/// Routes as a listener serves them.
pub(super) fn service(router: Router, metrics: Option<Arc<Metrics>>) -> listener::Service {
    listener::Service { router, raw_refusal: Arc::new(http::middleware::refused_unread), metrics }
}

/// Handles SIGHUP until SIGTERM or SIGINT comes.
async fn until_told_to_stop(
    services: &Arc<Services>,
    public: &Arc<AppState>,
    settings: &watch::Sender<Arc<Settings>>,
    setups: &watch::Sender<Option<Arc<SchedulerSetup>>>,
    reload: impl Fn() -> Result<Settings, ConfigErrors>,
) -> Result<(), ServeError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let mut stop = Stop::listen().map_err(ServeError::Signals)?;
    loop {
        tokio::select! {
            () = stop.came() => return Ok(()),
            _ = hangup.recv() => {
                if let Err(why) = take_over(services, public, settings, setups, reload()).await {
                    tracing::error!(why, "reload refused, everything stays as it was");
                    services.metrics.alarm(Alarm::Reload);
                }
                notify(&[sd_notify::NotifyState::Ready]);
            }
        }
    }
}

/// Goes over to new settings: all of them or, where anything is wrong, none.
async fn take_over(
    services: &Arc<Services>,
    public: &Arc<AppState>,
    settings: &watch::Sender<Arc<Settings>>,
    setups: &watch::Sender<Option<Arc<SchedulerSetup>>>,
    new: Result<Settings, ConfigErrors>,
) -> Result<(), String> {
    let new = new.map_err(|mistakes| mistakes.to_string())?;
    let sealing = SealingKeys::derive(new.sealing());
    services.reseal_user_hash_key(&sealing).await.map_err(|error| error.to_string())?;
    NodeAgent::new(Arc::clone(services), Arc::clone(public))
        .reload_keys(&new)
        .await
        .map_err(|error| error.to_string())?;
    let waiting = settings.borrow().restart_needed(&new);
    public.issuer.reload(new.policies(), sealing);
    public.limits.store(Arc::new(Limits::new(new.limits())));
    public.trusted_proxies.store(Arc::new(new.server().trusted_proxies.clone()));
    setups.send_replace(scheduler_setup(services, &new));
    settings.send_replace(Arc::new(new));
    tracing::info!("configuration and keys reloaded");
    if !waiting.is_empty() {
        tracing::warn!(settings = waiting.join(", "), "these changes take effect at the next start");
    }
    Ok(())
}

/// Tells systemd, where it listens (`Type=notify`).
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        tracing::debug!(%why, "systemd was not told");
    }
}
