//! Events about causes that crossed their threshold: once for a cause, signed, to an allowed address only.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign::{
    clock::UnixMillis,
    config::{Environment, Settings},
    domain::failure::Cause,
    failures::{FailureEvent, Webhook, WebhookConfig, WebhookSecrets},
    secret::Secret,
    telemetry::Metrics,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::test_service::{CONFIG, TestService};

/// Longest wait for what happens soon.
const PATIENCE: Duration = Duration::from_mins(1);
const SECRET: &str = "a secret of the receiver, long enough";

type Received = (HeaderMap, Bytes);

#[derive(Clone)]
struct Receiver {
    sender: UnboundedSender<Received>,
    answer: StatusCode,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let _ = receiver.sender.send((headers, body));
    (receiver.answer, [(LOCATION, "/elsewhere")]).into_response()
}

/// A receiver on a loopback port; its URL, and what it gets.
async fn receiver(answer: StatusCode) -> (String, UnboundedReceiver<Received>) {
    let (sender, receives) = unbounded_channel();
    let state = Receiver { sender, answer };
    let routes = Router::new().route("/hook", post(receive)).route("/elsewhere", post(receive)).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (url, receives)
}

fn config(url: &str, allow_private_addresses: bool) -> WebhookConfig {
    let key = Secret::new(SECRET.as_bytes().to_vec());
    let secrets = Some(Arc::new(WebhookSecrets { url: Secret::new(url.to_owned()), key }));
    WebhookConfig { allow_private_addresses, secrets, ..WebhookConfig::default() }
}

fn event(n: u64) -> FailureEvent {
    FailureEvent {
        id: format!("msg_{n}"),
        time: UnixMillis(1_795_000_000_678),
        cause: Cause::KeyNotPublished,
        sessions: 21,
        reports: 30,
        apps: ["web".parse().unwrap()].into(),
        codes: ["27".to_owned()].into(),
        threshold: 20,
    }
}

