//! A store that is lost, empty, or of another installation is noticed: at the start, by every command, and while it is in
//! use. Only `init`, `serve --dev`, `db create`, `db restore` and `db copy` make a store.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    cli::{eventually, init},
    support::service::{Service, run, run_json},
};

/// The service, on ports that are free.
const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

/// Every command that uses the store, as an operator might give it.
const USE_THE_STORE: &[&[&str]] = &[
    SERVE,
    &["keys", "generate"],
    &["keys", "import", "key.pem"],
    &["keys", "list"],
    &["keys", "show", "abcdefgh"],
    &["keys", "public"],
    &[
        "keys",
        "confirm",
        "abcdefgh",
        "--fingerprint",
        "abababababababababababababababababababababababababababababababab",
    ],
    &["keys", "compromise", "abcdefgh", "--why", "test"],
    &["keys", "move", "--to", "store"],
    &["keys", "rewrap"],
    &["keys", "erase", "abcdefgh"],
    &["rotate", "plan"],
    &["rotate", "run", "--yes"],
    &["rotate", "status"],
    &["rotate", "abort"],
    &["rotate", "rollback"],
    &["braze", "keys", "list"],
    &["braze", "keys", "diff"],
    &["braze", "keys", "apply"],
    &["clients", "create", "backend", "--app", "web"],
    &["clients", "list"],
    &["clients", "revoke", "0123456789abcdef"],
    &["operators", "create", "ana", "--role", "viewer"],
    &["operators", "list"],
    &["operators", "revoke", "ana"],
    &["users", "opt-out", "u-1"],
    &["users", "opt-in", "u-1"],
    &["users", "revoke", "u-1"],
    &["users", "sessions", "u-1"],
    &["token", "mint", "--app", "web", "--user", "u-1"],
    &["token", "inspect", "x.y.z", "--app", "web"],
    &["clock", "accept"],
    &["audit", "list"],
    &["audit", "export", "--to", "log"],
    &["audit", "verify"],
    &["audit", "checkpoint"],
    &["audit", "key"],
    &["doctor"],
    &["failures"],
    &["db", "migrate"],
    &["db", "backup", "--to", "backup.db"],
    &["db", "restored"],
];

/// The other commands: those that make a store, and those that use none.
const OTHERS: &[&str] = &[
    "init",
    "db-create",
    "db-restore",
    "db-copy",
    "config-check",
    "config-dump",
    "config-default",
    "sign-in-test",
    "healthcheck",
    "completions",
    "man",
    "version",
    "sandbox",
    "demo",
];

fn move_store(folder: &Path) -> PathBuf {
    let moved = folder.join("elsewhere.db");
    fs::rename(folder.join("countersign.db"), &moved).unwrap();
    moved
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    entries(folder).into_iter().chain(entries(&folder.join("keys"))).collect()
}

/// Names of all commands that have no commands of their own, as in the names of manual pages.
fn leaves(folder: &Path) -> BTreeSet<String> {
    run(&["man", "--out", "."], folder);
    let pages = fs::read_dir(folder).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> =
        pages.filter_map(|page| Some(page.strip_prefix("countersign-")?.strip_suffix(".1")?.to_owned())).collect();
    let is_leaf = |name: &&String| !names.iter().any(|other| other.starts_with(&format!("{name}-")));
    names.iter().filter(is_leaf).cloned().collect()
}

