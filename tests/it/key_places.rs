//! Keys on many nodes, at the command line and over HTTP: custody in the store, moves, new passphrases and sealing secrets.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    cli::{eventually, init},
    custody::verified_user,
    support::{
        key_files,
        service::{Service, countersign, run, run_json},
    },
};

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// An API key for the app.
fn api_key(folder: &Path) -> String {
    run_json(&["clients", "create", "backend", "--app", "web"], folder)["api_key"].as_str().unwrap().to_owned()
}

/// A second node: a folder with nothing but a configuration and the sealing secret, on the same store.
fn second_node(first: &Path, custody: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let store = first.join("countersign.db");
    let config = format!("[store]\npath = \"{}\"\n[custody]\nkind = \"{custody}\"\n[apps.web]\n", store.display());
    write(&folder.path().join("countersign.toml"), &config);
    fs::copy(first.join("sealing.secret"), folder.path().join("sealing.secret")).unwrap();
    folder
}

fn serve(folder: &Path) -> Service {
    Service::of(&folder.join("countersign.toml"))
}

/// The only key on record.
fn key(folder: &Path) -> Value {
    run_json(&["keys", "list"], folder)[0].clone()
}

fn sealed_keys(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let store = rusqlite::Connection::open(folder.join("countersign.db")).unwrap();
    let mut query = store.prepare("SELECT kid, sealed FROM sealed_keys").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Mints on a node; the token is signed with the key on record.
async fn mints(service: &Service, api_key: &str, key: &Value) {
    let token = service.generate(api_key, "u-1").await.ok().text("token");
    assert_eq!(verified_user(&token, key["public_key"].as_str().unwrap()), "u-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_load_keys_from_the_store() {
    let (first, made) = init(&["--custody", "store"]);
    let path = first.path();
    assert!(!path.join("keys").exists(), "no folder is needed");
    let api_key = api_key(path);
    let second = second_node(path, "store");
    let (one, two) = (serve(path), serve(second.path()));
    let record = key(path);
    assert_eq!((&record["custody"], &record["kid"]), (&"store".into(), &made["kid"]));
    mints(&one, &api_key, &record).await;
    mints(&two, &api_key, &record).await;
    let doctor = run_json(&["doctor"], second.path());
    assert_eq!(doctor["health"], "ok", "{doctor}");

    // What one node makes, the other loads.
    let next = run_json(&["keys", "generate"], second.path());
    assert_eq!(next["custody"], "store");
    let pem = path.join("next.pem");
    fs::write(&pem, next["public_key"].as_str().unwrap()).unwrap();
    let kid = next["kid"].as_str().unwrap();
    run_json(&["keys", "confirm", kid, "--public-key", "next.pem"], path);
    assert_eq!(sealed_keys(path).len(), 2);
    let compromised = made["kid"].as_str().unwrap();
    let (code, _, err) = run(&["keys", "compromise", compromised, "--yes", "--why", "test"], path);
    assert_eq!(code, 3, "its deletion at Braze is to be confirmed: {err}");
    eventually(async || {
        let (code, status, _) = run(&["rotate", "status", "--json"], path);
        code != 1 && status.contains("\"active\"") && one.generate(&api_key, "u-1").await.status == 200
    })
    .await;
    eventually(async || two.generate(&api_key, "u-1").await.status == 200).await;
    mints(&one, &api_key, &next).await;
    mints(&two, &api_key, &next).await;
}

#[tokio::test]
async fn another_installations_secret_opens_no_store_and_no_key() {
    let (first, _) = init(&["--custody", "store"]);
    write(&first.path().join("sealing.secret"), &format!("1:{}\n", "0123456789abcdef".repeat(4)));
    let (code, out, _) = run(&["doctor"], first.path());
    assert!(code == 1 && out.contains("does not open this store"), "{code}: {out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_move_both_ways_under_running_nodes() {
    let (first, _) = init(&[]);
    let path = first.path();
    let api_key = api_key(path);
    let (one, record) = (serve(path), key(path));
    let file = key_files(path).remove(0);
    let before = fs::read(&file).unwrap();
    let minting = async || mints(&one, &api_key, &record).await;
    minting().await;

    let moved = run_json(&["keys", "move", "--to", "store"], path);
    assert_eq!((&moved[0]["kid"], &moved[0]["custody"]), (&record["kid"], &"store".into()));
    assert_eq!(moved[0]["waiting_for"], Value::Array(vec![]));
    assert!(!file.exists() && sealed_keys(path).len() == 1);
    minting().await;
    let second = second_node(path, "store");
    let two = serve(second.path());
    mints(&two, &api_key, &record).await;

    // The second node has no key folder: it cannot load a file, so that the copy in the store stays.
    let (code, out, err) = run(&["keys", "move", "--to", "file", "--wait", "2"], path);
    assert!(code == 3 && out.contains("two copies") && err.contains("These nodes"), "{code}: {out}{err}");
    assert!(fs::read(&file).unwrap() != before[..0] && sealed_keys(path).len() == 1);
    minting().await;
    mints(&two, &api_key, &record).await;
    let doctor = run(&["doctor"], path).1;
    assert!(doctor.contains("erases the copy"), "{doctor}");

    // It gets the file, and loads it without a signal.
    let keys = second.path().join("keys");
    fs::create_dir(&keys).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).unwrap();
    let copy = keys.join(file.file_name().unwrap());
    write(&copy, &fs::read_to_string(&file).unwrap());
    run_json(&["keys", "move", "--to", "file"], path);
    assert!(file.exists() && sealed_keys(path).is_empty());
    minting().await;
    mints(&two, &api_key, &record).await;
    assert_eq!(run_json(&["doctor"], path)["health"], "ok");
    let log: Vec<String> = audit(path);
    assert_eq!(log.iter().filter(|action| *action == "moved").count(), 2, "{log:?}");
    drop((one, two));
    mints(&serve(path), &api_key, &record).await;
}

/// Acts that were done: each has a record of its intent, too.
fn audit(folder: &Path) -> Vec<String> {
    let store = rusqlite::Connection::open(folder.join("countersign.db")).unwrap();
    let mut query = store.prepare("SELECT action FROM audit_leaves WHERE outcome = 'done'").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Whatever is left by a crash after each step of a move, the same command finishes, and the key signs all the time.
#[test]
fn a_move_that_was_cut_short_is_finished() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let (file, record) = (key_files(path).remove(0), key(path));
    let text = fs::read_to_string(&file).unwrap();
    run_json(&["keys", "move", "--to", "store"], path);
    let store = rusqlite::Connection::open(path.join("countersign.db")).unwrap();
    let on_record = |custody: &str, locator: &str| {
        store.execute("UPDATE keys SET custody = ?1, locator = ?2", [custody, locator]).unwrap();
    };
    let kid = record["kid"].as_str().unwrap();
    for (to, custody, locator) in [
        ("store", "file", record["locator"].as_str().unwrap()),
        ("store", "store", kid),
        ("file", "store", kid),
        ("file", "file", record["locator"].as_str().unwrap()),
    ] {
        run_json(&["keys", "move", "--to", "store"], path);
        write(&file, &text);
        on_record(custody, locator);
        assert!(run(&["doctor"], path).1.contains("signs"), "{custody} is complete");
        run_json(&["keys", "move", "--to", to], path);
        assert_eq!(key(path)["custody"], to);
        assert_eq!((file.exists(), sealed_keys(path).len()), (to == "file", usize::from(to == "store")));
        assert_eq!(run_json(&["doctor"], path)["health"], "ok");
    }
    // A copy that does not sign is no reason to erase the other one.
    run_json(&["keys", "move", "--to", "store"], path);
    write(&file, &text);
    store.execute("UPDATE sealed_keys SET sealed = zeroblob(100)", []).unwrap();
    let (code, _, err) = run(&["keys", "move", "--to", "store"], path);
    assert!(code == 1 && err.contains(kid), "{code}: {err}");
    assert!(file.exists());
}

/// kill -9 at any time: the key can always be loaded from the place on record, and the command finishes what is left.
#[test]
fn a_killed_move_loses_no_key() {
    let (folder, made) = init(&[]);
    let path = folder.path();
    for round in 0..8_u64 {
        let to = if round % 2 == 0 { "store" } else { "file" };
        let mut child = countersign()
            .args(["keys", "move", "--to", to, "--wait", "0"])
            .current_dir(path)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 * round * round));
        let _ = child.kill();
        child.wait().unwrap();
        let doctor = run(&["doctor"], path).1;
        assert!(doctor.contains("loads, signs, verifies"), "round {round}: {doctor}");
        run_json(&["keys", "move", "--to", to], path);
        let copies = usize::from(!key_files(path).is_empty()) + sealed_keys(path).len();
        assert_eq!((copies, &key(path)["kid"]), (1, &made["kid"]), "round {round}");
    }
}

