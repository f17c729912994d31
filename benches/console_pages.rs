//! Processor time of each page of the console, against that of a mint, in an installation that has much to show.
//!
//! `cargo bench --bench console_pages` makes 1,000 sessions, 200 of which report a failure, 40 keys and 2,000 records of the
//! audit log (`CONSOLE_SESSIONS`), and asks for a mint and for every page in turn, 25 times (`CONSOLE_ROUNDS`). It compares
//! the medians, and fails where a page takes more than three times as long as a mint.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a program to measure with, which rounds for people"
)]

use std::{env, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use countersign::{
    app::{Ambient, Layout, Services, Wiring},
    config::{Environment, Settings},
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        operator::Role,
    },
    operate::Operator,
    ops::console::{ROUTES, RouteRights},
    store,
    telemetry::Metrics,
};
use http::{Request, header};
use http_body_util::BodyExt;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tower::ServiceExt;

/// Greatest ratio of a page's time to a mint's.
const LIMIT: f64 = 3.0;
const HOST: &str = "127.0.0.1:9090";
const KEYS: usize = 40;
const RECORDS: usize = 1000;
const CONFIG: &str = "[limits]\nenabled = false\n\n[apps.web]\n\n[apps.ios]\n";

/// Service with both listeners' routes.
struct Console {
    wiring: Wiring,
    operator: Operator,
    public: Router,
    ops: Router,
    api_key: String,
    cookie: String,
}

fn main() {
    // `cargo test` starts this program, too.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let (sessions, rounds) = (number("CONSOLE_SESSIONS", 1000_usize), number("CONSOLE_ROUNDS", 25_usize));
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let console = Console::open(folder.path()).await;
        console.fill(sessions).await;
        console.measure(rounds).await;
    });
}

/// Processor time of this process, with the threads of the store and of the signatures.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

impl Console {
    async fn open(folder: &Path) -> Self {
        Layout::of(folder).create(CONFIG).unwrap();
        let config = Layout::of(folder).config;
        let settings = Arc::new(Settings::load(Some(&config), &Environment::empty(), &[]).unwrap());
        let metrics = Metrics::new();
        Services::create_store(&settings, &Ambient::system()).await.unwrap();
        let store = store::open(&settings.store(), Arc::clone(&metrics)).await.unwrap();
        let services = Arc::new(Services::of(store, &settings, Ambient::system(), metrics).await.unwrap());
        let operator = services.operator(&settings).unwrap();
        operator.keys().first_key("main".parse().unwrap()).await.unwrap();
        let apps = settings.policies().keys().cloned().collect();
        let (api_key, _) = operator.clients().create("shop".parse().unwrap(), apps, None).await.unwrap();
        let (token, _) = operator.operators().create("ada".parse().unwrap(), Role::Operator, None).await.unwrap();
        let wiring = Wiring::open(settings, services).await.unwrap();
        let (public, ops, api_key) = (wiring.routes(), wiring.ops_routes(), api_key.reveal().to_string());
        let mut console = Self { wiring, operator, public, ops, api_key, cookie: String::new() };
        console.cookie = console.login(&token.reveal()).await;
        console
    }

    /// Logs in; the session's cookie.
    async fn login(&self, token: &str) -> String {
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
        let request = Request::post("/console/login").header(header::ORIGIN, format!("http://{HOST}"));
        let answer = self.send(request.body(Body::from(body)).unwrap()).await;
        answer.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn send(&self, mut request: Request<Body>) -> http::Response<Vec<u8>> {
        request.headers_mut().insert(header::HOST, HOST.parse().unwrap());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let routes = if request.uri().path().starts_with("/console") { &self.ops } else { &self.public };
        let (parts, body) = routes.clone().oneshot(request).await.unwrap().into_parts();
        http::Response::from_parts(parts, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn post(&self, path: &str, body: &Value) -> http::Response<Vec<u8>> {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.api_key));
        let answer = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer
    }

    async fn mint(&self, user: usize) -> Value {
        let answer = self.post("/v1/token/generate", &json!({ "app": "web", "user_id": format!("u-{user}") })).await;
        serde_json::from_slice(answer.body()).unwrap()
    }

    async fn page(&self, path: &str) -> usize {
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        let answer = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.body().len()
    }

    async fn fill(&self, sessions: usize) {
        for user in 0..sessions {
            let token = self.mint(user).await["refresh_token"].clone();
            if user < sessions / 5 {
                let code = [22, 25, 27][user % 3];
                let failure = json!({ "error_code": code, "reason": "TEST", "platform": "web" });
                self.post("/v1/failures", &json!({ "refresh_token": token, "failure": failure })).await;
            }
        }
        for _ in 0..KEYS {
            self.operator.keys().generate("main".parse().unwrap(), 2048).await.unwrap();
        }
        let event = |at| AuditEvent {
            at,
            actor: Actor::named("client shop".to_owned()),
            action: AuditAction::SessionEnded,
            target: AuditTarget { app: Some("web".parse().unwrap()), ..AuditTarget::default() },
            outcome: AuditOutcome::Done,
            why: "revoked".to_owned(),
        };
        let store = self.wiring.services().store();
        for _ in 0..RECORDS {
            store.append_events(vec![event(self.operator.clock.untrusted_now())]).await.unwrap();
        }
        let mut agent = self.wiring.agent();
        agent.tick(&self.wiring.settings().node()).await;
        self.wiring.failures_agent().tick().await;
    }

    async fn measure(&self, rounds: usize) {
        let read =
            |route: &&countersign::ops::console::ConsoleRoute| !route.is_form && route.rights == RouteRights::Reading;
        let pages: Vec<&str> = ROUTES.iter().filter(read).map(|route| route.path).collect();
        let (mut mints, mut times, mut sizes) = (Vec::new(), vec![Vec::new(); pages.len()], vec![0; pages.len()]);
        for round in 0..rounds {
            let begin = processor_time();
            self.mint(round).await;
            mints.push(processor_time().saturating_sub(begin));
            for (at, path) in pages.iter().enumerate() {
                let begin = processor_time();
                sizes[at] = self.page(path).await;
                times[at].push(processor_time().saturating_sub(begin));
            }
        }
        let mint = median(mints);
        println!("{:<22} {:>8.3} ms", "a mint", mint.as_secs_f64() * 1000.0);
        let mut slow = Vec::new();
        for ((path, times), size) in pages.iter().zip(times).zip(sizes) {
            let time = median(times);
            let ratio = time.as_secs_f64() / mint.as_secs_f64();
            println!("{path:<22} {:>8.3} ms, {ratio:>5.2} mints, {size:>6} bytes", time.as_secs_f64() * 1000.0);
            if ratio > LIMIT {
                slow.push(*path);
            }
        }
        assert!(slow.is_empty(), "more than {LIMIT} mints: {slow:?}");
    }
}
