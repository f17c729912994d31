//! Settings of `[store]` for a PostgreSQL database: their sentences, and the secrecy of the password.

use std::{fs, path::Path};

use countersign::config::{Environment, Settings, check_text};

use crate::{
    cli::init,
    support::service::{run, run_json, run_with},
};

const PASSWORD: &str = "canary-of-the-database";

/// A configuration whose `[store]` has these lines.
fn load(lines: &str) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sealing.secret"), format!("1:{}\n", "0123456789abcdef".repeat(4))).unwrap();
    owner_only(&folder.path().join("sealing.secret"));
    let file = folder.path().join("countersign.toml");
    fs::write(&file, format!("[store]\n{lines}\n[apps.web]\n")).unwrap();
    Settings::load(Some(&file), &Environment::empty(), &[]).unwrap()
}

fn owner_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn settings_without_effect_are_warned_about() {
    let url = "url = \"postgres://countersign@db/countersign\"";
    assert_eq!(load(url).warnings(), [""; 0]);
    assert_eq!(
        load(&format!("{url}\npath = \"other.db\"")).warnings(),
        ["store.path: other.db is not used, since store.url is set: remove one of the two"]
    );
    assert_eq!(
        load(
            "password_file = \"x.password\"\nca_file = \"ca.pem\"\nprepared = true\nconnections = 9\ntimeout = \"1s\""
        )
        .warnings(),
        [
            "without store.url, these are not used: store.password_file, store.ca_file, store.prepared, store.connections"
        ],
        "a write of SQLite waits for store.timeout, too"
    );
}

#[test]
fn a_changed_password_takes_a_restart() {
    let url = "url = \"postgres://countersign@db/countersign\"\n";
    let (old, new) = (load(&format!("{url}password = \"one\"")), load(&format!("{url}password = \"two\"")));
    assert_eq!(old.restart_needed(&load(&format!("{url}password = \"one\""))), [""; 0]);
    assert_eq!(old.restart_needed(&new), ["store"]);
    assert_eq!(old.restart_needed(&load(&format!("{url}password = \"one\"\nconnections = 3"))), ["store"]);
}

#[test]
fn a_url_that_cannot_work_is_named_without_its_secrets() {
    for (url, reason) in [
        ("mysql://u@db/x", "postgres://"),
        ("countersign.db", "postgres://"),
        ("sqlite:countersign.db", "store.path"),
        ("postgres://u@/", "database"),
        ("postgres://u@db", "database"),
        ("postgres://u:canary-of-the-database@db/x", "password"),
        ("postgres://u@db/x?password=canary-of-the-database", "password"),
        ("postgres://u@db:99999/x", "port"),
        ("postgres://u@db/x?sslmode=perhaps", "sslmode"),
    ] {
        let told: Vec<String> = check_text(&format!("[store]\nurl = \"{url}\"\n[apps.web]\n"))
            .iter()
            .map(|error| error.text.clone())
            .collect();
        let said = told.join("\n");
        assert_eq!(told.len(), 1, "{url}: {said}");
        assert!(said.contains("store.url: ") && said.contains(reason), "{url}: {said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

#[test]
fn the_password_comes_from_its_file_and_is_never_shown() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let config = fs::read_to_string(path.join("countersign.toml")).unwrap();
    let with = |lines: &str| {
        let config = config.replacen("\n[store]\n", &format!("\n[store]\n{lines}\n"), 1);
        fs::write(path.join("countersign.toml"), config).unwrap();
    };
    with("url = \"postgres://countersign@127.0.0.1:1/countersign\"\npassword_file = \"db.password\"");
    let (code, _, err) = run(&["config", "check"], path);
    assert!(code == 78 && err.contains("store.password_file: ") && err.contains("does not exist"), "{err}");
    fs::write(path.join("db.password"), "\n").unwrap();
    owner_only(&path.join("db.password"));
    let (code, _, err) = run(&["config", "check"], path);
    assert!(code == 78 && err.contains("holds no password: the first line must be the password"), "{err}");
    fs::write(path.join("db.password"), format!("{PASSWORD}\n")).unwrap();
    let variable = |command: &mut std::process::Command| {
        command.env("COUNTERSIGN_STORE__PASSWORD", PASSWORD);
    };
    for arguments in [
        &["config", "check"][..],
        &["config", "dump"],
        &["config", "dump", "--show-origin"],
        &["config", "dump", "--json"],
        &["keys", "list"],
        &["doctor"],
        &["db", "migrate"],
    ] {
        let (_, out, err) = run(arguments, path);
        assert!(!(out + &err).contains(PASSWORD), "{arguments:?}");
        let (_, out, err) = run_with(arguments, path, variable);
        assert!(!(out + &err).contains(PASSWORD), "{arguments:?}");
    }
    let dumped = run_json(&["config", "dump"], path);
    assert_eq!(dumped["store"]["url"], "postgres://countersign@127.0.0.1:1/countersign");
    assert_eq!(dumped["store"]["password_file"], "db.password");
    assert!(dumped["store"].get("password").is_none());
}

#[test]
fn init_takes_the_authorities_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), "no certificate\n").unwrap();
    let url = "postgres://countersign@127.0.0.1:1/countersign";
    let (code, _, err) = run(&["init", "--store-url", url, "--store-ca-file", "ca.pem"], folder.path());
    assert!(code == 78 && err.contains("store.ca_file: ") && err.contains("holds no certificate in PEM"), "{err}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let (code, _, err) = run(&["init", "--store-ca-file", "ca.pem"], folder.path());
    assert!(code == 2 && err.contains("--store-url"), "{err}");
}
