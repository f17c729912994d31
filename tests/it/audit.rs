//! The audit log by its commands: checkpoints, verification, export, forks, restores, a changed key; and the nodes that
//! follow it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    cli::{eventually, init},
    support::service::{Service, run, run_json},
};

/// A new installation with some records.
fn installation() -> (tempfile::TempDir, PathBuf) {
    let (folder, _) = init(&[]);
    let path = folder.path().to_owned();
    for user in ["u-1", "u-2", "u-3"] {
        run_json(&["users", "opt-out", user], &path);
    }
    (folder, path)
}

/// Changes the store behind the service's back, as somebody who may write its file.
fn tamper(path: &Path, sql: &str) {
    let store = Connection::open(path.join("countersign.db")).unwrap();
    store.busy_timeout(Duration::from_secs(30)).unwrap();
    store.execute_batch("DROP TRIGGER IF EXISTS audit_leaves_are_not_changed").unwrap();
    store.execute_batch("DROP TRIGGER IF EXISTS audit_leaves_are_not_deleted").unwrap();
    store.execute_batch(sql).unwrap();
}

/// Exit code of a verification, and all that it says.
#[track_caller]
fn verify(path: &Path, arguments: &[&str]) -> (i32, String) {
    let (code, out, err) = run(&[&["audit", "verify"], arguments].concat(), path);
    (code, out + &err)
}

fn keep_checkpoint(path: &Path, name: &str) -> u64 {
    let printed = run_json(&["audit", "checkpoint"], path);
    fs::write(path.join(name), printed["note"].as_str().unwrap()).unwrap();
    printed["size"].as_u64().unwrap()
}

#[test]
fn a_new_installation_has_a_log_a_key_and_checkpoints() {
    let (_folder, path) = installation();
    let key = run_json(&["audit", "key"], &path)["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("countersign/") && key.contains("/1+"), "{key}");
    let size = keep_checkpoint(&path, "kept.txt");
    assert_eq!(keep_checkpoint(&path, "again.txt"), size);
    assert_eq!(fs::read(path.join("kept.txt")).unwrap(), fs::read(path.join("again.txt")).unwrap());
    run_json(&["users", "opt-in", "u-1"], &path);
    let verified = run_json(&["audit", "verify", "--checkpoint", "kept.txt", "--key", &key], &path);
    assert_eq!(verified["records"], size + 1, "{verified}");
    assert_eq!(
        (verified["checkpoints"].clone(), verified["findings"]["count"].clone()),
        (2.into(), 0.into()),
        "{verified}"
    );
    let listed = run_json(&["audit", "list", "--limit", "1"], &path);
    assert_eq!((&listed[0]["index"], &listed[0]["event"]["action"]), (&size.into(), &"opted_in".into()), "{listed}");
    let listed = run_json(&["audit", "list", "--from", "0", "--limit", "2"], &path);
    assert_eq!((&listed[0]["index"], &listed[1]["index"]), (&0.into(), &1.into()), "{listed}");

    let exported = run_json(&["audit", "export", "--to", "log"], &path);
    assert_eq!(exported["records"], size + 1);
    let lines = fs::read_to_string(path.join("log")).unwrap();
    for (index, line) in lines.lines().enumerate() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["index"], index, "{line}");
    }
    let (code, said) = verify(&path, &["--file", "log", "--key", &key]);
    assert!(code == 0 && said.contains("agrees with 1 checkpoint."), "the one beside the export: {said}");
    let offline = ["--file", "log", "--key", &key, "--checkpoint", "kept.txt", "--checkpoint", "log.checkpoint"];
    let (code, said) = verify(&path, &offline);
    assert!(code == 0 && said.contains("agrees with 2 checkpoints"), "{said}");
    fs::write(path.join("log"), lines.replacen("opted_out", "opted_in", 1)).unwrap();
    let (code, said) = verify(&path, &offline);
    assert!(code == 1 && said.contains("are not those of the checkpoint in kept.txt"), "{said}");
    assert_eq!(verify(&path, &["--file", "log"]).0, 2, "an export has no key of its own");
    let (code, said) = verify(&path, &["--checkpoint", "nowhere.txt"]);
    assert!(code == 2 && said.contains("nowhere.txt cannot be read"), "{said}");
    let (code, said) = verify(&path, &["--checkpoint", "log"]);
    assert!(code == 2 && said.contains("log is no checkpoint of countersign") && !said.contains("changed"), "{said}");
}

