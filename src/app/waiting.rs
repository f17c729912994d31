//! Service whose store was out of reach at its start: both listeners answer, and the store is tried until it is there.

use std::{sync::Arc, time::Duration};

use axum::Router;
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};

use super::{
    Ambient, Listeners, OpenError, Services, Wiring,
    listeners::ServerParts,
    signals::Signals,
    supervisor::{Notice, notify},
};
use crate::{
    config::{ConfigErrors, Settings},
    http,
    listener::ListenError,
    ops::{self, AllowedHosts},
    telemetry::{Alarm, Condition, Metrics, Readiness, Stopwatch},
};

/// Time between an attempt and the next.
const RETRY: Duration = Duration::from_secs(1);

/// Time for which the supervisor waits from each attempt on: longer than an attempt takes with the longest
/// `store.timeout`.
const PATIENCE: Duration = Duration::from_mins(3);

/// Opens and wires a service.
pub(super) async fn open(
    settings: &Arc<Settings>,
    ambient: &Ambient,
    metrics: &Arc<Metrics>,
) -> Result<Wiring, OpenError> {
    let services = Services::open_measured(settings, ambient.clone(), Arc::clone(metrics)).await?;
    Wiring::open(Arc::clone(settings), Arc::new(services)).await
}

/// Servers on both listeners, before there is a service behind them.
pub(super) struct WaitingServers {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    ops_hosts: Arc<AllowedHosts>,
    /// Time since the first attempt.
    waited: Stopwatch,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl WaitingServers {
    /// Answers on these listeners from now on: the public one refuses everything but health checks.
    pub(super) fn start(
        listeners: &Listeners,
        settings: &Settings,
        metrics: &Arc<Metrics>,
        why: &OpenError,
    ) -> Result<Self, ListenError> {
        let (sockets, addresses) = (listeners.again()?, listeners.addresses());
        let (readiness, metrics) = (Arc::new(Readiness::default()), Arc::clone(metrics));
        let parts = ServerParts {
            config: settings.server().clone(),
            log: settings.log().requests,
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
            ops_hosts: Arc::new(AllowedHosts::new(settings.server().ops_hosts.clone())),
        };
        let (stop, stopped) = watch::channel(false);
        let routes = http::starting_router(Arc::clone(&readiness), parts.public_observer());
        let public = parts.serve_public(sockets.public, routes, stopped.clone());
        let tasks = [
            tokio::spawn(public),
            tokio::spawn(parts.serve_ops(
                sockets.ops,
                ops::router(Arc::clone(&metrics), Arc::clone(&parts.ops_hosts), Router::new()),
                stopped,
            )),
        ];
        tracing::error!(
            public = %addresses.public, ops = %addresses.ops, %why,
            "the service cannot start without the store: it tries again each second, and refuses requests with 503"
        );
        metrics.alarm(Alarm::Store);
        let servers = Self { readiness, metrics, ops_hosts: parts.ops_hosts, waited: Stopwatch::start(), stop, tasks };
        servers.report(why);
        Ok(servers)
    }

    /// Tries to open the service until that succeeds, or fails for another reason than the store's absence. `reload`
    /// is called at SIGHUP. Returns `None` where the process is told to stop.
    pub(super) async fn open(
        &self,
        mut settings: Arc<Settings>,
        ambient: &Ambient,
        signals: &mut Signals,
        reload: &impl Fn() -> Result<Settings, ConfigErrors>,
    ) -> Result<Option<Wiring>, OpenError> {
        let mut tries = tokio::time::interval_at(tokio::time::Instant::now() + RETRY, RETRY);
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let attempt = async {
                tries.tick().await;
                open(&settings, ambient, &self.metrics).await
            };
            tokio::select! {
                () = signals.stop.received() => return Ok(None),
                _ = signals.hangup.recv() => match reload() {
                    Ok(new) => {
                        self.ops_hosts.replace(new.server().ops_hosts.clone());
                        settings = Arc::new(new);
                    }
                    Err(errors) => {
                        tracing::error!(why = %errors, "reload refused: the old configuration stays in use");
                        self.metrics.alarm(Alarm::Reload);
                    }
                },
                opened = attempt => match opened {
                    Err(why) if why.is_outage() => self.report(&why),
                    opened => return opened.map(Some),
                },
            }
        }
    }

    fn report(&self, why: &OpenError) {
        let reason = format!("the start waits for the store: {why}");
        notify(&[
            Notice::ExtendTimeoutUsec(u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX)),
            Notice::Status(&reason),
        ]);
        let conditions = vec![Condition::required("serving", Some(reason))];
        self.metrics.conditions(&conditions);
        self.readiness.set(conditions);
        self.metrics.store_outage(self.waited.elapsed());
    }

    /// Takes no more connections; those that are open end by themselves.
    pub(super) fn stop(&self) {
        let _ = self.stop.send(true);
    }

    /// Stops, and waits until every connection has ended.
    pub(super) async fn drain(self) {
        notify(&[Notice::Stopping]);
        self.stop();
        for task in self.tasks {
            let _ = task.await;
        }
        tracing::info!("drained");
    }
}
