//! Wiring: connects the modules that serve requests with the node's background work and with key rotation.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::sync::watch;

use super::{
    OpenError, Services,
    background::{Background, BackgroundTask},
    reported_apps::reported_apps,
};
use crate::{
    clock::UnixMillis,
    config::Settings,
    domain::{
        api_key::{ApiKeyId, ApiKeyRecord},
        key::KeyRecord,
        policy::AppPolicy,
        sealing::SealingKeys,
    },
    failures::{self, Counts, Knowledge, Reports, Webhook},
    http::{self, AppState, Jwks, Limits, Proxies, RefusedKeys, RefusedSignIns, RequestObserver},
    identity::{ApiKeyAuthenticator, SignIns},
    node::{
        self, ActivityRecorder, AuditAgent, AuditStanding, EndsAgent, FailuresAgent, FailuresParts, Node, NodeAgent,
        Subscriber,
    },
    operate::Operator,
    ops::{
        self, AllowedHosts,
        admin::{AdminState, RefusedCredentials},
        console::ConsoleState,
    },
    rotate::{RotationScheduler, SchedulerSetup, StepPhase, SteppedScheduler},
    store::ServiceEventKind,
    telemetry::{Readiness, RequestLog},
};

/// Wired service whose keys are loaded.
pub struct Wiring {
    services: Arc<Services>,
    state: Arc<AppState>,
    node: Arc<Node>,
    settings: Arc<ArcSwap<Settings>>,
    node_config: watch::Sender<Arc<node::Config>>,
    scheduler_setup: watch::Sender<Option<Arc<SchedulerSetup>>>,
    failures_config: watch::Sender<Arc<failures::Config>>,
    webhook: Arc<Webhook>,
    ops_hosts: Arc<AllowedHosts>,
    operator: Arc<ArcSwap<Operator>>,
    /// Refused credentials of operators, of the API and of the console.
    refused: Arc<RefusedCredentials>,
}

impl Wiring {
    /// Connects the modules, and loads keys and API keys.
    ///
    /// # Errors
    /// [`OpenError::Keys`] where an active key does not load.
    pub async fn open(settings: Arc<Settings>, services: Arc<Services>) -> Result<Self, OpenError> {
        let state = app_state(&settings, &services);
        let settings = Arc::new(ArcSwap::new(settings));
        let node = Arc::new(Node {
            name: services.node_name().to_owned(),
            store: Arc::clone(services.store()),
            custodian: Arc::clone(services.custodian()),
            keyring: Arc::clone(services.keyring()),
            metrics: Arc::clone(services.metrics()),
            clock: Arc::clone(services.clock()),
            readiness: Arc::clone(&state.readiness),
            outage: Arc::clone(services.outage()),
            subscriber: Arc::new(PublicRoutes { state: Arc::clone(&state), settings: Arc::clone(&settings) }),
            audit: Arc::new(AuditStanding::default()),
            activity: ActivityRecorder::default(),
        });
        let config = settings.load().node();
        NodeAgent::new(Arc::clone(&node)).start(&config).await?;
        let operator = Arc::new(ArcSwap::from_pointee(services.operator_of_service(&settings.load())));
        let setup = scheduler_setup(&services, &settings.load());
        let (node_config, _) = watch::channel(Arc::new(config));
        let failures = settings.load().failures().clone();
        let webhook = Arc::new(Webhook::new(failures.webhook.clone(), Arc::clone(services.metrics())));
        let (failures_config, _) = watch::channel(Arc::new(failures));
        let (scheduler_setup, _) = watch::channel(setup);
        let ops_hosts = Arc::new(AllowedHosts::new(settings.load().server().ops_hosts.clone()));
        Ok(Self {
            services,
            state,
            node,
            settings,
            node_config,
            scheduler_setup,
            failures_config,
            webhook,
            ops_hosts,
            operator,
            refused: Arc::default(),
        })
    }

    /// Makes the router of every public route.
    pub fn routes(&self) -> Router {
        http::router(&self.state)
    }

    /// Makes the router of the ops listener, without health.
    pub fn ops_routes(&self) -> Router {
        self.ops_routes_with(None)
    }

    /// Makes the router of an ops listener in this process, with health and the middleware. Every page of its console
    /// has this banner, which says what its data are.
    pub fn bannered_ops_routes(&self, banner: &'static str) -> Router {
        let routes = self.ops_routes_with(Some(banner)).merge(http::health_routes(Arc::clone(&self.state.readiness)));
        http::middleware::wrap(routes, RequestObserver { metrics: None, log: RequestLog::None })
    }

