//! REST client of Braze's key management, against the sandbox: repeated calls, errors, rate limits.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, response::Redirect, routing::any};
use countersign::{
    braze::{self, BrazeError, KeyDirectory},
    clock::Clock,
    domain::spki::Spki,
    sandbox::{AppSpec, LocalBraze, REST_API_KEY, Sandbox, Switches, serve},
    secret::Secret,
};
use serde_json::{Value, json};

use crate::support::{
    domain::{NOW, OURS, THEIRS, just_before},
    test_service::TestClock,
};

/// A sandbox on a free port of loopback.
struct BrazeServer {
    clock: Arc<TestClock>,
    /// The calls that arrived, by verb.
    calls: Arc<Mutex<Vec<String>>>,
    url: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for BrazeServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl BrazeServer {
    async fn new(switches: Switches) -> Self {
        let (clock, calls) = (Arc::new(TestClock::at(NOW)), Arc::<Mutex<Vec<String>>>::default());
        let received = Arc::clone(&calls);
        let on_event = move |event: &Value| {
            if event["type"] == "rest" {
                received.lock().unwrap().push(event["call"].as_str().unwrap().to_owned());
            }
        };
        let braze = Arc::new(LocalBraze::new(clock.clone(), switches, on_event));
        braze.add_app(AppSpec { app_id: Some("id-1".to_owned()), ..AppSpec::named("web") }).unwrap();
        let sandbox = Sandbox::bind(SocketAddr::from(([127, 0, 0, 1], 0)), braze).await.unwrap();
        let url = sandbox.url();
        let serving = tokio::spawn(async move { match serve(sandbox).await {} });
        Self { clock, calls, url, serving }
    }

    fn directory(&self, api_key: &str) -> Arc<dyn KeyDirectory> {
        directory(&self.url, api_key, &self.clock)
    }

    async fn fault(&self, on: &str, kind: &str, times: u32) {
        let fault = json!({ "on": on, "kind": kind, "times": times, "delay_ms": if kind == "rate_limited" { 60_000 } else { 0 } });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(format!("{}/sandbox/v1/faults", self.url)).json(&fault).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// Takes the recorded calls.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn directory(url: &str, api_key: &str, clock: &Arc<TestClock>) -> Arc<dyn KeyDirectory> {
    let config = braze::Config {
        rest_url: format!("{url}/"),
        api_key: Some(Secret::new(api_key.to_owned())),
        ..braze::Config::default()
    };
    let clock: Arc<dyn Clock> = clock.clone();
    braze::open(&BTreeMap::from([("main".to_owned(), config)]), &clock).unwrap().remove("main").unwrap()
}

#[tokio::test]
async fn keys_come_back_as_the_same_bytes_in_whatever_lines() {
    let braze = BrazeServer::new(Switches { reformat_pem: true, ..Switches::default() }).await;
    let directory = braze.directory(REST_API_KEY);
    assert_eq!(directory.list("id-1").await.unwrap(), []);
    let first = directory.create("id-1", &OURS.public_pem(), "countersign one").await.unwrap();
    let second = directory.create("id-1", &THEIRS.public_pem(), "countersign two").await.unwrap();
    let listed = directory.list("id-1").await.unwrap();
    assert_eq!(listed[0].public_key, Spki::from_pem(&OURS.public_pem()).ok());
    assert_eq!((listed[1].id.as_str(), listed[1].description.as_str()), (second.as_str(), "countersign two"));
    directory.make_primary("id-1", &second).await.unwrap();
    assert!(directory.list("id-1").await.unwrap()[1].primary);
    directory.delete("id-1", &first).await.unwrap();
    directory.delete("id-1", &first).await.unwrap();
    assert_eq!(directory.list("id-1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_create_is_sent_once_and_everything_else_may_be_repeated() {
    let braze = BrazeServer::new(Switches::default()).await;
    let directory = braze.directory(REST_API_KEY);
    for kind in ["timeout_after_effect", "timeout_before_effect", "error_after_effect", "error_before_effect"] {
        braze.fault("create", kind, 1).await;
        let lost = directory.create("id-1", &OURS.public_pem(), "x").await.unwrap_err();
        assert!(lost.is_ambiguous(), "{lost}");
        assert_eq!(braze.calls(), ["create"], "{kind}");
    }
    let ids: Vec<String> = directory.list("id-1").await.unwrap().into_iter().map(|key| key.id).collect();
    assert_eq!(ids.len(), 2, "two of them had happened");
    braze.calls();
    for kind in ["timeout_after_effect", "error_before_effect"] {
        braze.fault("keys", kind, 2).await;
        directory.list("id-1").await.unwrap();
        assert_eq!(braze.calls(), ["keys"; 3], "{kind}");
        braze.fault("primary", kind, 2).await;
        directory.make_primary("id-1", &ids[0]).await.unwrap();
        assert_eq!(braze.calls(), ["primary"; 3], "{kind}");
    }
    braze.fault("delete", "timeout_after_effect", 1).await;
    directory.delete("id-1", &ids[1]).await.unwrap();
    assert_eq!(braze.calls(), ["delete", "delete", "keys"], "gone is gone, once a list says so");
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_a_404_is_no_empty_list() {
    let braze = BrazeServer::new(Switches::default()).await;
    let directory = braze.directory(REST_API_KEY);
    for kind in ["not_found", "unauthorized"] {
        braze.fault("keys", kind, 1).await;
        let refused = directory.list("id-1").await.unwrap_err();
        assert!(matches!(refused, BrazeError::Refused { .. }) && !refused.is_ambiguous(), "{refused}");
        assert_eq!(braze.calls(), ["keys"], "{kind}");
    }
    let unknown = directory.list("another app").await.unwrap_err();
    assert!(unknown.to_string().contains("another app"), "{unknown}");
    let stranger = braze.directory("no such key").list("id-1").await.unwrap_err().to_string();
    assert!(stranger.contains("sdk_authentication.create") && !stranger.contains("no such key"), "{stranger}");
}

#[tokio::test]
async fn nothing_is_sent_while_the_limit_is_used_up() {
    let braze = BrazeServer::new(Switches::default()).await;
    let directory = braze.directory(REST_API_KEY);
    braze.fault("create", "rate_limited", 1).await;
    let Err(BrazeError::RateLimited { until }) = directory.create("id-1", &OURS.public_pem(), "x").await else {
        panic!()
    };
    assert!((60..=61).contains(&until.since(NOW).as_secs()), "{until}");
    assert_eq!(directory.list("id-1").await, Err(BrazeError::RateLimited { until }));
    assert_eq!(braze.calls(), ["create"]);
    braze.clock.forward(Duration::from_secs(61));
    assert_eq!(directory.list("id-1").await.unwrap(), []);
}

/// A reset in milliseconds once silenced the service for tens of thousands of years.
#[tokio::test]
async fn no_limit_silences_us_for_more_than_an_hour() {
    let hour = Duration::from_hours(1);
    for (name, value) in [
        ("x-ratelimit-reset", NOW.plus(Duration::from_hours(48)).0.to_string()),
        ("x-ratelimit-reset", "9223372036854775807".to_owned()),
        ("retry-after", "31536000".to_owned()),
        ("retry-after", "Tue, 20 Nov 2096 09:07:40 GMT".to_owned()),
    ] {
        let braze = BrazeServer::new(Switches::default()).await;
        let calls = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&calls);
        let answer = any(async move || {
            *counted.lock().unwrap() += 1;
            (http::StatusCode::TOO_MANY_REQUESTS, [(name, value)])
        });
        let limited = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", limited.local_addr().unwrap());
        let routes = Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(limited, routes).await.unwrap() });
        let directory = directory(&url, REST_API_KEY, &braze.clock);
        let until = NOW.plus(hour);
        assert_eq!(directory.list("id-1").await, Err(BrazeError::RateLimited { until }), "{name}");
        braze.clock.forward(just_before(hour));
        assert_eq!(directory.list("id-1").await, Err(BrazeError::RateLimited { until }), "{name}");
        assert_eq!(*calls.lock().unwrap(), 1);
        braze.clock.forward(Duration::from_millis(1));
        assert!(directory.list("id-1").await.is_err());
        assert_eq!(*calls.lock().unwrap(), 2, "{name}: it asks again after an hour");
        serving.abort();
    }
}

/// The API key goes to Braze only, never to the target of a redirect.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let braze = BrazeServer::new(Switches::default()).await;
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let target = format!("{}/app_group/sdk_authentication/keys?app_id=id-1", braze.url);
    let routes = Router::new().fallback(any(async move || Redirect::temporary(&target)));
    let serving = tokio::spawn(async move { axum::serve(elsewhere, routes).await.unwrap() });
    let refused = directory(&format!("http://{address}"), REST_API_KEY, &braze.clock).list("id-1").await.unwrap_err();
    assert_eq!(refused, BrazeError::Refused { status: 307, message: "no message".to_owned() });
    assert_eq!(braze.calls(), [""; 0]);
    let gone = directory("http://127.0.0.1:1", REST_API_KEY, &braze.clock).list("id-1").await.unwrap_err();
    assert!(gone.to_string().contains("no connection"), "{gone}");
    assert!(!gone.is_ambiguous(), "nothing was sent");
    serving.abort();
}
