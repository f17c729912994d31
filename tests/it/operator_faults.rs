//! Commands at the worst moment: a clock that is stopped, files that are none, folders of somebody else. Each does what it
//! promises, or says what is wrong and with what.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use countersign::clock::{Clock, SystemClock};
use rusqlite::Connection;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::{
    cli::init,
    support::service::{run, run_json, run_with},
};

#[test]
fn a_key_of_an_untouched_ring_is_stopped_also_while_the_clock_is() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    // This machine's clock is far behind it.
    let floor = json!({ "time": 9_999_999_999_999_i64, "wall": 9_999_999_999_999_i64, "boot_ms": 0, "boot_id": null });
    set_floor(path, &floor);
    let (code, _, err) = run(&["rotate", "run", "--yes"], path);
    assert!(code == 1 && err.contains("is not trusted since"), "{err}");
    let kid = run_json(&["keys", "list"], path)[0]["kid"].as_str().unwrap().to_owned();

    let (code, _, err) = run(&["keys", "compromise", &kid, "--yes"], path);
    assert!(code == 1 && err.contains("signs no more"), "{err}");
    assert!(err.contains("the key is stopped; the rest was interrupted"), "{err}");
    assert_eq!(run_json(&["keys", "list"], path)[0]["state"], "compromised");
    run_json(&["clock", "accept"], path);
    let (code, out, _) = run(&["rotate", "run", "--yes"], path);
    assert!(code == 3 && out.contains("delete key"), "the app is known to hold the key: {out}");
}

#[test]
fn a_command_goes_by_no_time_by_which_the_service_does_not() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    // The last heartbeat, as of now, of a service whose machine was then set forward by 2 h 30 min.
    let (wall, boot) = (SystemClock.now().0 - 9_000_000, SystemClock.since_boot().as_millis());
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let floor =
        json!({ "time": wall, "wall": wall, "boot_ms": u64::try_from(boot).unwrap(), "boot_id": boot_id.trim() });
    set_floor(path, &floor);
    for command in [&["rotate", "run", "--yes"][..], &["rotate", "plan"], &["users", "revoke", "--everyone", "--yes"]] {
        let (code, _, err) = run(command, path);
        assert!(code == 1 && err.contains("the wall clock was set forward by 2h"), "{command:?}: {err}");
    }
    let (code, out, _) = run(&["doctor"], path);
    assert!(code == 1 && out.contains("WRONG    clock: the clock says"), "{out}");
    assert_eq!(run_json(&["keys", "list"], path).as_array().unwrap().len(), 1, "nothing was made");
    run_json(&["clock", "accept"], path);
    assert_eq!(run(&["rotate", "run", "--yes"], path).0, 3);
}

/// Replaces the store's latest time.
fn set_floor(folder: &Path, floor: &Value) {
    let store = Connection::open(folder.join("countersign.db")).unwrap();
    store.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('clock_floor', ?1)", [floor.to_string()]).unwrap();
}

#[test]
fn what_is_no_file_is_no_backup() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    fs::remove_file(path.join("countersign.db")).unwrap();
    mknodat(CWD, path.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for backup in ["pipe", "/dev/zero", "keys"] {
        let (code, _, err) = run(&["db", "restore", "--from", backup], path);
        assert!(code == 1 && err.contains(&format!("{backup}: is not a regular file")), "{err}");
    }
    assert!(!path.join("countersign.db").exists());
}

#[test]
fn a_backup_that_cannot_be_made_is_no_fault_of_the_store() {
    let (folder, _) = init(&[]);
    for (to, why) in [("nowhere/b.db", "nowhere/b.db: its folder: No such file"), ("..", "..: this is not the path")] {
        let (code, _, err) = run(&["db", "backup", "--to", to], folder.path());
        assert!(code == 1 && err.contains(why) && !err.contains("the store"), "{err}");
    }
}

#[test]
fn a_key_folder_that_cannot_be_opened_says_why() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    fs::rename(path.join("keys"), path.join("k")).unwrap();
    let list = || run(&["keys", "list"], path);
    assert!(list().2.contains("keys: there is no such folder: mkdir -m 700 keys"), "{}", list().2);
    fs::write(path.join("keys"), "").unwrap();
    fs::set_permissions(path.join("keys"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(list().2.contains("keys: is not a folder"), "{}", list().2);
    fs::remove_file(path.join("keys")).unwrap();
    fs::rename(path.join("k"), path.join("keys")).unwrap();
    fs::set_permissions(path.join("keys"), fs::Permissions::from_mode(0o000)).unwrap();
    let (code, _, err) = list();
    // Root may open every folder.
    assert!(code == 0 || err.contains("may not open it, or a folder above it") && !err.contains("mkdir"), "{err}");
}

#[test]
fn an_api_key_that_nobody_has_seen_is_named() {
    let (folder, _) = init(&[]);
    let create = &["clients", "create", "backend", "--app", "web"];
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, _, err) = run_with(create, folder.path(), |command| {
        command.stdout(full);
    });
    let id = run_json(&["clients", "list"], folder.path())[0]["id"].as_str().unwrap().to_owned();
    let says = format!("nobody has seen the new API key {id}: `countersign clients revoke {id}`");
    assert!(code == 1 && err.contains(&says) && err.contains("cannot be written to stdout: No space left"), "{err}");
}
