//! Sign-in with opaque credentials through `POST /v1/token/exchange`: an endpoint is asked about them.

mod answers;
mod configured;
mod introspection;
mod session_endpoint;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use axum::body::Body;
use countersign::domain::{
    client_authentication::{ClientAuthentication, ClientSecret},
    sign_in::{ClaimPath, IntrospectionRules, SignIn, UserIdSource},
};
use http::{Request, header};
use serde_json::{Value, json};
use tracing::Dispatch;

use crate::support::{
    Answer,
    endpoint::TestEndpoint,
    test_service::{TestService, post},
};

/// The test clock's time, in seconds.
const NOW: i64 = 1_795_000_000;

fn user_id(claim: &str) -> UserIdSource {
    UserIdSource { claim: ClaimPath(claim.to_owned()), prefix: String::new(), verified_email: false }
}

fn introspection_rules(endpoint: &TestEndpoint) -> IntrospectionRules {
    IntrospectionRules {
        endpoint: endpoint.url.clone(),
        client_id: "countersign".to_owned(),
        authentication: ClientAuthentication::Basic(ClientSecret::new("canary-client-secret".to_owned())),
        issuer: None,
        audience: None,
        user_id: user_id("sub"),
        required_claims: Vec::new(),
        refused_claims: Vec::new(),
        max_age: None,
        leeway: Duration::ZERO,
        allow_private_addresses: false,
    }
}

/// An endpoint that answers for everybody with this user, and a service whose app `web` asks it.
async fn introspected(user: &str) -> (TestEndpoint, TestService) {
    let endpoint = TestEndpoint::start().await;
    endpoint.answers_json(&json!({ "active": true, "sub": user }));
    let service = with_sign_in(SignIn::Introspection(introspection_rules(&endpoint))).await;
    (endpoint, service)
}

async fn with_sign_in(sign_in: SignIn) -> TestService {
    let service = TestService::new().await;
    set_sign_ins(&service, &[("web", sign_in)]);
    service
}

/// Replaces the rules, as a reload does.
fn set_sign_ins(service: &TestService, sign_ins: &[(&str, SignIn)]) {
    let apps = sign_ins.iter().map(|(app, sign_in)| (app.parse().unwrap(), vec![sign_in.clone()]));
    service.state.sign_ins.replace(apps.collect::<HashMap<_, _>>());
}

fn exchange_request(app: &str, headers: &[(header::HeaderName, &str)]) -> Request<Body> {
    let mut request = post("/v1/token/exchange", &json!({ "app": app }));
    for (name, value) in headers {
        request.headers_mut().append(name.clone(), value.parse().unwrap());
    }
    request
}

async fn exchange(service: &TestService, bearer: &str) -> Answer {
    service.send(exchange_request("web", &[(header::AUTHORIZATION, &format!("Bearer {bearer}"))])).await
}

/// The same, from the client network with this number.
async fn exchange_from(service: &TestService, network: u8, bearer: &str) -> Answer {
    let mut request = exchange_request("web", &[(header::AUTHORIZATION, &format!("Bearer {bearer}"))]);
    let peer = SocketAddr::from(([10, 0, 0, network], 4321));
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    service.send(request).await
}

/// Claims of the token that an exchange minted.
#[track_caller]
fn minted(answer: Answer) -> Value {
    crate::support::claims(&answer.ok().text("token"))
}

/// Everything that this thread logs, at any level, until it is dropped.
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> Self {
        // With one dispatcher alone, `tracing` asks that of the thread which reaches an event first, and remembers its
        // answer for all: a test without a log would silence the event for this one.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| {
            Dispatch::new(
                tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(io::sink).finish(),
            )
        });
        LazyLock::force(&SECOND);
        let text = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&text);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || Writer(Arc::clone(&written)))
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    /// Number of lines with this text.
    fn count(&self, text: &str) -> usize {
        self.text().lines().filter(|line| line.contains(text)).count()
    }
}