/// kill -9 at any time: each key opens with the passphrase before or the new one, the same command finishes what is left,
/// and nothing else that holds the key stays in the folder.
#[test]
fn a_killed_rewrap_loses_no_key() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    run_json(&["keys", "generate"], path);
    let config = path.join("countersign.toml");
    let plain = fs::read_to_string(&config).unwrap();
    fs::write(&config, plain.replace("# passphrase_file = \"passphrase\"", "passphrase_file = \"passphrase\""))
        .unwrap();
    write(&path.join("passphrase"), "passphrase 0\n");
    run_json(&["keys", "rewrap"], path);
    let records = run_json(&["keys", "list"], path);
    for round in 1..8_u64 {
        fs::rename(path.join("passphrase"), path.join("old")).unwrap();
        write(&path.join("passphrase"), &format!("passphrase {round}\n"));
        let arguments = ["keys", "rewrap", "--old-passphrase-file", "old"];
        let mut child = countersign()
            .args(arguments)
            .current_dir(path)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(30 * round * round));
        let _ = child.kill();
        child.wait().unwrap();
        run_json(&arguments, path);
        assert_eq!(run_json(&["doctor"], path)["health"], "ok", "round {round}");
        assert_eq!(fs::read_dir(path.join("keys")).unwrap().count(), 3, "round {round}: two keys and the id");
    }
    assert_eq!(run_json(&["keys", "list"], path), records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_files_follow_a_new_passphrase() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let api_key = api_key(path);
    run_json(&["keys", "generate"], path);
    let files: Vec<PathBuf> = key_files(path);
    let begins = |with: &str| files.iter().all(|file| fs::read_to_string(file).unwrap().starts_with(with));
    let config = path.join("countersign.toml");
    let plain = fs::read_to_string(&config).unwrap();
    let encrypted = plain.replace("# passphrase_file = \"passphrase\"", "passphrase_file = \"passphrase\"");
    fs::write(&config, &encrypted).unwrap();
    write(&path.join("passphrase"), "first\n");

    let done = run_json(&["keys", "rewrap"], path);
    assert!(done.as_array().unwrap().iter().all(|key| key["changed"] == true), "{done}");
    assert!(begins("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let again = run_json(&["keys", "rewrap"], path);
    assert!(again.as_array().unwrap().iter().all(|key| key["changed"] == false), "{again}");

    fs::rename(path.join("passphrase"), path.join("old")).unwrap();
    write(&path.join("passphrase"), "second\n");
    let before: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    write(&path.join("wrong"), "third\n");
    for arguments in [&["keys", "rewrap"][..], &["keys", "rewrap", "--old-passphrase-file", "wrong"]] {
        let (code, _, err) = run(arguments, path);
        assert!(
            code == 1 && files.iter().all(|file| err.contains(file.file_name().unwrap().to_str().unwrap())),
            "{err}"
        );
        assert!(err.contains("nothing was changed"), "{err}");
        assert_eq!(files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), before);
    }
    run_json(&["keys", "rewrap", "--old-passphrase-file", "old"], path);
    assert_eq!(run_json(&["doctor"], path)["health"], "ok");
    let service = serve(path);
    mints(&service, &api_key, &key(path)).await;

    fs::write(&config, &plain).unwrap();
    run_json(&["keys", "rewrap", "--old-passphrase-file", "passphrase"], path);
    assert!(begins("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(fs::read_dir(path.join("keys")).unwrap().count(), 3, "two keys and the id: nothing is left over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sealing_secret_seals_the_keys_again() {
    let (folder, _) = init(&["--custody", "store"]);
    let path = folder.path();
    let (api_key, record) = (api_key(path), key(path));
    let secret = path.join("sealing.secret");
    let first = fs::read_to_string(&secret).unwrap();
    let service = serve(path);
    let before = sealed_keys(path);
    assert_eq!(before[0].1[..4], [0, 0, 0, 1]);
    write(&secret, &format!("{first}2:{}\n", "fedcba9876543210".repeat(4)));
    service.signal(Signal::HUP);
    eventually(async || sealed_keys(path)[0].1[..4] == [0, 0, 0, 2]).await;
    mints(&service, &api_key, &record).await;
    let doctor = run_json(&["doctor"], path).to_string();
    assert!(doctor.contains("its keys need version 2 only"), "{doctor}");
    // With the newest version alone the key loads.
    write(&secret, &format!("2:{}\n", "fedcba9876543210".repeat(4)));
    drop(service);
    mints(&serve(path), &api_key, &record).await;
    // A sealed key of a version that is gone is named.
    let store = rusqlite::Connection::open(path.join("countersign.db")).unwrap();
    store.execute("UPDATE sealed_keys SET sealed = ?1", [&before[0].1]).unwrap();
    let doctor = run(&["doctor"], path).1;
    assert!(doctor.contains("version 1 of the sealing secret, which is not configured"), "{doctor}");
}

/// A key that is missing in the store is no key that is sealed with the newest secret already.
#[test]
fn a_missing_sealed_key_is_not_called_current() {
    let (folder, made) = init(&["--custody", "store"]);
    let store = rusqlite::Connection::open(folder.path().join("countersign.db")).unwrap();
    store.execute("DELETE FROM sealed_keys", []).unwrap();
    let (code, out, err) = run(&["keys", "rewrap"], folder.path());
    assert!(code == 1 && out.contains("failed") && err.contains(made["kid"].as_str().unwrap()), "{code}: {out}{err}");
}

/// Two commands that move a key in opposite directions do not erase each other's copies.
#[test]
fn opposite_moves_take_turns() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let start = |to| {
        countersign()
            .args(["keys", "move", "--to", to])
            .current_dir(path)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    for _ in 0..5 {
        let children = [start("store"), start("file"), start("store"), start("file")];
        for mut child in children {
            child.wait().unwrap();
        }
        let doctor = run(&["doctor"], path).1;
        assert!(doctor.contains("loads, signs, verifies"), "{doctor}");
        let copies = usize::from(!key_files(path).is_empty()) + sealed_keys(path).len();
        assert!(copies >= 1);
    }
}

#[test]
fn what_no_record_names_can_be_erased_and_nothing_else() {
    let (folder, made) = init(&["--custody", "store"]);
    let path = folder.path();
    let kid = run_json(&["keys", "generate"], path)["kid"].as_str().unwrap().to_owned();
    for held in [kid.as_str(), made["kid"].as_str().unwrap(), "abc"] {
        assert_eq!(run(&["keys", "erase", held], path).0, 1);
    }
    // A crash between the generation and the record leaves this.
    let store = rusqlite::Connection::open(path.join("countersign.db")).unwrap();
    store.execute("DELETE FROM keys WHERE kid = ?1", [&kid]).unwrap();
    let doctor = run(&["doctor"], path).1;
    assert!(doctor.contains(&format!("keys erase {kid}")), "{doctor}");
    // So does one in the middle of a write to the key folder.
    let keys = path.join("keys");
    fs::create_dir(&keys).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).unwrap();
    write(&keys.join(format!(".{kid}.pem.0123456789abcdef.tmp")), "-----BEGIN PRIVATE KEY-----");
    let erased = run_json(&["keys", "erase", &kid[..8]], path);
    assert_eq!(erased.as_array().unwrap().len(), 2, "{erased}");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 0);
    assert_eq!(sealed_keys(path).into_iter().map(|(kid, _)| kid).collect::<Vec<_>>(), [made["kid"].as_str().unwrap()]);
    assert_eq!(run_json(&["doctor"], path)["health"], "ok");
}