    fn ops_routes_with(&self, banner: Option<&'static str>) -> Router {
        let server = self.settings().server().clone();
        let admin =
            Arc::new(AdminState::new(Arc::clone(&self.operator), server.allow_plaintext, Arc::clone(&self.refused)));
        let metrics = self.services.metrics();
        let console = ConsoleState::new(
            Arc::clone(&self.operator),
            server.proxies(),
            server.allow_plaintext,
            Arc::clone(&self.refused),
            Arc::clone(metrics),
        )
        .with_banner(banner);
        let operators = ops::admin::router(&admin).merge(ops::console::router(console));
        ops::router(Arc::clone(metrics), Arc::clone(&self.ops_hosts), operators)
    }

    /// Operations of operators on this service, by the settings in force.
    pub fn operator(&self) -> &Arc<ArcSwap<Operator>> {
        &self.operator
    }

    /// State of the public routes.
    pub fn state(&self) -> &Arc<AppState> {
        &self.state
    }

    /// Services that were wired.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Names by which the ops listener may be called.
    pub(super) fn ops_hosts(&self) -> &Arc<AllowedHosts> {
        &self.ops_hosts
    }

    /// Settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Loads keys and API keys as they are on record now.
    ///
    /// # Errors
    /// [`OpenError::Keys`]; the ones loaded before stay in use.
    pub async fn reload_keys(&self) -> Result<(), OpenError> {
        self.node.reload_keys().await?;
        Ok(())
    }

    /// Makes an agent that does the node's background work.
    pub fn agent(&self) -> NodeAgent {
        NodeAgent::new(Arc::clone(&self.node))
    }

    /// Makes an agent that follows what ends.
    pub fn ends_agent(&self) -> EndsAgent {
        EndsAgent::new(Arc::clone(&self.node))
    }

    /// Makes an agent that follows the audit log and signs its head.
    pub fn audit_agent(&self) -> AuditAgent {
        AuditAgent::new(Arc::clone(&self.node), Arc::clone(self.services.audit_keys()))
    }

    /// Makes an agent that does the background work for reports of apps.
    pub fn failures_agent(&self) -> FailuresAgent {
        let reports = &self.state.reports;
        let parts = FailuresParts {
            knowledge: Arc::clone(&reports.knowledge),
            counts: Arc::clone(&reports.counts),
            config: self.failures_config.subscribe(),
            webhook: Arc::clone(&self.webhook),
        };
        FailuresAgent::new(Arc::clone(&self.node), parts)
    }

    /// Queue of events about failures.
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Returns the scheduler of key rotation, whose rounds the caller begins; `None` where no ring can be rotated.
    pub(super) fn stepped_scheduler(&self) -> Option<SteppedScheduler> {
        let setup = self.scheduler_setup.borrow().clone()?;
        Some(SteppedScheduler::new(self.scheduler(), setup))
    }

    fn scheduler(&self) -> RotationScheduler {
        RotationScheduler::new(Arc::clone(self.services.metrics()), Arc::clone(&self.state.readiness))
    }

    /// Starts the node's background work.
    pub fn start_node(&self) -> Background {
        let mut background = Background::new(Arc::clone(self.services.metrics()));
        background.spawn(BackgroundTask::Node, self.agent().run(self.node_config.subscribe()));
        background.spawn(BackgroundTask::Ends, self.ends_agent().run());
        background.spawn(BackgroundTask::Audit, self.audit_agent().run());
        background.spawn(BackgroundTask::Failures, self.failures_agent().run());
        background
    }

    /// Starts the node's background work and the scheduler of key rotation.
    pub fn start(&self) -> Background {
        let mut background = self.start_node();
        background.spawn(BackgroundTask::Rotation, self.scheduler().run(self.scheduler_setup.subscribe()));
        background
    }

    /// Removes this node from the store, so that no rotation waits for it, and writes what was only counted.
    pub(super) async fn deregister(&self) {
        let operator = self.operator.load_full();
        self.refused.write_counts(&operator).await;
        let now = self.services.clock().untrusted_now();
        if let Err(error) = self.state.reports.counts.write_to(&**self.services.store(), now).await {
            tracing::debug!(%error, "the last counts of failures are lost");
        }
        self.node.deregister().await;
    }

