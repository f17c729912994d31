//! `countersign operators`, and the flags that choose the target of a command.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};

use crate::{
    cli::init,
    support::{
        secret_of,
        service::{Service, run, run_json, run_with},
    },
};

#[test]
fn an_operator_is_made_listed_and_revoked() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let (code, out, err) = run(&["operators", "create", "ana", "--role", "operator", "--expires", "90d"], path);
    assert_eq!(code, 0, "{err}");
    let token = out.trim();
    assert!(token.starts_with("cso1_") && !token.contains('\n'), "{out}");
    assert!(err.contains("the only time the token is shown"), "{err}");
    let made = run_json(&["operators", "create", "eve", "--role", "viewer"], path);
    assert_eq!((&made["name"], &made["role"], &made["expires"]), (&json!("eve"), &json!("viewer"), &Value::Null));

    let listed = run_json(&["operators", "list"], path);
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|operator| &operator["name"]).collect();
    assert_eq!(names, ["ana", "eve"]);
    assert!(listed[0]["expires"].as_i64().unwrap() > listed[0]["created"].as_i64().unwrap());
    let (_, text, _) = run(&["operators", "list"], path);
    let secret = secret_of(token);
    assert!(text.contains("viewer") && !text.contains(secret) && !listed.to_string().contains(secret), "{text}");

    let (code, _, err) = run(&["operators", "create", "ana", "--role", "viewer"], path);
    assert!(code == 1 && err.contains("operators revoke ana"), "{err}");
    assert_eq!(run_json(&["operators", "revoke", "ana"], path), json!({ "revoked": "ana" }));
    let (code, _, err) = run(&["operators", "revoke", "ana"], path);
    assert!(code == 1 && err.contains("no live operator ana"), "{err}");
    assert!(run_json(&["operators", "list"], path)[0]["revoked"].is_i64());
    run_json(&["operators", "create", "ana", "--role", "viewer"], path);
    let actions: Vec<Value> = run_json(&["audit", "list"], path)
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["event"]["action"].clone())
        .filter(|action| action.as_str().unwrap().starts_with("operator_"))
        .collect();
    assert_eq!(actions, ["operator_created", "operator_created", "operator_revoked", "operator_created"]);
}

