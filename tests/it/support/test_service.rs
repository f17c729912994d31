//! The service inside the test: the real routes over the real rooms, with a clock that the test moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use countersign::{
    app::{Ambient, Layout, Services, Wiring},
    clock::{BootId, Clock, UnixMillis},
    config::{Environment, Settings},
    http::AppState,
    node::{EndsAgent, NodeAgent},
    operate::{ClientError, Operator},
    store::{self, StoreError},
    telemetry::Metrics,
};
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    Answer,
    switched_store::{Switch, SwitchedStore},
};

/// Clocks that stand still until they are moved.
#[derive(Debug)]
pub struct TestClock {
    wall: AtomicI64,
    /// Milliseconds since boot.
    boot: AtomicU64,
    boot_id: BootId,
}

impl TestClock {
    /// Clocks of a machine of their own.
    pub fn at(now: UnixMillis) -> Self {
        static MACHINES: AtomicU64 = AtomicU64::new(0);
        let machine = format!("{}-{}", std::process::id(), MACHINES.fetch_add(1, Ordering::Relaxed));
        Self { wall: AtomicI64::new(now.0), boot: AtomicU64::new(3_600_000), boot_id: BootId(Some(machine)) }
    }

    /// Passes time, as both clocks see it.
    pub fn forward(&self, span: Duration) {
        self.boot.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
        self.wall.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Sets the wall clock, by so many seconds.
    pub fn set_by(&self, seconds: i64) {
        self.wall.fetch_add(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::Relaxed))
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.boot.load(Ordering::Relaxed))
    }

    fn boot_id(&self) -> BootId {
        self.boot_id.clone()
    }
}

/// A service inside the test, with a clock that the test moves.
pub struct TestService {
    pub services: Arc<Services>,
    pub operator: Operator,
    pub state: Arc<AppState>,
    pub wiring: Wiring,
    pub settings: Arc<Settings>,
    pub clock: Arc<TestClock>,
    /// An API key for `web` and `ios`.
    pub api_key: String,
    /// Of the active key of ring `main`; empty where no app uses that ring.
    pub public_key: String,
    routes: Router,
    /// Does the node's background work, when the test says so.
    agent: tokio::sync::Mutex<NodeAgent>,
    /// Between this node and the store.
    pub switch: Arc<Switch>,
    /// Looks at what has ended, when the test says so.
    ends_agent: tokio::sync::Mutex<EndsAgent>,
    folder: Arc<tempfile::TempDir>,
}

/// Two apps on one ring; no limits, and patience on a slow machine.
pub const CONFIG: &str = r#"
[limits]
enabled = false

[custody]
max_wait = "60s"

[apps.web]
sdk_api_key = "sdk-key-of-web"
allowed_origins = ["https://app.example.com"]

[apps.ios]
"#;

impl TestService {
    pub async fn new() -> Self {
        Self::with(CONFIG).await
    }

    /// A service of this configuration.
    pub async fn with(config: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Layout::of(folder.path()).create(config).unwrap();
        Self::in_folder(folder, Arc::new(TestClock::at(UnixMillis(1_795_000_000_500)))).await
    }

    /// Another node on the same store and keys, with this clock.
    pub async fn beside(&self, clock: Arc<TestClock>) -> Self {
        Self::in_folder(Arc::clone(&self.folder), clock).await
    }

    /// Folder of the configuration, for commands.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    async fn in_folder(folder: Arc<tempfile::TempDir>, clock: Arc<TestClock>) -> Self {
        let config = Layout::of(folder.path()).config;
        let settings = Arc::new(Settings::load(Some(&config), &Environment::empty(), &[]).unwrap());
        let ambient = Ambient { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Ambient::system() };
        let (services, switch) = Self::services(&settings, ambient).await;
        let services = Arc::new(services);
        let operator = services.operator(&settings).unwrap();
        let public_key = match operator.keys().list().await.unwrap().into_iter().next() {
            Some(key) => key.public_key,
            None if operator.rings.iter().any(|ring| ring.name.as_str() == "main") => {
                operator.keys().first_key("main".parse().unwrap()).await.unwrap().public_key
            }
            None => String::new(),
        };
        let apps = settings.policies().keys().cloned().collect();
        let client = format!("backend-{}", operator.clients().list().await.unwrap().len());
        let api_key = match operator.clients().create(client.parse().unwrap(), apps, None).await {
            Ok((api_key, _)) => api_key.reveal().to_string(),
            Err(ClientError::Clock(_)) => String::new(),
            Err(error) => panic!("{error}"),
        };
        let wiring = Wiring::open(Arc::clone(&settings), Arc::clone(&services)).await.unwrap();
        Self {
            state: Arc::clone(wiring.state()),
            agent: tokio::sync::Mutex::new(wiring.agent()),
            ends_agent: tokio::sync::Mutex::new(wiring.ends_agent()),
            routes: wiring.routes(),
            wiring,
            services,
            operator,
            settings,
            clock,
            api_key,
            public_key,
            switch,
            folder,
        }
    }

    /// Opens the store, or creates it, and puts a switch before it.
    async fn services(settings: &Settings, ambient: Ambient) -> (Services, Arc<Switch>) {
        let metrics = Metrics::new();
        let store = match store::open(&settings.store(), Arc::clone(&metrics)).await {
            Err(StoreError::Missing { .. }) => {
                Services::create_store(settings, &ambient).await.unwrap();
                store::open(&settings.store(), Arc::clone(&metrics)).await
            }
            opened => opened,
        };
        let switch = Switch::before(store.unwrap());
        let store = Arc::new(SwitchedStore(Arc::clone(&switch)));
        (Services::of(store, settings, ambient, metrics).await.unwrap(), switch)
    }

    /// Passes this many seconds, with the node's background work in each.
    pub async fn run(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.forward(Duration::from_secs(1));
            self.tick().await;
        }
    }

    /// Does the background work of one second, in no time.
    pub async fn tick(&self) {
        self.agent.lock().await.tick(&self.settings.node()).await;
        self.look().await;
        self.wiring.failures_agent().tick().await;
    }

    /// Looks at what has ended, and tells the other nodes; the first time it reads all.
    pub async fn look(&self) {
        self.ends_agent.lock().await.tick().await;
    }

    /// Sends any request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// POSTs JSON without any credential.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, body)).await
    }

    /// Asks for a token as the backend does.
    pub async fn generate(&self, body: &Value) -> Answer {
        let mut request = post("/v1/token/generate", body);
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {}", self.api_key).parse().unwrap());
        self.send(request).await
    }

    /// Logs a user in on `web`; the answer.
    pub async fn login(&self, user: &str) -> Answer {
        self.generate(&json!({ "app": "web", "user_id": user })).await.ok()
    }

    /// Logs a user in on `web`; the refresh token.
    pub async fn session(&self, user: &str) -> String {
        self.login(user).await.text("refresh_token")
    }

    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        self.post("/v1/token/refresh", &json!({ "refresh_token": refresh_token })).await
    }

    pub async fn revoke(&self, refresh_token: &str) -> Answer {
        self.post("/v1/token/revoke", &json!({ "refresh_token": refresh_token })).await
    }

    /// The value of a metric, as `name{labels}`; 0 where there is none.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.services.metrics().encode();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// A JSON POST.
pub fn post(path: &str, body: &Value) -> Request<Body> {
    raw_post(path, body.to_string())
}

/// A POST of any text as JSON.
pub fn raw_post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}