#[test]
fn without_its_store_every_command_fails_and_makes_no_file() {
    let pages = tempfile::tempdir().unwrap();
    let covered = |name: &String| {
        let is = |command: &&[&str]| {
            let words: Vec<&str> = command.iter().take_while(|word| !word.starts_with('-')).copied().collect();
            (1..=words.len()).any(|count| words[..count].join("-") == *name)
        };
        USE_THE_STORE.iter().any(is) || OTHERS.contains(&name.as_str())
    };
    let missed: Vec<String> = leaves(pages.path()).into_iter().filter(|name| !covered(name)).collect();
    assert!(missed.is_empty(), "not in the table: {missed:?}");

    let (folder, _) = init(&[]);
    let key = crate::custody::fixture_path("rsa-2048.pkcs1.pem");
    fs::copy(key, folder.path().join("key.pem")).unwrap();
    let moved = move_store(folder.path());
    let before = (files(folder.path()), fs::read(&moved).unwrap());
    for state in ["does not exist", "is empty"] {
        for command in USE_THE_STORE {
            let (code, out, err) = run(command, folder.path());
            let said = out + &err;
            assert_eq!(code, 1, "{command:?}: {said}");
            for part in [state, "log everybody out", "mount it", "db restore", "db create"] {
                assert!(said.contains(part), "{command:?}: {part}: {said}");
            }
            let mut now = files(folder.path());
            if state == "is empty" {
                let store = folder.path().join("countersign.db");
                assert_eq!(fs::metadata(&store).unwrap().len(), 0, "{command:?} wrote to it");
                now.retain(|file| !file.to_string_lossy().contains("countersign.db"));
            }
            assert_eq!((now, fs::read(&moved).unwrap()), before, "{command:?}");
        }
        let empty = folder.path().join("countersign.db");
        drop(fs::File::create(&empty).unwrap());
        fs::set_permissions(&empty, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_missing_folder_of_the_store_is_a_missing_store() {
    let (folder, _) = init(&[]);
    let config = folder.path().join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("# path = \"countersign.db\"", "path = \"volume/countersign.db\"")).unwrap();
    let (code, out, _) = run(&["doctor"], folder.path());
    assert!(code == 1 && out.contains("nor does its folder") && out.contains("mount it"), "{out}");
}

#[test]
fn reading_commands_migrate_nothing() {
    let (folder, _) = init(&[]);
    let store = Connection::open(folder.path().join("countersign.db")).unwrap();
    store.execute_batch("PRAGMA user_version = 2").unwrap();
    for command in [&["keys", "list"][..], &["clients", "list"], &["rotate", "status"], &["users", "sessions", "u-1"]] {
        let (code, _, err) = run(command, folder.path());
        assert!(code == 1 && err.contains("countersign db migrate"), "{command:?}: {err}");
    }
    let version: u32 = store.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

#[test]
fn reading_commands_write_nothing() {
    let (folder, _) = init(&[]);
    let store = folder.path().join("countersign.db");
    let before = fs::read(&store).unwrap();
    for command in [
        &["keys", "list"][..],
        &["keys", "public"],
        &["clients", "list"],
        &["users", "sessions", "u-1"],
        &["rotate", "plan"],
        &["rotate", "status"],
        &["token", "mint", "--app", "web", "--user", "u-1"],
    ] {
        let (code, _, err) = run(command, folder.path());
        assert_eq!(code, 0, "{command:?}: {err}");
    }
    assert_eq!(fs::read(&store).unwrap(), before);
    let log = folder.path().join("countersign.db-wal");
    assert!(fs::metadata(log).map_or(true, |log| log.len() == 0), "and nothing is in a log");
}

/// Makes an installation of an older version, which has no id in the store, in the key folder or in both.
fn forget_id(folder: &Path, in_store: bool, in_keys: bool) {
    if in_store {
        let store = Connection::open(folder.join("countersign.db")).unwrap();
        assert_eq!(store.execute("DELETE FROM meta WHERE name = 'installation_id'", []).unwrap(), 1);
    }
    if in_keys {
        fs::remove_file(folder.join("keys/installation.id")).unwrap();
    }
}

fn id(folder: &Path) -> String {
    fs::read_to_string(folder.join("keys/installation.id")).unwrap().trim().to_owned()
}

#[test]
fn an_older_installation_adopts_an_id_once_and_a_crash_in_between_is_made_good() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    assert_eq!(crate::cli::mode(&path.join("keys/installation.id")), 0o600);
    for (in_store, in_keys) in [(true, false), (false, true)] {
        let before = id(path);
        forget_id(path, in_store, in_keys);
        run_json(&["keys", "list"], path);
        assert_eq!(run_json(&["doctor"], path)["health"], "ok");
        assert_eq!(id(path), before, "the one that was left");
    }
    forget_id(path, true, true);
    assert_eq!(run_json(&["doctor"], path)["health"], "ok");
    let adopted = id(path);
    assert_eq!(adopted.len(), 32);
    run_json(&["doctor"], path);
    assert_eq!(id(path), adopted);
}

#[test]
fn the_store_of_another_installation_is_refused() {
    let (folder, _) = init(&[]);
    let (other, _) = init(&[]);
    // Even one with the same sealing secret.
    fs::copy(folder.path().join("sealing.secret"), other.path().join("sealing.secret")).unwrap();
    fs::remove_file(other.path().join("countersign.db")).unwrap();
    run_json(&["db", "create"], other.path());
    let ours = fs::read(folder.path().join("countersign.db")).unwrap();
    fs::copy(other.path().join("countersign.db"), folder.path().join("countersign.db")).unwrap();
    for command in [SERVE, &["keys", "list"], &["doctor"], &["clients", "create", "b", "--app", "web"]] {
        let (code, out, err) = run(command, folder.path());
        let said = out + &err;
        let both = said.contains(&id(folder.path())) && said.contains(&id(other.path()));
        assert!(code == 1 && both && said.contains("not the right one"), "{command:?}: {said}");
    }
    // One that an older version made in place of ours, and nobody has used.
    forget_id(folder.path(), true, false);
    for command in [SERVE, &["keys", "list"], &["doctor"]] {
        let (code, out, err) = run(command, folder.path());
        assert!(code == 1 && (out.clone() + &err).contains("the store is empty"), "{command:?}: {out}{err}");
    }
    fs::write(folder.path().join("countersign.db"), ours).unwrap();
    assert_eq!(run_json(&["doctor"], folder.path())["health"], "ok");
}

#[test]
fn a_store_that_is_gone_for_good_is_created_on_purpose() {
    let (folder, made) = init(&[]);
    let path = folder.path();
    let (code, _, err) = run(&["db", "create"], path);
    assert!(code == 1 && err.contains("countersign.db exists"), "{err}");
    let (old, before) = (move_store(path), id(path));
    let (code, out, err) = run(&["db", "create"], path);
    assert!(code == 0 && out.contains("All users must log in again") && out.contains("keys import"), "{out}{err}");
    assert_eq!(crate::cli::mode(&path.join("countersign.db")), 0o600);
    assert_eq!((id(path), run_json(&["keys", "list"], path)), (before, serde_json::json!([])));
    let file = format!("keys/{}.pem", made["kid"].as_str().unwrap());
    run_json(&["keys", "import", &file], path);
    // The old one, which was found after all, is still this installation's.
    fs::remove_file(path.join("countersign.db")).unwrap();
    fs::rename(old, path.join("countersign.db")).unwrap();
    assert_eq!(run_json(&["doctor"], path)["health"], "ok");
}

#[tokio::test]
async fn a_store_that_vanishes_in_use_is_noticed_before_the_next_answer() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let key = run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    let service = Service::of(&path.join("countersign.toml"));
    service.generate(&key, "u-1").await.ok();
    for file in ["countersign.db", "countersign.db-wal", "countersign.db-shm"] {
        let (file, moved) = (path.join(file), path.join("elsewhere"));
        fs::rename(&file, &moved).unwrap();
        for _ in 0..20 {
            let answer = service.generate(&key, "u-1").await;
            assert!(answer.headers.contains_key("retry-after"), "{file:?}");
            assert_eq!(answer.status, 503, "{file:?}");
        }
        // Another file in its place is no better.
        fs::copy(&moved, &file).unwrap();
        assert_eq!(service.generate(&key, "u-1").await.status, 503);
        fs::rename(&moved, &file).unwrap();
        service.generate(&key, "u-1").await.ok();
    }
    fs::rename(path.join("countersign.db"), path.join("elsewhere")).unwrap();
    let ready = format!("{}/readyz", service.ops_url);
    let noticed = |report: &Value| {
        report["conditions"].as_array().unwrap().iter().any(|c| c["name"] == "store" && c["ok"] == false)
    };
    eventually(async || noticed(&service.get(&ready).await.ok().json())).await;
    let metrics = service.get(&format!("{}/metrics", service.ops_url)).await.ok().body;
    assert!(String::from_utf8(metrics).unwrap().contains("countersign_alarms_total{kind=\"store\"} 1"));
    let log = service.stop().2;
    assert!(log.contains("countersign.db was removed while it was in use"), "{log}");
}