#[test]
fn changes_of_the_store_are_found_and_named() {
    let changes = [
        ("UPDATE audit_leaves SET why = 'nothing' WHERE number = 1", "record 1: the columns why show something else"),
        (
            "UPDATE audit_leaves SET text = replace(text, 'opted_out', 'opted_in') WHERE number = (SELECT max(number) FROM \
          audit_leaves)",
            "the columns action show something else",
        ),
        (
            "UPDATE audit_leaves SET action = 'vanished' WHERE number = 1",
            "record 1: the columns of the act show something",
        ),
        ("DELETE FROM audit_leaves WHERE number = 1", "record 1 is missing"),
        ("DELETE FROM audit_leaves WHERE number = (SELECT max(number) FROM audit_leaves)", "the head of the log says"),
        (
            "DELETE FROM audit_leaves WHERE number = (SELECT max(number) FROM audit_leaves); \
          UPDATE audit_head SET size = size - 1",
            "covers more: the last ones were removed",
        ),
        ("UPDATE audit_head SET epoch = 3", "the head of the log says that the epoch is 3"),
        ("UPDATE audit_leaves SET text = 'gone' WHERE number = 0", "record 0 cannot be read"),
        ("UPDATE audit_checkpoints SET note = 'gone'", "is no checkpoint of countersign"),
    ];
    let (folder, path) = installation();
    keep_checkpoint(&path, "kept.txt");
    let (code, said) = verify(&path, &[]);
    assert!(code == 0, "{said}");
    for (change, part) in changes {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
        }
        let keys = copy.path().join("keys");
        fs::create_dir(&keys).unwrap();
        fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(folder.path().join("keys")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), keys.join(entry.file_name())).unwrap();
        }
        tamper(copy.path(), change);
        let (code, said) = verify(copy.path(), &[]);
        assert!(code == 1 && said.contains(part), "{change}: {code}: {said}");
    }
}

#[test]
fn a_fork_refuses_operators_acts_until_a_new_epoch() {
    let (_folder, path) = installation();
    keep_checkpoint(&path, "kept.txt");
    tamper(
        &path,
        "DELETE FROM audit_leaves WHERE number = (SELECT max(number) FROM audit_leaves); \
        UPDATE audit_head SET size = size - 1",
    );
    let (code, _, err) = run(&["audit", "checkpoint"], &path);
    assert!(code == 1 && err.contains("is of more records than the audit log has"), "{err}");
    let (code, _, err) = run(&["clients", "create", "backend", "--app", "web"], &path);
    assert!(code == 1 && err.contains("was changed") && err.contains("audit checkpoint --new-epoch"), "{err}");
    run_json(&["users", "opt-out", "u-9"], &path);
    let (_, doctor, _) = run(&["doctor"], &path);
    assert!(doctor.contains("WRONG    audit log: a fork is on record"), "{doctor}");
    let (code, _, err) = run(&["audit", "checkpoint"], &path);
    assert!(code == 1 && err.contains("--new-epoch"), "{err}");
    let exported = run_json(&["audit", "export", "--to", "evidence"], &path);
    assert!(exported["records"].as_u64() > Some(2), "{exported}");

    let printed = run_json(&["audit", "checkpoint", "--new-epoch", "--why", "the disk was swapped"], &path);
    assert_eq!(printed["epoch"], 2);
    run_json(&["clients", "create", "backend", "--app", "web"], &path);
    let listed = run_json(&["audit", "list"], &path);
    let begun = listed.as_array().unwrap().iter().find(|record| record["event"]["action"] == "epoch_begun").unwrap();
    let why: Value = serde_json::from_str(begun["event"]["why"].as_str().unwrap()).unwrap();
    assert_eq!((&why["why"], &why["size"]), (&"the disk was swapped".into(), &begun["index"]), "{why}");
    assert!(why["fork"].as_str().unwrap().contains("is of more records"), "{why}");
}

#[test]
fn a_restore_begins_an_epoch_and_a_later_checkpoint_names_what_is_lost() {
    let (_folder, path) = installation();
    let kept = keep_checkpoint(&path, "early.txt");
    run_json(&["db", "backup", "--to", "backup.db"], &path);
    for user in ["u-4", "u-5"] {
        run_json(&["users", "opt-out", user], &path);
    }
    assert_eq!(keep_checkpoint(&path, "late.txt"), kept + 2);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(path.join(format!("countersign.db{end}")));
    }
    run_json(&["db", "restore", "--from", "backup.db"], &path);
    let (code, said) = verify(&path, &["--checkpoint", "early.txt"]);
    assert!(code == 0 && said.contains("epoch 2"), "{said}");
    let (code, said) = verify(&path, &["--checkpoint", "late.txt"]);
    let lost = format!("restored, records {kept} to {} lost", kept + 1);
    assert!(code == 3 && said.contains(&lost) && said.contains("The log is whole"), "{said}");
    // An old state without that is another matter.
    let printed = run_json(&["audit", "checkpoint"], &path);
    fs::write(path.join("new.txt"), printed["note"].as_str().unwrap()).unwrap();
    fs::copy(path.join("backup.db"), path.join("countersign.db")).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(path.join(format!("countersign.db{end}")));
    }
    let (code, said) = verify(&path, &["--checkpoint", "new.txt"]);
    assert!(code == 1 && said.contains("an old state of the store was put back"), "{said}");
}

