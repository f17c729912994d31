//! `rotate`, `braze keys` and `keys compromise` at the command line, and what a running service shows.

use std::{path::Path, time::Duration};

use countersign::sandbox::REST_API_KEY;
use serde_json::{Value, json};

use crate::{
    cli::eventually,
    support::{
        domain::THEIRS,
        rotation::{install, local_braze},
        service::{Service, run, run_json},
    },
};

/// A folder with a service of two apps, whose local Braze runs beside it.
async fn place(rotation: &str) -> (tempfile::TempDir, String, tokio::task::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let (braze, url, serving) = local_braze(Duration::ZERO).await;
    install(folder.path(), &braze, &url, rotation, "1m").await;
    (folder, url, serving)
}

/// Runs a command beside the local Braze, which is in this process.
async fn command(arguments: &[&str], folder: &Path) -> (i32, String, String) {
    let (arguments, folder) = (arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), folder.to_owned());
    let asked = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &folder);
    tokio::task::spawn_blocking(asked).await.unwrap()
}

/// The exit code, and the answer as JSON.
async fn asked(arguments: &[&str], folder: &Path) -> (i32, Value) {
    let (code, out, err) = command(&[arguments, &["--json"]].concat(), folder).await;
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}")))
}

async fn control(url: &str, method: reqwest::Method, path: &str, body: Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, format!("{url}/sandbox/v1/{path}"));
    let answer = if body.is_null() { request.send() } else { request.json(&body).send() }.await.unwrap();
    answer.json().await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_shown_followed_given_up_and_taken_back() {
    let (folder, _, serving) = place("soak = \"0s\"").await;
    let path = folder.path();
    let (code, out, _) = command(&["rotate", "plan"], path).await;
    assert_eq!(code, 0);
    for part in [
        "make a new key: there is no published key",
        "publish the new key",
        "sign with the new key",
        "alive until",
        "destroy",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    assert!(!out.contains("_v7"), "no id is invented: {out}");
    let (code, plan) = asked(&["rotate", "plan"], path).await;
    assert!(code == 0 && plan[0]["plan"]["lines"].as_array().unwrap().len() > 10, "{plan}");
    assert_eq!(asked(&["rotate", "status"], path).await.1[0]["goal"], "idle", "a plan changes nothing");

    let (code, _, err) = command(&["rotate", "abort"], path).await;
    assert!(code == 1 && err.contains("no rotation is under way"), "{err}");
    let (code, _, err) = command(&["rotate", "rollback"], path).await;
    assert!(code == 1 && err.contains("no key is retiring"), "{err}");

    let first = run_json(&["keys", "public"], path)["kid"].clone();
    let (code, ran) = asked(&["rotate", "run", "--yes"], path).await;
    assert_eq!((code, &ran["waiting"][0]["blocker"]), (3, &json!("tokens")), "{ran}");
    let (code, status) = asked(&["rotate", "status"], path).await;
    assert_eq!((code, &status[0]["goal"]), (3, &json!("cleaning_up")), "{status}");
    let (code, diff, _) = command(&["braze", "keys", "diff"], path).await;
    assert!(code == 0 && diff.contains("A rotation of ring main is in progress"), "two keys are there: {diff}");
    assert_eq!(status[0]["audit_log"][0]["action"], "made_primary");
    assert_ne!(run_json(&["keys", "public"], path)["kid"], first);
    let (code, _, err) = command(&["rotate", "abort"], path).await;
    assert!(code == 1 && err.contains("rotate rollback"), "{err}");
    assert_eq!(command(&["rotate", "rollback"], path).await.0, 3);
    assert_eq!(run_json(&["keys", "public"], path)["kid"], first);
    let (code, _, err) = command(&["rotate", "plan", "--ring", "nope"], path).await;
    assert!(code == 1 && err.contains("no app"), "{err}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_at_braze_is_seen_from_everywhere() {
    let (folder, url, serving) = place("soak = \"0s\"\ncheck_every = \"1s\"").await;
    let path = folder.path();
    assert_eq!(asked(&["braze", "keys", "diff"], path).await, (0, json!([])));
    let service = Service::of_with(&path.join("countersign.toml"), |command| {
        command.env("COUNTERSIGN_LOG__LEVEL", "trace");
    });
    let stranger = json!({ "public_key": THEIRS.public_pem(), "description": "who knows" });
    control(&url, reqwest::Method::POST, "apps/ios/keys", stranger).await;

    let (code, found) = asked(&["braze", "keys", "diff"], path).await;
    assert_eq!((code, &found[0]["drift"], &found[0]["app"]), (3, &json!("unknown"), &json!("ios")));
    let (_, rows) = asked(&["braze", "keys", "list"], path).await;
    let rows: Vec<_> = rows.as_array().unwrap().iter().map(|row| (row["app"].clone(), row["is"].clone())).collect();
    assert_eq!(
        rows,
        [("ios", "matching"), ("ios", "unknown"), ("web", "matching")].map(|(app, is)| (json!(app), json!(is)))
    );
    let (code, out, _) = command(&["doctor"], path).await;
    assert!(code == 3 && out.contains("none of ours"), "{out}");
    let metric = "countersign_braze_drift{ring=\"main\",kind=\"unknown\"} 1";
    let mut seen = String::new();
    for _ in 0..600 {
        seen = String::from_utf8(service.get(&format!("{}/metrics", service.ops_url)).await.body).unwrap();
        if seen.contains(metric) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(seen.contains(metric), "{seen}");
    let ready = service.get(&format!("{}/readyz?verbose", service.ops_url)).await.ok().json();
    assert!(ready["advice"][0]["reason"].as_str().unwrap().contains("none of ours"), "{ready}");
    assert_eq!(ready["ready"], true, "tokens are as good as before");
    assert!(service.get(&format!("{}/readyz", service.ops_url)).await.ok().json().get("advice").is_none());
    let (_, _, log) = service.stop();
    assert!(log.contains("none of ours"), "{log}");
    assert!(!log.contains(REST_API_KEY), "the REST API key is in the log");

    serving.abort();
    let _ = serving.await;
    assert_eq!(command(&["braze", "keys", "diff"], path).await.0, 4, "Braze does not answer");
    let (code, plan, _) = command(&["rotate", "plan"], path).await;
    assert!(code == 4 && plan.contains("go on when Braze answers") && !plan.contains("an operator"), "{plan}");
    assert_eq!(command(&["rotate", "run", "--yes"], path).await.0, 4);
}

/// Diagnoses of failures go by the records, and nobody rotates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_service_puts_on_record_what_brazes_lists_show() {
    let (folder, _, serving) = place("check_every = \"1s\"").await;
    let path = folder.path();
    let store = rusqlite::Connection::open(path.join("countersign.db")).unwrap();
    store.execute_batch("DELETE FROM publications").unwrap();
    drop(store);
    let is_noted = async || !command(&["rotate", "status"], path).await.1.contains("put on record: app");
    assert!(!is_noted().await, "the list of app web shows a key that the records do not have there");
    let service = Service::of(&path.join("countersign.toml"));
    eventually(is_noted).await;
    let records = run_json(&["audit", "list", "--limit", "2"], path);
    let is_published = |record: &Value| record["event"]["action"] == "published";
    assert!(records.as_array().unwrap().iter().all(is_published), "{records}");
    assert_eq!(asked(&["rotate", "status"], path).await.1[0]["goal"], "idle");
    service.stop();
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compromise_is_one_command_and_nodes_follow() {
    let (folder, _, serving) = place("soak = \"0s\"\nstandby = true").await;
    let path = folder.path();
    let api_key =
        run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    let service = Service::of(&path.join("countersign.toml"));
    let has = async |state: &str| {
        let (_, keys) = asked(&["keys", "list"], path).await;
        keys.as_array().unwrap().iter().filter(|key| key["state"] == state).count()
    };
    eventually(async || has("published").await == 1 && service.generate(&api_key, "u-1").await.status == 200).await;
    let bad = run_json(&["keys", "public"], path);
    let (mut code, mut err) = (0, String::new());
    // At first the node has not said yet that it could sign with the one that stands by.
    eventually(async || {
        (code, _, err) = command(&["keys", "compromise", bad["kid"].as_str().unwrap()], path).await;
        err.contains("takes over in the same moment")
    })
    .await;
    assert!(
        code == 2 && err.contains("takes over in the same moment") && err.contains("need one refresh each"),
        "{err}"
    );
    let (code, out, err) = command(&["keys", "compromise", bad["kid"].as_str().unwrap(), "--yes"], path).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("signs no more") && err.contains("recovers at its next request"), "{err}");
    assert_eq!((has("compromised").await, has("active").await), (1, 1));
    let new = run_json(&["keys", "public"], path)["public_key"].as_str().unwrap().to_owned();
    let begun = std::time::Instant::now();
    loop {
        let token = service.generate(&api_key, "u-1").await.ok().text("token");
        let key = jsonwebtoken::DecodingKey::from_rsa_pem(new.as_bytes()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        rules.validate_exp = false;
        if jsonwebtoken::decode::<Value>(&token, &key, &rules).is_ok() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "a node went on with it (R62)");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let file = path.join(format!("keys/{}.pem", bad["kid"].as_str().unwrap()));
    assert!(!file.exists(), "its private half is destroyed");
    serving.abort();
}
