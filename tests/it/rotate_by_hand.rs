//! Apps without a workspace: commands say who attested what, and never speak for Braze.

use std::{path::Path, time::Duration};

use countersign::domain::spki::Spki;
use serde_json::{Value, json};

use crate::support::{
    domain::THEIRS,
    rotation::{APPS, install, local_braze},
    service::{Service, run, run_json},
};

/// Takes the workspace from an app's section of the configuration.
fn take_workspace(folder: &Path, app: &str) {
    let file = folder.join("countersign.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, section) = text.split_once(&format!("[apps.{app}]")).unwrap();
    let (section, after) = section.split_once("\n[").map_or((section, String::new()), |(a, b)| (a, format!("\n[{b}")));
    let kept: Vec<&str> =
        section.lines().filter(|line| !line.starts_with("workspace") && !line.starts_with("braze_app_id")).collect();
    std::fs::write(&file, format!("{before}[apps.{app}]{}\n{after}", kept.join("\n"))).unwrap();
}

async fn command(arguments: &'static [&'static str], folder: &Path) -> (i32, String) {
    let folder = folder.to_owned();
    let (code, out, err) = tokio::task::spawn_blocking(move || run(arguments, &folder)).await.unwrap();
    (code, format!("{out}{err}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_workspace_commands_say_what_is_known_from_whom_and_since_when() {
    let folder = tempfile::tempdir().unwrap();
    let (braze, url, serving) = local_braze(Duration::ZERO).await;
    install(folder.path(), &braze, &url, "", "1m").await;
    serving.abort();
    let path = folder.path();
    for app in APPS {
        take_workspace(path, app);
    }

    let (code, diff) = command(&["braze", "keys", "diff"], path).await;
    assert_eq!(code, 0, "{diff}");
    assert!(diff.contains("App ios has no workspace, so Braze was not asked about it. No key is on"), "{diff}");
    assert!(!diff.contains("should"), "nobody knows what Braze lists: {diff}");
    let (code, plan) = command(&["rotate", "plan"], path).await;
    assert_eq!(code, 0, "{plan}");
    for part in [
        "App web has no workspace",
        "app web is taken to hold key",
        "no operator has attested the key",
        "add the new key at Braze for app ios (`countersign keys public NEW`), then `countersign keys confirm NEW",
        "sign with the new key; key ",
    ] {
        assert!(plan.contains(part), "{part} is not in {plan}");
    }
    assert!(!plan.contains("list") && !plan.contains("_v7"), "{plan}");

    let (_, applied) = command(&["braze", "keys", "apply"], path).await;
    assert!(applied.contains("App web has no workspace, so nothing was changed for it at Braze"), "{applied}");
    let key = run_json(&["keys", "public"], path);
    let (kid, public) = (key["kid"].as_str().unwrap(), key["public_key"].as_str().unwrap());
    let fingerprint = Spki::from_pem(public).unwrap().fingerprint();
    run_json(&["keys", "confirm", kid, "--fingerprint", &fingerprint.to_string(), "--app", "web"], path);
    let (_, diff) = command(&["braze", "keys", "diff"], path).await;
    let attested = format!("key {kid} (active) since 20");
    assert!(diff.contains(&attested) && diff.contains("an operator attests by its fingerprint that app web"), "{diff}");
    assert!(diff.contains(" (by operator (uid "), "{diff}");
    let entries = run_json(&["braze", "keys", "diff"], path);
    assert_eq!((&entries[0]["drift"], &entries[0]["app"]), (&json!("not_compared"), &json!("ios")));
    let assumed = entries[0]["keys"][0]["why"].as_str().unwrap();
    assert!(assumed.contains("is taken to hold") && assumed.contains("because it signs"), "{assumed}");
    let recorded = &entries[1]["keys"][0];
    assert!(recorded["since"].is_i64() && recorded["at"].is_i64() && recorded["by"].is_string(), "{entries}");
    let rows = run_json(&["braze", "keys", "list"], path);
    assert_eq!((&rows[1]["is"], &rows[1]["since"]), (&json!("recorded"), &recorded["since"]), "{rows}");
    let (_, doctor) = command(&["doctor"], path).await;
    assert!(doctor.contains("app web has no workspace, so Braze was not asked"), "{doctor}");

    // A second attestation does not make the first one younger.
    run_json(&["keys", "confirm", kid, "--fingerprint", &fingerprint.to_string()], path);
    let again = run_json(&["braze", "keys", "diff"], path);
    assert_eq!(again[1]["keys"][0]["since"], recorded["since"]);
    assert_eq!(again[0]["keys"][0]["kid"], kid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_ring_with_both_each_app_is_told_by_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let (braze, url, serving) = local_braze(Duration::ZERO).await;
    install(folder.path(), &braze, &url, "", "1m").await;
    take_workspace(folder.path(), "ios");
    let (code, diff) = command(&["braze", "keys", "diff"], folder.path()).await;
    assert_eq!(code, 0, "{diff}");
    assert!(diff.contains("Braze lists what it should list for web (at 20"), "{diff}");
    assert!(diff.contains("App ios has no workspace"), "{diff}");
    let (_, plan) = command(&["rotate", "plan"], folder.path()).await;
    assert!(plan.contains("App web: Braze's list of 20") && plan.contains("app web lists the new key"), "{plan}");
    assert!(plan.contains("Braze is not asked about an app without a workspace"), "{plan}");
    serving.abort();
}

/// The gauge of a dropped ring once stayed at its last value for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drift_of_a_ring_that_is_no_longer_compared_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (braze, url, serving) = local_braze(Duration::ZERO).await;
    install(folder.path(), &braze, &url, "check_every = \"1s\"", "1m").await;
    braze.add_key("ios", &THEIRS.public_pem(), "who knows").unwrap();
    let service = Service::of(&folder.path().join("countersign.toml"));
    let metrics = async || String::from_utf8(service.get(&format!("{}/metrics", service.ops_url)).await.body).unwrap();
    let until = async |is_there: bool| {
        for _ in 0..600 {
            if metrics().await.contains("countersign_braze_drift{ring=\"main\"") == is_there {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{is_there}: {}", metrics().await);
    };
    until(true).await;
    for app in APPS {
        take_workspace(folder.path(), app);
    }
    service.signal(rustix::process::Signal::HUP);
    until(false).await;
    let ready: Value = service.get(&format!("{}/readyz?verbose", service.url)).await.ok().json();
    assert!(!ready.to_string().contains("none of ours"), "{ready}");
    serving.abort();
}