/// Waits until a metric has a value.
async fn reaches(metrics: &Metrics, series: &str, value: u64) {
    let line = format!("countersign_webhook_events_total{{result=\"{series}\"}} {value}\n");
    let reached = async {
        while !metrics.encode().contains(&line) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{series} {value}: {}", metrics.encode()));
}

/// Verifies a signature by another library than the service's.
fn verify((headers, body): &Received) -> Value {
    let header = |name: &str| headers[name].to_str().unwrap();
    let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), str::from_utf8(body).unwrap());
    let tag = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    ring::hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn an_event_is_signed_and_has_names_and_numbers_only() {
    let (url, mut incoming) = receiver(StatusCode::NO_CONTENT).await;
    let webhook = Webhook::new(config(&url, true), Metrics::new());
    webhook.offer(event(1));
    let received = tokio::select! {
        received = tokio::time::timeout(PATIENCE, incoming.recv()) => received.unwrap().unwrap(),
        () = webhook.run() => unreachable!(),
    };
    let body = verify(&received);
    assert_eq!(received.0["content-type"], "application/json");
    assert_eq!(received.0["webhook-timestamp"], "1795000000");
    assert_eq!(body["type"], "failures.threshold");
    assert!(body["text"].as_str().unwrap().starts_with("21 sessions of web"), "{body}");
    let data = json!({
        "id": "msg_1", "time": 1_795_000_000_678_i64, "cause": "key_not_published", "sessions": 21, "reports": 30,
        "apps": ["web"], "codes": ["27"], "threshold": 20,
    });
    assert_eq!(body["data"], data);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_what_is_not_delivered_is_counted() {
    let (url, mut incoming) = receiver(StatusCode::TEMPORARY_REDIRECT).await;
    let metrics = Metrics::new();
    let webhook = Arc::new(Webhook::new(config(&url, true), Arc::clone(&metrics)));
    let running = tokio::spawn({
        let webhook = Arc::clone(&webhook);
        async move { webhook.run().await }
    });
    webhook.offer(event(1));
    reaches(&metrics, "dropped", 1).await;
    assert!(incoming.recv().await.is_some() && incoming.try_recv().is_err(), "one request, and none elsewhere");
    // Without permission, this machine is not asked at all.
    webhook.replace(config(&url, false));
    webhook.offer(event(2));
    reaches(&metrics, "dropped", 2).await;
    assert!(incoming.try_recv().is_err());
    running.abort();
}

#[tokio::test]
async fn a_hundred_events_wait_and_more_are_dropped() {
    let metrics = Metrics::new();
    let webhook = Webhook::new(config("https://receiver.example/hook", false), Arc::clone(&metrics));
    for n in 0..130 {
        webhook.offer(event(n));
    }
    reaches(&metrics, "dropped", 30).await;
    let without_receiver = Webhook::new(WebhookConfig::default(), Arc::clone(&metrics));
    without_receiver.offer(event(1));
    reaches(&metrics, "dropped", 30).await;
}

#[test]
fn a_url_that_must_not_be_requested_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        file
    };
    let secret = "0123456789abcdef".repeat(4);
    write("sealing.secret", &format!("{secret}\n"));
    let config = |more: &str| {
        let webhook = "[failures.webhook]\nurl_file = \"hook.url\"\nsecret_file = \"hook.secret\"\n";
        write("countersign.toml", &format!("[apps.web]\n{webhook}{more}"))
    };
    let load = |more: &str| match Settings::load(Some(&config(more)), &Environment::empty(), &[]) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    };
    write("hook.secret", SECRET);
    for (url, part) in [
        ("http://hooks.example.com/T0/CANARY", "must begin with https://"),
        ("https://10.1.2.3/CANARY", "an address that must not be dialled"),
        ("https://169.254.169.254/CANARY", "an address that must not be dialled"),
        ("https://127.0.0.1/CANARY", "this machine"),
        ("http://localhost/CANARY", "this machine"),
        ("https://a:CANARY@hooks.example.com/", "a user name or a password"),
        ("CANARY", "no URL"),
    ] {
        write("hook.url", url);
        let said = load("");
        assert!(said.contains("failures.webhook.url_file") && said.contains(part), "{url}: {said}");
        assert!(!said.contains("CANARY"), "{said}");
    }
    write("hook.url", "https://10.1.2.3/services\n");
    let said = load("allow_private_addresses = true\n");
    assert!(!said.contains("failures"), "{said}");
    write("hook.secret", "whsec_c2hvcnQ=\n");
    let said = load("allow_private_addresses = true\n");
    assert!(said.contains("failures.webhook.secret_file") && !said.contains("c2hvcnQ"), "{said}");
}

/// Eight sessions of a threshold of five: one event of two nodes, in a quarter of an hour.
#[tokio::test]
async fn the_node_with_the_lease_sends_one_event_for_a_cause() {
    let (url, mut incoming) = receiver(StatusCode::OK).await;
    let more = "\n[failures]\nthreshold = 5\n\n[failures.webhook]\nallow_private_addresses = true\n";
    let service = TestService::with(&format!("{CONFIG}{more}")).await;
    let other = service.beside(Arc::clone(&service.clock)).await;
    let (agent, idle) = (service.wiring.failures_agent(), other.wiring.failures_agent());
    for node in [&service, &other] {
        node.wiring.webhook().replace(config(&url, true));
    }
    for n in 0..8 {
        let token = service.session(&format!("u-{n}")).await;
        let body = json!({ "refresh_token": token, "failure": { "error_code": 28 } });
        assert_eq!(service.post("/v1/failures", &body).await.status, 204);
    }
    agent.tick().await;
    idle.tick().await;
    agent.tick().await;
    let (sends, idles) = (tokio::spawn(agent.run()), tokio::spawn(idle.run()));
    let body = verify(&tokio::time::timeout(PATIENCE, incoming.recv()).await.unwrap().unwrap());
    assert_eq!(body["data"]["cause"], "mixed_batch");
    let sessions = body["data"]["sessions"].as_u64().unwrap();
    // Two of eight may have one place in a sketch.
    assert!((5..=8).contains(&sessions) && body["data"]["threshold"] == 5, "{body}");
    reaches(service.services.metrics(), "delivered", 1).await;
    assert!(incoming.try_recv().is_err());
    assert!(!other.services.metrics().encode().contains("webhook_events_total{"));
    sends.abort();
    idles.abort();
}
