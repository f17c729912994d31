//! The running service: two listeners, background tasks, signals; from start to drained.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Ambient, Background, BackgroundTask, Listeners, OpenError, Running, Services, TaskEnded, Wiring,
    listeners::ServerParts,
    network::{self, Remote},
    process,
    signals::{Signals, StopSignal},
    supervisor::{Notice, notify},
    waiting::{self, WaitingServers},
};
use crate::{
    config::{ConfigErrors, Settings},
    listener::ListenError,
    telemetry::{Alarm, Metrics},
};

/// Reason why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// The process drained, and must be started again.
    #[error(transparent)]
    Task(#[from] TaskEnded),
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
    process::raise_open_files_limit(settings.server().max_connections.get());
    let wiring = Wiring::open(Arc::new(settings), Arc::new(services)).await?;
    let signals = Signals::listen().map_err(ServeError::Signals)?;
    run(wiring, listeners, signals, reload, ready).await
}

/// Opens the service, and serves as [`serve`] does. While the store is out of reach it stays up, answers with 503, and
/// tries again.
///
/// # Errors
/// [`ServeError`] where the service cannot start for another reason, or a background task ended.
pub async fn serve_when_reachable(
    settings: Settings,
    ambient: Ambient,
    listeners: Listeners,
    reload: impl Fn() -> Result<Settings, ConfigErrors> + Send,
    ready: impl FnOnce(Running) + Send,
) -> Result<(), ServeError> {
    process::harden();
    process::raise_open_files_limit(settings.server().max_connections.get());
    tokio::spawn(network::warn(Remote::of(&settings)));
    let (settings, metrics) = (Arc::new(settings), Metrics::new());
    let why = match waiting::open(&settings, &ambient, &metrics).await {
        Ok(wiring) => {
            let signals = Signals::listen().map_err(ServeError::Signals)?;
            return run(wiring, listeners, signals, reload, ready).await;
        }
        Err(why) if why.is_outage() => why,
        Err(why) => return Err(why.into()),
    };
    let mut signals = Signals::listen().map_err(ServeError::Signals)?;
    let servers = WaitingServers::start(&listeners, &settings, &metrics, &why)?;
    let Some(wiring) = servers.open(settings, &ambient, &mut signals, &reload).await? else {
        servers.drain().await;
        return Ok(());
    };
    servers.stop();
    run(wiring, listeners, signals, reload, ready).await
}

async fn run(
    wiring: Wiring,
    listeners: Listeners,
    // Installed before: a signal may arrive as soon as somebody knows that the service is ready.
    mut signals: Signals,
    reload: impl Fn() -> Result<Settings, ConfigErrors> + Send,
    ready: impl FnOnce(Running) + Send,
) -> Result<(), ServeError> {
    let running = listeners.addresses();
    let (stop, stopped) = watch::channel(false);
    let (stop_ops, ops_stopped) = watch::channel(false);
    let parts = ServerParts::of(&wiring);
    let mut background = wiring.start();
    let public = parts.serve_public(listeners.public, wiring.routes(), stopped);
    background.spawn(BackgroundTask::PublicListener, public);
    let ops = parts.serve_ops(listeners.ops, wiring.ops_routes(), ops_stopped);
    background.spawn(BackgroundTask::OpsListener, ops);
    ready(running);
    notify(&[Notice::Ready, Notice::Status("serving")]);

    let outcome = until_stopped(&wiring, &mut background, &mut signals, reload).await;

    wiring.state().readiness.drain();
    notify(&[Notice::Stopping]);
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
                    Ok(new) => {
                        tokio::spawn(network::warn(Remote::of(&new)));
                        wiring.reload(new).await
                    }
                    Err(errors) => Err(errors.to_string()),
                };
                if let Err(why) = reloaded {
                    tracing::error!(why, "reload refused: the old configuration and keys stay in use");
                    wiring.services().metrics().alarm(Alarm::Reload);
                }
                notify(&[Notice::Ready]);
            }
        }
    }
}