    /// Applies new settings: all of them or, where one cannot be applied, none.
    ///
    /// # Errors
    /// Text that says why they cannot be applied.
    pub(super) async fn reload(&self, new: Settings) -> Result<(), String> {
        self.check_retry_windows(&new)?;
        self.services.reseal(&new).await.map_err(|error| error.to_string())?;
        self.node.reload_keys().await.map_err(|error| error.to_string())?;
        let waiting = self.settings.load().restart_needed(&new);
        self.state.issuer.reload(new.policies(), SealingKeys::derive(new.sealing()));
        self.state.sign_ins.replace(new.sign_ins());
        self.state.reports.knowledge.set_apps(&reported_apps(&new));
        self.state.limits.store(Arc::new(Limits::new(new.limits())));
        self.state.jwks.set_max_age(new.jwks_max_age());
        self.state.proxies.replace(new.server().proxies());
        self.ops_hosts.replace(new.server().ops_hosts.clone());
        self.node_config.send_replace(Arc::new(new.node()));
        self.webhook.replace(new.failures().webhook.clone());
        self.failures_config.send_replace(Arc::new(new.failures().clone()));
        self.scheduler_setup.send_replace(scheduler_setup(&self.services, &new));
        self.operator.store(Arc::new(self.services.operator_of_service(&new)));
        self.settings.store(Arc::new(new));
        if let Err(error) = self.node.record_service_event(ServiceEventKind::Reloaded).await {
            tracing::debug!(%error, "the reload is not on record");
        }
        tracing::info!("configuration and keys reloaded");
        if !waiting.is_empty() {
            tracing::warn!(settings = waiting.join(", "), "these changes take effect at the next start");
        }
        Ok(())
    }

    /// Checks the apps against the limit of an outage that is in force until the restart, as the configuration is checked
    /// against its own.
    fn check_retry_windows(&self, new: &Settings) -> Result<(), String> {
        let Some(longest) = self.services.outage().longest() else { return Ok(()) };
        let is_short = |policy: &AppPolicy| policy.refresh().is_some_and(|refresh| refresh.retry_window < longest);
        match new.policies().iter().find(|(_, policy)| is_short(policy)) {
            Some((app, _)) => Err(format!(
                "apps.{app}.refresh.retry_window is shorter than the store.outage_limit that is in force: restart \
                 countersign, so that both change together"
            )),
            None => Ok(()),
        }
    }
}

fn app_state(settings: &Settings, services: &Services) -> Arc<AppState> {
    Arc::new(AppState {
        issuer: services.issuer(settings),
        api_keys: ApiKeyAuthenticator::default(),
        sign_ins: SignIns::new(settings.sign_ins(), Arc::clone(services.clock())),
        refused_keys: RefusedKeys::default(),
        refused_sign_ins: RefusedSignIns::default(),
        limits: ArcSwap::from_pointee(Limits::new(settings.limits())),
        proxies: Proxies::new(settings.server().proxies()),
        jwks: Jwks::default(),
        readiness: Arc::new(Readiness::default()),
        metrics: Arc::clone(services.metrics()),
        reports: reports(settings, services),
        request_log: settings.log().requests,
        clock: Arc::clone(services.clock()),
    })
}

fn reports(settings: &Settings, services: &Services) -> Reports {
    let counts = Counts::new(Arc::clone(services.metrics()));
    Reports::new(Arc::new(Knowledge::new(reported_apps(settings))), Arc::new(counts))
}

/// Subscriber that copies changed records into the state of the public routes.
struct PublicRoutes {
    state: Arc<AppState>,
    settings: Arc<ArcSwap<Settings>>,
}

impl Subscriber for PublicRoutes {
    fn on_records(&self, keys: &[KeyRecord], api_keys: Vec<ApiKeyRecord>) {
        self.state.jwks.swap(keys, self.settings.load().jwks_max_age());
        self.state.api_keys.swap(api_keys);
    }

    fn api_key_uses(&self) -> Vec<(ApiKeyId, UnixMillis)> {
        self.state.api_keys.uses()
    }

    fn evict_idle(&self) {
        self.state.limits.load().evict_idle();
        self.state.refused_keys.evict_idle();
        self.state.refused_sign_ins.evict_idle();
    }
}

/// Makes the rotator and rings of these settings. Returns `None`, and logs the reason, where Braze's client cannot be
/// made.
fn scheduler_setup(services: &Services, settings: &Settings) -> Option<Arc<SchedulerSetup>> {
    let observer = Arc::new(|step: &crate::rotate::plan::Step, reason: &str, phase| {
        if phase == StepPhase::Done {
            tracing::info!(%step, reason, "rotation");
        }
    });
    match services.rotator(settings, format!("node {}", services.node_name()), observer) {
        Ok(rotator) => Some(Arc::new(SchedulerSetup { rotator, rings: settings.rings_to_rotate() })),
        Err(why) => {
            tracing::error!(%why, "rotation is off until the next reload");
            None
        }
    }
}
