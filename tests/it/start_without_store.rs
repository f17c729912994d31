//! A service that is started while its store is out of reach stays up, refuses with 503, and serves once the store answers.

use std::{fs, path::PathBuf, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    cli::{eventually, init},
    support::{
        service::{run, run_json},
        starting_service::StartingService,
    },
};

/// An installation whose configuration names a database server that does not run.
struct Installation {
    folder: tempfile::TempDir,
    api_key: String,
    /// The configuration with the store that there is.
    with_store: String,
}

impl Installation {
    fn new() -> Self {
        let (folder, _) = init(&[]);
        let client = run_json(&["clients", "create", "backend", "--app", "web"], folder.path());
        let config = folder.path().join("countersign.toml");
        let with_store = fs::read_to_string(&config).unwrap();
        let absent = folder.path().join("absent").to_str().unwrap().replace('/', "%2F");
        let elsewhere =
            with_store.replace("[store]\n", &format!("[store]\nurl = \"postgres://u@{absent}:5432/store\"\n"));
        assert_ne!(elsewhere, with_store);
        fs::write(&config, elsewhere).unwrap();
        Self { folder, api_key: client["api_key"].as_str().unwrap().to_owned(), with_store }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("countersign.toml")
    }
}

/// The reason for which the node is not ready, as the ops listener says it.
async fn reason(service: &StartingService) -> String {
    let answer = service.get(&format!("{}/readyz", service.ops_url)).await;
    let report: Value = answer.json();
    assert_eq!((answer.status, &report["ready"]), (503, &json!(false)), "{report}");
    let condition = &report["conditions"][0];
    assert_eq!((&condition["name"], &condition["required"]), (&json!("serving"), &json!(true)), "{report}");
    condition["reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stays_up_and_refuses_with_503() {
    let installation = Installation::new();
    let service = StartingService::of(&installation.config()).await;
    let refresh = json!({ "refresh_token": "csr1_x" });
    for answer in [
        service.generate(&installation.api_key, "u-1").await,
        service.post("/v1/token/refresh", "x", &refresh).await,
        service.post("/v1/token/revoke", "x", &refresh).await,
        service.get(&format!("{}/.well-known/jwks.json", service.url)).await,
        service.get(&format!("{}/elsewhere", service.url)).await,
    ] {
        let answer = answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1, "{answer:?}");
    }
    for url in [&service.url, &service.ops_url] {
        assert_eq!(service.get(&format!("{url}/healthz")).await.ok().json(), json!({ "status": "alive" }));
    }
    let public = service.get(&format!("{}/readyz", service.url)).await;
    assert_eq!((public.status, public.json()), (503, json!({ "ready": false })));
    let why = reason(&service).await;
    for part in ["the start waits for the store", "does not answer", "no server runs there"] {
        assert!(why.contains(part), "{part}: {why}");
    }

    // Some attempts later there is still one alarm and one line, and the supervisor was asked for patience each time.
    let mut notices = String::new();
    while notices.matches("EXTEND_TIMEOUT_USEC=").count() < 4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        notices += &service.notices();
    }
    assert!(notices.contains("STATUS=the start waits for the store") && !notices.contains("READY=1"), "{notices}");
    let metrics = service.get(&format!("{}/metrics", service.ops_url)).await.ok().body;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("countersign_alarms_total{kind=\"store\"} 1\n"), "{metrics}");
    assert_eq!(service.events_of_waiting().len(), 1, "{}", service.log());

    service.signal(Signal::TERM);
    let (status, log) = service.wait();
    assert!(status.success() && log.contains("drained"), "{status}: {log}");
}

/// A reload is a way out, too: here, of a store that the configuration names wrongly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_on_the_same_sockets_once_there_is_the_store() {
    let installation = Installation::new();
    let mut service = StartingService::of(&installation.config()).await;
    let faulty = installation.with_store.replace("[apps.web]", "[aps.web]");
    fs::write(installation.config(), faulty).unwrap();
    service.signal(Signal::HUP);
    service.wait_for(|service| service.log().contains("reload refused").then_some(())).await;
    service.generate(&installation.api_key, "u-1").await.problem(503, "unavailable");

    fs::write(installation.config(), &installation.with_store).unwrap();
    service.signal(Signal::HUP);
    let ready = service.wait_for(StartingService::ready).await;
    assert_eq!((&ready["url"], &ready["ops_url"]), (&json!(service.url), &json!(service.ops_url)));
    let notices = service.wait_for(|service| Some(service.notices()).filter(|said| said.contains("READY=1"))).await;
    assert!(notices.contains("STATUS=serving"), "{notices}");
    // A connection that the waiting servers still had may be told once more to try again, and to close.
    eventually(async || {
        let answer = service.generate(&installation.api_key, "u-1").await;
        let is_served = answer.status == 200;
        if !is_served {
            assert_eq!(answer.problem(503, "unavailable").header("connection"), "close");
        }
        is_served
    })
    .await;
    service.generate(&installation.api_key, "u-1").await.ok();
    service.get(&format!("{}/readyz", service.ops_url)).await.ok();
    // Counts go on from before: what was raised stays raised.
    let metrics = service.get(&format!("{}/metrics", service.ops_url)).await.ok().body;
    assert!(String::from_utf8(metrics).unwrap().contains("countersign_alarms_total{kind=\"reload\"} 1\n"));
    service.signal(Signal::TERM);
    assert!(service.wait().0.success());
}

#[test]
fn other_commands_do_not_wait() {
    let installation = Installation::new();
    for command in [&["keys", "list"][..], &["clients", "list"], &["users", "opt-out", "u-1"], &["db", "migrate"]] {
        let (code, out, err) = run(command, installation.folder.path());
        assert!(code == 1 && (out.clone() + &err).contains("does not answer"), "{command:?}: {out}{err}");
    }
}