fn token_file(folder: &Path, mode: u32) -> String {
    let file = folder.join(format!("token-{mode:o}"));
    fs::write(&file, format!("cso1_0123456789abcdef_{}\n", "A".repeat(43))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file.display().to_string()
}

#[test]
fn a_command_of_this_machine_says_why_it_asks_no_other() {
    let (folder, _) = init(&[]);
    let url = ["--url", "unix:/run/countersign/ops.sock"];
    let local: &[&[&str]] = &[
        &["serve"],
        &["init"],
        &["db", "migrate"],
        &["clock", "accept"],
        &["token", "inspect", "x.y.z"],
        &["keys", "import", "key.pem"],
        &["keys", "rewrap"],
        &["config", "check"],
        &["version"],
    ];
    for command in local {
        let (code, _, err) = run(&[*command, &url].concat(), folder.path());
        assert!(code == 2 && err.contains("does not take --url: "), "{command:?}: {err}");
    }
    let token = token_file(folder.path(), 0o600);
    let network = ["operators", "create", "ana", "--role", "viewer", "--url", "https://127.0.0.1:1", "--token-file"];
    let (code, _, err) = run(&[&network[..], &[&token]].concat(), folder.path());
    assert!(code == 2 && err.contains("unix:/PATH"), "{err}");
    assert_eq!(run_json(&["operators", "list"], folder.path()), json!([]));
}

#[test]
fn a_token_that_others_can_read_is_refused_and_so_is_none() {
    let (folder, _) = init(&[]);
    let asked = |more: &[&str]| run(&[&["keys", "list", "--url", "http://127.0.0.1:1"], more].concat(), folder.path());
    let (code, _, err) = asked(&[]);
    assert!(code == 2 && err.contains("--token-file"), "{err}");
    let readable = token_file(folder.path(), 0o644);
    let (code, _, err) = asked(&["--token-file", &readable]);
    assert!(code == 1 && err.contains("chmod 600"), "{err}");
    assert!(err.starts_with("Asking http://127.0.0.1:1\n"), "the target is first: {err}");
    let other = folder.path().join("other");
    fs::write(&other, "csk1_0123456789abcdef_secret\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, err) = asked(&["--token-file", other.to_str().unwrap()]);
    assert!(code == 1 && err.contains("not an operator token") && !err.contains("csk1_"), "{err}");
    let (code, _, err) = run(&["keys", "list", "--url", "http://example.com"], folder.path());
    assert!(code == 2 && err.contains("plain HTTP"), "{err}");
}

/// Each command that cannot be undone.
const DESTRUCTIVE: &[&[&str]] = &[
    &["keys", "compromise", "abcdefgh", "--yes"],
    &["keys", "move", "--to", "store"],
    &["keys", "erase", "abcdefgh"],
    &["rotate", "abort"],
    &["rotate", "rollback"],
    &["braze", "keys", "apply"],
    &["clients", "revoke", "0123456789abcdef"],
    &["users", "opt-out", "u-1"],
    &["users", "revoke", "u-1"],
    &["users", "revoke", "--everyone", "--yes"],
    &["operators", "revoke", "ana"],
    &["audit", "key", "--replace", "--why", "test"],
];

#[test]
fn the_environment_names_a_service_and_local_does_not_ask_it() {
    let (folder, _) = init(&[]);
    let socket = format!("unix:{}", folder.path().join("none.sock").display());
    let run = |arguments: &[&str], url: &str| {
        run_with(arguments, folder.path(), |command| {
            command.env("COUNTERSIGN_URL", url);
        })
    };
    for command in DESTRUCTIVE {
        let (code, _, err) = run(command, &socket);
        assert!(code == 2 && err.contains("--installation"), "{command:?}: {err}");
        assert!(err.starts_with(&format!("Asking {socket}\n")), "{err}");
        let (code, _, err) = run(&[*command, &["--url", &socket]].concat(), "https://example.com");
        assert!(code == 1 && !err.contains("--installation"), "{command:?}: {err}");
    }
    let (code, _, err) = run(&["keys", "list"], &socket);
    assert!(code == 1 && err.starts_with("Asking unix:"), "{err}");
    let (code, out, err) = run(&["keys", "list", "--local"], &socket);
    assert!(code == 0 && out.contains("active") && !err.contains("Asking"), "{err}");
    assert_eq!(run(&["keys", "list"], "").0, 0, "an empty variable is as none");
    let (code, _, err) = run(&["keys", "list"], "ops.example.com");
    assert!(code == 2 && err.contains("COUNTERSIGN_URL: not a URL"), "{err}");
    let other = "00".repeat(16);
    let (code, _, err) = run(&["users", "opt-out", "u-1", "--local", "--installation", &other], &socket);
    assert!(code == 1 && err.contains("nothing was done"), "{err}");
    let (code, _, err) = run(&["keys", "import", "key.pem"], &socket);
    assert!(code == 2 && err.contains("COUNTERSIGN_URL names a service") && err.contains("--local"), "{err}");
    let (code, out, err) = run(&["config", "check"], &socket);
    assert!(code == 0 && !out.contains("COUNTERSIGN_URL"), "it is no setting: {out}{err}");
}

/// The refusals of a minute are counted, and their number is recorded at its end: a service that stops before does not
/// forget them.
#[tokio::test]
async fn refused_credentials_that_were_only_counted_are_on_record_when_the_service_stops() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    run_json(&["operators", "create", "ana", "--role", "viewer"], path);
    let service = Service::of(&path.join("countersign.toml"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..3 {
        let asked = client.get(format!("{}/admin/v1/keys", service.ops_url)).bearer_auth("nonsense");
        assert_eq!(asked.send().await.unwrap().status(), 401);
    }
    service.stop();
    let records = run_json(&["audit", "list"], path);
    let refused = records.as_array().unwrap().iter().filter(|it| it["event"]["action"] == "operator_refused");
    let whys: Vec<&str> = refused.map(|record| record["event"]["why"].as_str().unwrap()).collect();
    let later = "2 more credentials from 127.0.0.1 were refused before the service stopped";
    assert_eq!(whys, ["a credential from 127.0.0.1 was refused", later]);
}
