//! Readiness of a real process: false only for what another node could do better.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    cli::eventually,
    support::{
        Answer,
        service::{Service, run, run_json},
        test_service::{CONFIG, TestService},
    },
};

/// An installation with a key on ring `main`, an API key for `web` and `ios`, and this configuration of apps.
struct Installation {
    folder: tempfile::TempDir,
    config: PathBuf,
    base: String,
    api_key: String,
}

impl Installation {
    fn new(apps: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run_json(&["init"], folder.path());
        let config = folder.path().join("countersign.toml");
        let base = fs::read_to_string(&config).unwrap().replace("[apps.web]", "");
        let installation = Self { folder, config, base, api_key: String::new() };
        installation.configure("[apps.web]\n[apps.ios]\n");
        let client = ["clients", "create", "backend", "--app", "web", "--app", "ios"];
        let client = run_json(&client, installation.folder.path());
        installation.configure(apps);
        Self { api_key: client["api_key"].as_str().unwrap().to_owned(), ..installation }
    }

    fn configure(&self, apps: &str) {
        fs::write(&self.config, format!("{}\n{apps}", self.base)).unwrap();
    }

    async fn mint(&self, service: &Service, app: &str) -> Answer {
        let body = json!({ "app": app, "user_id": "u-1" });
        service.post("/v1/token/generate", Some(&self.api_key), &body).await.unwrap()
    }
}

async fn ops_report(service: &Service) -> (u16, Value) {
    let answer = service.get(&format!("{}/readyz", service.ops_url)).await;
    (answer.status, answer.json())
}

fn condition<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["conditions"].as_array().unwrap().iter().find(|condition| condition["name"] == name)
}

