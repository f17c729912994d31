//! Revocation works on the session, whatever the configuration says about its app.

use std::{fs, path::PathBuf, time::Duration};

use rustix::process::Signal;
use serde_json::json;

use super::support::{
    Answer,
    service::{Service, run_ending, run_json},
};

const WITH_IOS: &str = "[apps.web]\n[apps.ios]\n";

/// A running service of the apps `web` and `ios`, whose configuration the test changes.
struct Fixture {
    folder: tempfile::TempDir,
    config: PathBuf,
    base: String,
    api_key: String,
    service: Service,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run_json(&["init"], folder.path());
        let config = folder.path().join("countersign.toml");
        let base = fs::read_to_string(&config).unwrap().replace("[apps.web]", "");
        fs::write(&config, format!("{base}\n{WITH_IOS}")).unwrap();
        let client = run_json(&["clients", "create", "backend", "--app", "web", "--app", "ios"], folder.path());
        let service = Service::of(&config);
        Self { folder, config, base, api_key: client["api_key"].as_str().unwrap().to_owned(), service }
    }

    /// Puts these apps into force. Life `n` minutes of `web` shows that the reload is done.
    async fn reload(&self, apps: &str, n: u64) {
        let apps = apps.replace("[apps.web]", &format!("[apps.web]\nlifetime = \"{n}m\""));
        fs::write(&self.config, format!("{}\n{apps}", self.base)).unwrap();
        self.service.signal(Signal::HUP);
        for round in 0.. {
            let life = self.mint("web").await.ok().json()["expires_in"].as_u64().unwrap();
            if life.div_ceil(60) == n {
                return;
            }
            assert!(round < 3000, "the configuration is not in force");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn mint(&self, app: &str) -> Answer {
        let body = json!({ "app": app, "user_id": "u-1" });
        self.service.post("/v1/token/generate", Some(&self.api_key), &body).await.unwrap()
    }

    async fn session(&self) -> String {
        self.mint("ios").await.ok().text("refresh_token")
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.service.refresh(token).await.unwrap()
    }

    async fn revoke(&self, token: &str) -> Answer {
        self.service.post("/v1/token/revoke", None, &json!({ "refresh_token": token })).await.unwrap()
    }
}

#[tokio::test]
async fn a_session_is_revoked_whatever_the_configuration_says() {
    let fixture = Fixture::new();
    let without = [
        ("the app is out of the configuration", "[apps.web]\n"),
        ("its sessions are not refreshed", "[apps.web]\n[apps.ios]\nrefresh.enabled = false\n"),
        ("its ring has no key", "[apps.web]\n[apps.ios]\nring = \"other\"\n"),
    ];
    for (n, (why, apps)) in (10..).step_by(2).zip(without) {
        let (revoked, kept) = (fixture.session().await, fixture.session().await);
        fixture.reload(apps, n).await;
        assert_ne!(fixture.refresh(&revoked).await.status, 200, "{why}");
        assert_eq!(fixture.revoke(&revoked).await.ok().json()["status"], "success", "{why}");
        fixture.reload(WITH_IOS, n + 1).await;
        fixture.refresh(&revoked).await.problem(401, "invalid_token");
        fixture.refresh(&kept).await.ok();
    }
}

#[tokio::test]
async fn operators_revoke_and_opt_out_on_an_app_that_is_out_of_the_configuration() {
    let fixture = Fixture::new();
    let path = fixture.folder.path();
    let token = fixture.session().await;
    fixture.reload("[apps.web]\n", 10).await;
    let session = &run_json(&["users", "sessions", "u-1"], path);
    assert!(session.as_array().unwrap().iter().any(|session| session["app"] == "ios"), "{session}");
    assert_eq!(run_ending(&["users", "revoke", "u-1", "--app", "ios"], path)["ended"], 1);
    assert_eq!(run_ending(&["users", "opt-out", "u-1", "--app", "ios"], path)["changed"], true);
    fixture.reload(WITH_IOS, 11).await;
    fixture.refresh(&token).await.problem(403, "opted_out");
    fixture.mint("ios").await.problem(403, "opted_out");
    assert_eq!(run_json(&["users", "opt-in", "u-1", "--app", "ios"], path)["changed"], true);
    fixture.refresh(&token).await.problem(401, "invalid_token");
    fixture.mint("ios").await.ok();
}

/// R32: a mistake in the configuration is no reason to throw a session away.
#[tokio::test]
async fn an_app_that_is_out_of_the_configuration_by_mistake_logs_nobody_out() {
    let fixture = Fixture::new();
    let (revoked, kept) = (fixture.session().await, fixture.session().await);
    fixture.reload("[apps.web]\n", 10).await;
    let answer = fixture.refresh(&kept).await;
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!((answer.status, answer.text("code").as_str()), (503, "unavailable"));
    assert_eq!(fixture.revoke(&revoked).await.status, 200);
    assert_eq!(fixture.refresh(&revoked).await.text("code"), "invalid_token");
    fixture.reload(WITH_IOS, 12).await;
    assert_eq!(fixture.refresh(&kept).await.status, 200);
    assert_eq!(fixture.refresh(&revoked).await.status, 401);
    let (_, _, log) = fixture.service.stop();
    assert!(log.contains("the configuration has no [apps.ios], and sessions of ios are live: add it"), "{log}");
}
