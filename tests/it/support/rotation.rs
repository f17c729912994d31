//! Set-up of rotation tests: a service's keys, a sandbox reached over HTTP, and one clock for both that the test
//! moves.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use countersign::{
    app::{Ambient, Layout, Services},
    clock::{Clock, SystemClock},
    config::{Environment, Settings},
    domain::{audit::AuditEvent, ids::Kid, key::KeyRecord, rotation::NodeReport},
    rotate::{
        Observer, Ring, RotateError, Rotator, StepPhase,
        plan::{Next, Step, next},
    },
    sandbox::{AppSpec, LocalBraze, REST_API_KEY, Sandbox, Switches, router, serve},
};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Answer, domain::NOW, test_service::TestClock};

pub const APPS: [&str; 2] = ["web", "ios"];

/// Services of one node, with a key ring of two apps at a sandbox.
pub struct RotationSetup {
    pub clock: Arc<TestClock>,
    pub services: Services,
    pub settings: Settings,
    pub folder: tempfile::TempDir,
    /// A node on another machine, and its folder.
    other: Option<(Services, tempfile::TempDir)>,
    /// Names of the completed steps.
    pub done: Arc<Mutex<Vec<String>>>,
    routes: Router,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for RotationSetup {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Returns the configuration of a ring with both apps at this sandbox; `more` is added to its rotation.
pub fn config(url: &str, more: &str) -> String {
    let apps = APPS.map(|app| {
        let id = app_id(app);
        format!("[apps.{app}]\nsdk_api_key = \"{app}\"\nworkspace = \"main\"\nbraze_app_id = \"{id}\"\n")
    });
    format!(
        "[limits]\nenabled = false\n[custody]\nmax_wait = \"60s\"\n[braze.main]\nrest_url = \"{url}\"\napi_key_file = \"braze.key\"\n\
         [rings.main]\nisolate_apps = true\n[rings.main.rotation]\n{more}\n{}",
        apps.concat()
    )
}

pub fn app_id(app: &str) -> String {
    format!("id-of-{app}")
}

/// Writes the configuration and the files that it names.
fn write_config(folder: &Path, config: &str) -> Layout {
    use std::os::unix::fs::PermissionsExt;
    let layout = Layout::of(folder);
    layout.create(config).unwrap();
    std::fs::write(folder.join("braze.key"), REST_API_KEY).unwrap();
    std::fs::set_permissions(folder.join("braze.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    layout
}

const CUSTODY: &str = "[custody]\n";
const CUSTODY_IN_STORE: &str = "[custody]\nkind = \"store\"\n";

/// Returns a configuration with the store in a PostgreSQL database, and the keys there.
fn with_database(config: &str, database: &str) -> String {
    format!("[store]\nurl = \"{database}\"\n{}", config.replace(CUSTODY, CUSTODY_IN_STORE))
}

/// Opens the services of a folder, with this clock.
pub async fn services(folder: &Path, clock: &Arc<TestClock>) -> (Services, Settings) {
    let (settings, ambient) = loaded(folder, clock);
    (Services::open(&settings, ambient).await.unwrap(), settings)
}

/// Creates the store of a folder.
async fn new_services(folder: &Path, clock: &Arc<TestClock>) -> (Services, Settings) {
    let (settings, ambient) = loaded(folder, clock);
    (Services::create(&settings, ambient).await.unwrap(), settings)
}

fn loaded(folder: &Path, clock: &Arc<TestClock>) -> (Settings, Ambient) {
    let settings = Settings::load(Some(&Layout::of(folder).config), &Environment::empty(), &[]).unwrap();
    (settings, Ambient { clock: Arc::clone(clock) as Arc<dyn Clock>, ..Ambient::system() })
}

impl RotationSetup {
    /// Sets up one active key, which Braze holds for both apps.
    pub async fn new() -> Self {
        Self::with("").await
    }

    pub async fn with(rotation: &str) -> Self {
        Self::configured(|url| config(url, rotation)).await
    }

    /// As [`Self::new`], with custody in the store.
    pub async fn in_store() -> Self {
        Self::configured(|url| config(url, "").replace(CUSTODY, CUSTODY_IN_STORE)).await
    }

    /// The same, with the store in a PostgreSQL database, and a node on another machine beside.
    pub async fn on_database(database: &str) -> Self {
        let mut setup = Self::configured(|url| with_database(&config(url, ""), database)).await;
        let other = tempfile::tempdir().unwrap();
        for file in ["countersign.toml", "sealing.secret", "braze.key"] {
            std::fs::copy(setup.folder.path().join(file), other.path().join(file)).unwrap();
        }
        setup.other = Some((services(other.path(), &setup.clock).await.0, other));
        setup
    }

    /// Folder of the node whose turn it is, where there are two.
    pub fn folder_in_turn(&self, turn: usize) -> &Path {
        let other = self.other.as_ref().filter(|_| turn % 2 == 1);
        other.map_or(self.folder.path(), |(_, folder)| folder.path())
    }

    async fn configured(config: impl FnOnce(&str) -> String) -> Self {
        let clock = Arc::new(TestClock::at(NOW));
        let braze = Arc::new(LocalBraze::new(clock.clone(), Switches::default(), |_| {}));
        for app in APPS {
            braze.add_app(AppSpec { app_id: Some(app_id(app)), ..AppSpec::named(app) }).unwrap();
        }
        let sandbox = Sandbox::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&braze)).await.unwrap();
        let url = sandbox.url();
        let serving = tokio::spawn(async move { match serve(sandbox).await {} });
        let folder = tempfile::tempdir().unwrap();
        write_config(folder.path(), &config(&url));
        let (services, settings) = new_services(folder.path(), &clock).await;
        let key = services.operator(&settings).unwrap().keys().first_key("main".parse().unwrap()).await.unwrap();
        for app in APPS {
            braze.add_key(app, &key.public_key, "the first").unwrap();
        }
        let routes = router(Arc::clone(&braze));
        Self { clock, services, settings, folder, other: None, done: Arc::default(), routes, serving }
    }

    pub fn config(&self) -> Ring {
        self.settings.rings_to_rotate().remove(0)
    }

    pub fn rotator(&self) -> Rotator {
        let done = Arc::clone(&self.done);
        let observer: Observer = Arc::new(move |step: &Step, _, phase| {
            if phase == StepPhase::Done {
                done.lock().unwrap().push(name(step));
            }
        });
        self.services.rotator(&self.settings, "the test".to_owned(), observer).unwrap()
    }

    /// Acts as a node: loads the signing keys and reports them. Where there is a node on another machine, so does that.
    pub async fn report_node(&self, node: &str) {
        self.report(&self.services, node).await;
        if let Some((services, _)) = &self.other {
            self.report(services, "on another machine").await;
        }
    }

    async fn report(&self, services: &Services, node: &str) {
        let records = services.store().keys().await.unwrap();
        services.keyring().swap(services.keyring().load(&**services.custodian(), &records).await);
        let seen = self.clock.now();
        let loaded = services.keyring().loaded().into_iter().map(|(kid, custody)| (kid, Some(custody))).collect();
        let report = NodeReport { node: node.to_owned(), seen, loaded };
        let until = seen.plus(self.config().config.longest_life);
        let signing = services.keyring().kids().into_values().map(|kid| (kid, until)).collect();
        services.store().report(report, signing).await.unwrap();
    }

    /// Reconciles the ring, with a node that reports and time that passes, until nothing is left to do.
    pub async fn settle(&self) {
        let (rotator, config) = (self.rotator(), self.config());
        for _ in 0..100 {
            self.report_node("a").await;
            match rotator.reconcile(&config).await {
                Ok(Next::Idle { .. }) => return,
                Ok(next) => self.pass(&next),
                Err(RotateError::Busy(_)) => self.clock.forward(Duration::from_secs(30)),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no end: {:?}", next(&rotator.observe(&config).await.unwrap().snapshot));
    }

    /// Moves the clock to the end of the plan's wait.
    pub fn pass(&self, next: &Next) {
        if let Next::Wait { until, .. } = next {
            self.clock.forward(until.map_or(Duration::from_secs(5), |until| until.since(self.clock.now())));
        }
        self.clock.forward(Duration::from_secs(1));
    }

    pub async fn control(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(format!("/sandbox/v1/{path}")).body(body).unwrap();
        let response = self.routes.clone().oneshot(request.map(Body::from)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn fault(&self, on: &str, kind: &str, times: u32) {
        self.control("POST", "faults", json!({ "on": on, "kind": kind, "times": times })).await.ok();
    }

    /// Removes the faults that affected no call; returns their number.
    pub async fn drain_faults(&self) -> usize {
        let mut left = 0;
        loop {
            let state = self.control("GET", "state", Value::Null).await.json();
            let Some(fault) = state["faults"].as_array().and_then(|faults| faults.first().cloned()) else {
                return left;
            };
            let (method, verb) = match fault["on"].as_str().unwrap() {
                "keys" => ("GET", "keys?app_id=x"),
                "create" => ("POST", "create"),
                "primary" => ("PUT", "primary"),
                _ => ("DELETE", "delete"),
            };
            let uri = format!("/app_group/sdk_authentication/{verb}");
            let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
            // A call without an API key: it takes the fault and has no effect.
            let _ = self.routes.clone().oneshot(request).await.unwrap();
            left += 1;
        }
    }

    /// Returns the public keys of an app at Braze, each with its `is_primary`.
    pub async fn held(&self, app: &str) -> Vec<(String, bool)> {
        let state = self.control("GET", "state", Value::Null).await.json();
        let apps = state["apps"].as_array().unwrap();
        let app = apps.iter().find(|known| known["name"] == app).unwrap();
        let key = |key: &Value| (key["rsa_public_key"].as_str().unwrap().to_owned(), key["is_primary"] == true);
        app["keys"].as_array().unwrap().iter().map(key).collect()
    }

    pub async fn keys(&self) -> Vec<KeyRecord> {
        self.services.store().keys().await.unwrap()
    }

    pub async fn active(&self) -> KeyRecord {
        let mut keys = self.keys().await;
        keys.retain(|key| key.state.as_str() == "active");
        assert_eq!(keys.len(), 1, "exactly one key signs");
        keys.remove(0)
    }

    pub fn key_file(&self, kid: &Kid) -> PathBuf {
        self.folder.path().join(format!("keys/{kid}.pem"))
    }

    pub async fn audit_log(&self) -> Vec<AuditEvent> {
        let mut audit_log = self.services.store().audit_log(None, 1000).await.unwrap();
        audit_log.reverse();
        audit_log
    }

    /// Checks the end of a rotation: the new key is the only one at Braze, primary, and the only one with a key file.
    pub async fn check_rotated_from(&self, old: &Kid) {
        let active = self.active().await;
        assert_ne!(active.kid, *old);
        for app in APPS {
            assert_eq!(self.held(app).await, [(active.public_key.clone(), true)], "{app}");
        }
        for key in self.keys().await {
            assert_eq!(
                self.key_file(&key.kid).exists(),
                key.kid == active.kid,
                "{} is {}",
                key.kid,
                key.state.as_str()
            );
        }
        assert_eq!(super::key_files(self.folder.path()).len(), 1, "no private half without a record");
    }
}

/// Returns a step's name.
pub fn name(step: &Step) -> String {
    serde_json::to_value(step).unwrap()["step"].as_str().unwrap().to_owned()
}

/// Starts a local Braze in real time; returns it with its URL and the task that serves it.
pub async fn local_braze(propagation: Duration) -> (Arc<LocalBraze>, String, tokio::task::JoinHandle<()>) {
    let switches = Switches { propagation_s: propagation.as_secs_f64(), ..Switches::default() };
    let braze = Arc::new(LocalBraze::new(Arc::new(SystemClock), switches, |_| {}));
    for app in APPS {
        let spec = AppSpec { app_id: Some(app_id(app)), sdk_api_key: Some(app.to_owned()), ..AppSpec::named(app) };
        braze.add_app(spec).unwrap();
    }
    let sandbox = Sandbox::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&braze)).await.unwrap();
    let url = sandbox.url();
    let serving = tokio::spawn(async move { match serve(sandbox).await {} });
    (braze, url, serving)
}

/// Installs a service whose key Braze holds for both apps; `rotation` is added to the ring's rotation, `lifetime` is
/// the tokens'.
pub async fn install(folder: &Path, braze: &LocalBraze, url: &str, rotation: &str, lifetime: &str) {
    install_on(None, folder, braze, url, rotation, lifetime).await;
}

/// Installs it with its store, and its keys there, in a PostgreSQL database, where one is given.
pub async fn install_on(
    database: Option<&str>,
    folder: &Path,
    braze: &LocalBraze,
    url: &str,
    rotation: &str,
    lifetime: &str,
) {
    let apps = format!("]\nlifetime = \"{lifetime}\"\nsdk_api_key");
    let config = config(url, rotation).replace("]\nsdk_api_key", &apps);
    let layout = write_config(folder, &database.map_or_else(|| config.clone(), |url| with_database(&config, url)));
    let settings = Settings::load(Some(&layout.config), &Environment::empty(), &[]).unwrap();
    let services = Services::create(&settings, Ambient::system()).await.unwrap();
    let key = services.operator(&settings).unwrap().keys().first_key("main".parse().unwrap()).await.unwrap();
    for app in APPS {
        braze.add_key(app, &key.public_key, "the first").unwrap();
    }
}