/// Waits for a report in which the condition is there and holds, or not.
async fn report_with(service: &Service, name: &str, ok: bool) -> (u16, Value) {
    for _ in 0..1200 {
        let (status, report) = ops_report(service).await;
        if condition(&report, name).is_some_and(|condition| condition["ok"] == ok) {
            return (status, report);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the condition {name} never becomes {ok}: {:?}", ops_report(service).await);
}

async fn key_alarms(service: &Service) -> usize {
    let metrics = String::from_utf8(service.get(&format!("{}/metrics", service.ops_url)).await.ok().body).unwrap();
    let alarms = metrics.lines().find_map(|line| line.strip_prefix("countersign_alarms_total{kind=\"key\"} "));
    alarms.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_without_a_key_costs_its_own_apps_only() {
    let installation = Installation::new("[apps.web]\n");
    let service = Service::of(&installation.config);
    installation.configure("[apps.web]\n[apps.ios]\nring = \"mian\"\n");
    service.signal(Signal::HUP);
    let (status, report) = report_with(&service, "ring mian", false).await;
    assert_eq!((status, &report["ready"]), (200, &json!(true)));
    let ring = condition(&report, "ring mian").unwrap();
    assert_eq!(ring["required"], false);
    let reason = ring["reason"].as_str().unwrap();
    assert!(reason.contains("countersign rotate run --ring mian") && reason.contains("did you mean ring main?"));
    service.get(&format!("{}/readyz", service.url)).await.ok();

    let token = installation.mint(&service, "web").await.ok().text("refresh_token");
    service.refresh(&token).await.unwrap().ok();
    let refused = installation.mint(&service, "ios").await.problem(503, "unavailable");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);

    // Several ticks later the fault is still one alarm and one line.
    while key_alarms(&service).await == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(key_alarms(&service).await, 1);
    installation.configure("[apps.web]\n[apps.ios]\nring = \"main\"\n");
    service.signal(Signal::HUP);
    report_with(&service, "ring main", true).await;
    while installation.mint(&service, "ios").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, _, log) = service.stop();
    let told = log.lines().filter(|line| line.contains("ERROR") && line.contains("rotate run --ring mian"));
    assert_eq!(told.filter(|line| line.contains("a ring that apps use cannot sign")).count(), 1, "{log}");
}

#[tokio::test]
async fn without_any_key_a_node_is_not_ready() {
    let installation = Installation::new("[apps.web]\nring = \"mian\"\n");
    let service = Service::of(&installation.config);
    let public = service.get(&format!("{}/readyz", service.url)).await;
    assert_eq!((public.status, public.json()), (503, json!({ "ready": false })));
    let (status, report) = ops_report(&service).await;
    assert_eq!((status, &condition(&report, "keys").unwrap()["required"]), (503, &json!(true)));
    assert!(report.to_string().contains("did you mean ring main?"), "{report}");

    let path = installation.folder.path();
    let (_, out, _) = run(&["doctor"], path);
    assert!(out.contains("did you mean ring main?"), "{out}");
    let (_, out, err) = run(&["config", "check"], path);
    assert!(format!("{out}{err}").contains("only app web uses ring mian; did you mean main?"), "{out}{err}");
}

/// All nodes share the store: none of them could do better.
#[tokio::test]
async fn a_store_that_is_lost_later_leaves_the_node_in_service() {
    let installation = Installation::new("[apps.web]\n");
    let service = Service::of(&installation.config);
    assert_eq!(ops_report(&service).await.0, 200);
    fs::rename(installation.folder.path().join("countersign.db"), installation.folder.path().join("moved")).unwrap();
    let (status, report) = report_with(&service, "store", false).await;
    assert_eq!((status, &report["ready"]), (200, &json!(true)));
    assert_eq!(condition(&report, "store").unwrap()["required"], false);
    service.get(&format!("{}/readyz", service.url)).await.ok();
}

/// A key file that is gone holds up no revocation of an API key.
#[tokio::test]
async fn an_api_key_is_revoked_although_a_key_does_not_load() {
    let service = TestService::with(&format!("{CONFIG}\n[apps.tv]\nring = \"tv\"\n")).await;
    let kept = |folder: &Path| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect::<BTreeSet<_>>();
    let folder = service.settings.custody().dir;
    let before = kept(&folder);
    service.operator.keys().first_key("tv".parse().unwrap()).await.unwrap();
    for file in kept(&folder).difference(&before) {
        fs::remove_file(file).unwrap();
    }
    let _background = service.wiring.start_node();
    let clients = service.operator.clients();
    let id = clients.list().await.unwrap()[0].id.clone();
    clients.revoke(&id).await.unwrap();
    for round in 0.. {
        if service.generate(&json!({ "app": "web", "user_id": "u-1" })).await.status == 401 {
            break;
        }
        assert!(round < 1200, "the revoked API key is not refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // At first it says that the ring has no key.
    eventually(async || {
        let report = service.state.readiness.report(true);
        let ring = report.conditions.iter().find(|condition| condition.name == "ring tv").unwrap();
        assert!(report.ready && !ring.ok && !ring.required, "{ring:?}");
        ring.reason.as_ref().unwrap().starts_with("its active key does not load: ")
    })
    .await;
}

/// A key file that is lost stops its own ring only, also at a start.
#[tokio::test]
async fn a_service_starts_without_the_key_of_one_ring() {
    let service = TestService::with(&format!("{CONFIG}\n[apps.tv]\nring = \"tv\"\n")).await;
    let key = service.operator.keys().first_key("tv".parse().unwrap()).await.unwrap();
    fs::remove_file(service.settings.custody().dir.join(&key.locator)).unwrap();
    let restarted = service.beside(Arc::clone(&service.clock)).await;
    restarted.generate(&json!({ "app": "web", "user_id": "u-1" })).await.ok();
    restarted.generate(&json!({ "app": "tv", "user_id": "u-1" })).await.problem(503, "unavailable");
    let report = restarted.state.readiness.report(true);
    let ring = report.conditions.iter().find(|condition| condition.name == "ring tv").unwrap();
    assert!(report.ready && ring.reason.as_ref().unwrap().contains("there is no such file"), "{ring:?}");
    restarted.run(3).await;
    assert_eq!(
        restarted.metric("countersign_alarms_total{kind=\"key\"}"),
        1.0,
        "reported once, though it is tried again"
    );
}