#[test]
fn a_new_key_is_signed_by_the_one_before() {
    let (_folder, path) = installation();
    let old = run_json(&["audit", "key"], &path)["key"].as_str().unwrap().to_owned();
    keep_checkpoint(&path, "early.txt");
    let replaced = run_json(&["audit", "key", "--replace", "--why", "a new year"], &path);
    let new = replaced["key"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    let note = replaced["checkpoint"]["note"].as_str().unwrap();
    assert_eq!(note.matches('\u{2014}').count(), 2, "{note}");
    run_json(&["users", "opt-in", "u-1"], &path);
    let printed = run_json(&["audit", "checkpoint"], &path);
    let late = printed["note"].as_str().unwrap();
    assert_eq!(late.matches('\u{2014}').count(), 1, "{late}");
    fs::write(path.join("late.txt"), late).unwrap();
    for key in [&old, &new] {
        let arguments = ["--key", key, "--checkpoint", "early.txt", "--checkpoint", "late.txt"];
        let (code, said) = verify(&path, &arguments);
        assert!(code == 0, "{said}");
    }
    let (_other, other) = installation();
    let foreign = run_json(&["audit", "key"], &other)["key"].as_str().unwrap().to_owned();
    let (code, said) = verify(&path, &["--key", &foreign]);
    assert!(code == 1 && said.contains("no key of this installation has signed"), "{said}");
    // A new sealing secret, then without the old one.
    let file = path.join("sealing.secret");
    let secret = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{secret}2:{}\n", "0123456789abcdef".repeat(4))).unwrap();
    run_json(&["doctor"], &path);
    fs::write(&file, format!("2:{}\n", "0123456789abcdef".repeat(4))).unwrap();
    assert_eq!(run_json(&["audit", "key"], &path)["key"], new);
}

#[tokio::test]
async fn a_node_signs_at_each_change_of_a_key_and_notices_a_shorter_log() {
    let (_folder, path) = installation();
    let service = Service::of(&path.join("countersign.toml"));
    let saved = || {
        let store = Connection::open(path.join("countersign.db")).unwrap();
        store.query_row("SELECT count(*), max(size) FROM audit_checkpoints", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or(0)))
        })
    };
    eventually(async || saved().is_ok_and(|(count, _)| count > 0)).await;
    let (_, before) = saved().unwrap();
    run_json(&["keys", "generate"], &path);
    eventually(async || saved().is_ok_and(|(_, size)| size > before)).await;
    let (code, said) = verify(&path, &[]);
    assert!(code == 0, "{said}");
    tamper(
        &path,
        "DELETE FROM audit_leaves WHERE number = (SELECT max(number) FROM audit_leaves); \
        UPDATE audit_head SET size = size - 1",
    );
    let ready = format!("{}/readyz", service.ops_url);
    let has_fork = async || {
        let conditions = service.get(&ready).await.json()["conditions"].clone();
        conditions.as_array().unwrap().iter().any(|condition| condition["name"] == "audit" && condition["ok"] == false)
    };
    eventually(has_fork).await;
    eventually(async || run(&["clients", "create", "backend", "--app", "web"], &path).0 == 1).await;
    let answer = service.get(&ready).await;
    assert_eq!(answer.status, 200, "the node goes on serving");
    let metrics = service.get(&format!("{}/metrics", service.ops_url)).await;
    assert!(String::from_utf8(metrics.body).unwrap().contains("countersign_alarms_total{kind=\"audit\"} 1"));
    run_json(&["audit", "checkpoint", "--new-epoch", "--why", "looked into"], &path);
    run_json(&["keys", "generate"], &path);
    eventually(async || !has_fork().await).await;
    let of_epoch = "SELECT count(*) FROM audit_checkpoints WHERE epoch = 2";
    let signed = || Connection::open(path.join("countersign.db")).unwrap().query_row(of_epoch, [], |row| row.get(0));
    eventually(async || signed().is_ok_and(|count: i64| count >= 2)).await;
    let (_, _, log) = service.stop();
    assert!(log.contains("checkpoint of the audit log") && log.contains("\\n\u{2014} countersign/"), "{log}");
}

/// Whoever may write the store must not write on the auditor's terminal.
#[test]
fn what_was_written_into_the_store_moves_no_cursor() {
    let (_folder, path) = installation();
    tamper(
        &path,
        r#"UPDATE audit_leaves SET actor = 'bob' || char(27) || '[2K' || char(10) || char(8238) || 'carol' WHERE number = 0;
        UPDATE audit_leaves SET text = '{"v":1,"\u001b[2K\nThe log is whole":1}' WHERE number = 1;
        UPDATE audit_head SET fork = 'none' || char(27) || '[2K' || char(13) || 'really'"#,
    );
    let (code, listed, _) = run(&["audit", "list"], &path);
    assert!(code == 0 && listed.contains("bob\\u{1b}[2K\\n\\u{202e}carol"), "{listed}");
    let (_, json, _) = run(&["audit", "list", "--json"], &path);
    assert!(json.contains("\u{202e}carol"), "as it is: {json}");
    let (code, said) = verify(&path, &[]);
    assert!(code == 1 && said.contains("really"), "{said}");
    for text in [listed, said] {
        assert!(
            !text.contains(|letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}'),
            "{text:?}"
        );
        assert!(text.lines().all(|line| !line.starts_with("The log is whole") && !line.starts_with("carol")), "{text}");
    }
}
