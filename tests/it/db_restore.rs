//! Restoring a backup: no session comes back, nothing else than a whole store of this installation becomes the store, and
//! the operator is told what came back.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use countersign::{
    domain::session::Ended,
    store::{self, Config},
    telemetry::Metrics,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    cli::{init, mode},
    store::{Engine, Sqlite, T, at_day, at_once, keep, session},
    support::service::{Service, run, run_ending, run_json},
};

#[tokio::test]
async fn a_backup_is_restored_and_ends_every_session_in_it() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let key = run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    let service = Service::of(&path.join("countersign.toml"));
    let old = service.generate(&key, "u-1").await.ok().text("refresh_token");
    run_ending(&["users", "opt-out", "u-2"], path);
    run_json(&["db", "backup", "--to", "backup.db"], path);
    assert_eq!(mode(&path.join("backup.db")), 0o600);
    let (code, _, err) = run(&["db", "backup", "--to", "backup.db"], path);
    assert_eq!(code, 1, "never overwritten: {err}");
    let follower = "INSERT INTO followers (node, position, looked) VALUES ('lost', 1, 1)";
    Connection::open(path.join("backup.db")).unwrap().execute(follower, []).unwrap();
    service.stop();
    let (code, _, err) = run(&["db", "restore", "--from", "backup.db"], path);
    assert!(code == 1 && err.contains("exists"), "{err}");
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(path.join(format!("countersign.db{end}")));
    }
    run_json(&["db", "restore", "--from", "backup.db"], path);
    let restored = Connection::open(path.join("countersign.db")).unwrap();
    let count = |sql: &str| restored.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM ends WHERE kind = 'app' AND app = ''"), 1, "nodes learn of it as of any");
    assert_eq!(count("SELECT count(*) FROM followers"), 0, "nodes of the lost store do not follow this one");
    drop(restored);
    let service = Service::of(&path.join("countersign.toml"));
    service.refresh(&old).await.unwrap().problem(401, "invalid_token");
    service.generate(&key, "u-2").await.problem(403, "opted_out");
    let new = service.generate(&key, "u-1").await.ok().text("refresh_token");
    service.refresh(&new).await.unwrap().ok();
}

#[tokio::test]
async fn a_failed_restore_leaves_no_store_and_no_session() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let key = run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    let service = Service::of(&path.join("countersign.toml"));
    let old = service.generate(&key, "u-1").await.ok().text("refresh_token");
    run_json(&["db", "backup", "--to", "backup.db"], path);
    service.stop();
    for end in ["", "-shm"] {
        let _ = fs::remove_file(path.join(format!("countersign.db{end}")));
    }
    // The log of the lost store would be replayed on the restored one.
    fs::write(path.join("countersign.db-wal"), "of the lost store").unwrap();
    let (code, _, err) = run(&["db", "restore", "--from", "backup.db"], path);
    assert!(code == 1 && err.contains("countersign.db-wal exists"), "{err}");
    fs::remove_file(path.join("countersign.db-wal")).unwrap();

    let secret = fs::read(path.join("sealing.secret")).unwrap();
    fs::write(path.join("sealing.secret"), format!("1:{}\n", "0123456789abcdef".repeat(4))).unwrap();
    let (code, _, err) = run(&["db", "restore", "--from", "backup.db"], path);
    assert!(code == 1 && err.contains("sealing secret"), "{err}");
    assert_eq!(store_files(path), Vec::<String>::new());

    fs::write(path.join("sealing.secret"), secret).unwrap();
    run_json(&["db", "restore", "--from", "backup.db"], path);
    assert_eq!(store_files(path), ["countersign.db"]);
    assert_eq!(mode(&path.join("countersign.db")), 0o600);
    let service = Service::of(&path.join("countersign.toml"));
    service.refresh(&old).await.unwrap().problem(401, "invalid_token");
}

/// Names of the store's files in a folder, with those beside it.
fn store_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("countersign.db")).collect()
}

/// An installation whose store was backed up to `backup.db` and is lost; its API key and a refresh token that was
/// revoked after the backup.
struct Lost {
    folder: tempfile::TempDir,
    api_key: Value,
    revoked: String,
}

impl Lost {
    async fn new() -> Self {
        let (folder, _) = init(&[]);
        let path = folder.path();
        let api_key = run_json(&["clients", "create", "backend", "--app", "web"], path);
        let service = Service::of(&path.join("countersign.toml"));
        let revoked = service.generate(api_key["api_key"].as_str().unwrap(), "u-1").await.ok().text("refresh_token");
        run_ending(&["users", "opt-out", "u-2"], path);
        run_json(&["db", "backup", "--to", "backup.db"], path);
        run_ending(&["users", "revoke", "u-1"], path);
        service.stop();
        lose_store(path);
        Self { folder, api_key, revoked }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn backup(&self) -> PathBuf {
        self.path().join("backup.db")
    }

    /// Restores; the error, after which there is no store and nothing else beside the backup.
    #[track_caller]
    fn refused(&self) -> String {
        let (code, _, err) = run(&["db", "restore", "--from", "backup.db"], self.path());
        assert_eq!((code, store_files(self.path())), (1, Vec::new()), "{err}");
        err
    }

    /// Restores, and checks that the revoked session stays dead.
    async fn restored(&self) {
        run_json(&["db", "restore", "--from", "backup.db"], self.path());
        assert_eq!(store_files(self.path()), ["countersign.db"]);
        let service = Service::of(&self.path().join("countersign.toml"));
        service.refresh(&self.revoked).await.unwrap().problem(401, "invalid_token");
    }
}

fn lose_store(folder: &Path) {
    for file in store_files(folder) {
        fs::remove_file(folder.join(file)).unwrap();
    }
}

#[tokio::test]
async fn what_a_killed_restore_left_is_no_obstacle() {
    let lost = Lost::new().await;
    let backup = fs::read(lost.backup()).unwrap();
    for (end, left) in [("", &backup[..backup.len() / 2]), ("-wal", b"half a log"), ("-shm", b"?"), ("-journal", b"?")]
    {
        fs::write(lost.path().join(format!("countersign.db.unfinished{end}")), left).unwrap();
    }
    fs::set_permissions(lost.backup(), fs::Permissions::from_mode(0o644)).unwrap();
    lost.restored().await;
    assert_eq!(mode(&lost.path().join("countersign.db")), 0o600);
    let (code, _, err) = run(&["db", "restore", "--from", "backup.db"], lost.path());
    assert!(code == 1 && err.contains("countersign.db exists"), "{err}");
}

#[tokio::test]
async fn a_stray_file_of_the_lost_store_is_refused() {
    let lost = Lost::new().await;
    for end in ["-wal", "-shm", "-journal"] {
        let stray = lost.path().join(format!("countersign.db{end}"));
        fs::write(&stray, b"").unwrap();
        let (code, _, err) = run(&["db", "restore", "--from", "backup.db"], lost.path());
        assert!(code == 1 && err.contains(&format!("countersign.db{end} exists")), "{err}");
        fs::remove_file(stray).unwrap();
        assert_eq!(store_files(lost.path()), Vec::<String>::new());
    }
    lost.restored().await;
}

#[tokio::test]
async fn only_a_whole_store_of_ours_becomes_the_store() {
    let lost = Lost::new().await;
    let good = fs::read(lost.backup()).unwrap();
    fs::write(lost.backup(), [7; 8192]).unwrap();
    assert!(lost.refused().contains("not a store of countersign"));
    fs::write(lost.backup(), b"").unwrap();
    assert!(lost.refused().contains("not a store of countersign"));

    fs::remove_file(lost.backup()).unwrap();
    Connection::open(lost.backup()).unwrap().execute_batch("CREATE TABLE theirs (n); PRAGMA user_version = 3").unwrap();
    assert!(lost.refused().contains("not a store of countersign"));

    fs::write(lost.backup(), &good[..good.len() - 4096 * 3]).unwrap();
    assert!(lost.refused().contains("damaged"));
    let mut torn = good.clone();
    let length = torn.len();
    torn[length - 4096 * 2..].fill(0x55);
    fs::write(lost.backup(), torn).unwrap();
    assert!(lost.refused().contains("damaged"));

    fs::write(lost.backup(), &good).unwrap();
    let later = "UPDATE meta SET value = 99 WHERE name = 'readable_from'; PRAGMA user_version = 99";
    Connection::open(lost.backup()).unwrap().execute_batch(later).unwrap();
    assert!(lost.refused().contains("newer countersign"));

    fs::write(lost.backup(), &good).unwrap();
    let log = lost.path().join("backup.db-wal");
    fs::write(&log, b"the newest writes").unwrap();
    assert!(lost.refused().contains("incomplete without"));
    fs::remove_file(log).unwrap();

    fs::write(lost.path().join("countersign.db.unfinished"), &good).unwrap();
    let (code, _, err) = run(&["db", "restore", "--from", "countersign.db.unfinished"], lost.path());
    assert!(code == 1 && err.contains("unfinished restore"), "{err}");
    lost.restored().await;
}

#[tokio::test]
async fn a_pipe_in_the_place_of_the_backup_is_not_waited_for() {
    let lost = Lost::new().await;
    fs::rename(lost.backup(), lost.path().join("moved")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, lost.backup(), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(lost.refused().contains("is not a regular file"));
    fs::remove_file(lost.backup()).unwrap();
    fs::create_dir(lost.backup()).unwrap();
    assert!(lost.refused().contains("is not a regular file"));
}

#[tokio::test]
async fn a_backup_of_another_installation_is_refused() {
    let lost = Lost::new().await;
    let (other, _) = init(&[]);
    lose_store(other.path());
    let backup = lost.backup();
    let restore = ["db", "restore", "--from", backup.to_str().unwrap()];
    let (code, _, err) = run(&restore, other.path());
    assert!(code == 1 && err.contains("sealing secret"), "{err}");
    fs::copy(lost.path().join("sealing.secret"), other.path().join("sealing.secret")).unwrap();
    let (code, _, err) = run(&restore, other.path());
    assert!(code == 1 && err.contains("of installation"), "{err}");
    assert_eq!(store_files(other.path()), Vec::<String>::new());

    // A new machine, with the key folder of before.
    fs::remove_dir_all(other.path().join("keys")).unwrap();
    let copied =
        std::process::Command::new("cp").args(["-rp"]).arg(lost.path().join("keys")).arg(other.path()).status();
    assert!(copied.unwrap().success());
    run_json(&restore, other.path());
    assert_eq!(run_json(&["doctor"], other.path())["health"], "ok");
}

#[tokio::test]
async fn a_backup_of_an_older_version_adopts_the_id_of_the_installation() {
    let lost = Lost::new().await;
    let forget = "DELETE FROM meta WHERE name = 'installation_id'";
    assert_eq!(Connection::open(lost.backup()).unwrap().execute(forget, []).unwrap(), 1);
    lost.restored().await;
    assert_eq!(run_json(&["doctor"], lost.path())["health"], "ok");
}

#[tokio::test]
async fn a_session_of_a_clock_ahead_is_ended_too_and_new_ones_live() {
    let lost = Lost::new().await;
    let ahead = "UPDATE sessions SET created = created + 3600000, rotated = rotated + 3600000";
    assert_eq!(Connection::open(lost.backup()).unwrap().execute(ahead, []).unwrap(), 1);
    lost.restored().await;
    let service = Service::of(&lost.path().join("countersign.toml"));
    let new = service.generate(lost.api_key["api_key"].as_str().unwrap(), "u-1").await.ok().text("refresh_token");
    service.refresh(&new).await.unwrap().ok();
}

#[tokio::test]
async fn what_comes_back_is_told_and_clients_can_be_revoked() {
    let lost = Lost::new().await;
    let (code, said, err) = run(&["db", "restore", "--from", "backup.db"], lost.path());
    assert_eq!(code, 0, "{err}");
    let id = lost.api_key["id"].as_str().unwrap();
    for part in
        ["0 min ago", "1 opt-outs", "valid again", &format!("{id}  backend"), "--revoke-clients", "main  active"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(run_json(&["clients", "list"], lost.path())[0]["revoked"], Value::Null);

    lose_store(lost.path());
    let restored = run_json(&["db", "restore", "--from", "backup.db", "--revoke-clients"], lost.path());
    assert_eq!(restored["api_keys"], json!([{ "id": id, "client": "backend" }]));
    assert_eq!((&restored["api_keys_revoked"], &restored["opt_outs"]), (&json!(true), &json!(1)));
    assert_eq!((&restored["keys"][0]["state"], &restored["keys"][0]["fault"]), (&json!("active"), &Value::Null));
    assert!(restored["age_seconds"].as_u64().unwrap() < 120, "{restored}");
    let service = Service::of(&lost.path().join("countersign.toml"));
    let answer = service.generate(lost.api_key["api_key"].as_str().unwrap(), "u-1").await;
    assert_eq!(answer.status, 401, "revoked from the first request on");
}

#[test]
fn a_key_that_was_compromised_after_the_backup_is_not_called_for() {
    let (folder, made) = init(&[]);
    let path = folder.path();
    run_json(&["db", "backup", "--to", "backup.db"], path);
    let kid = made["kid"].as_str().unwrap();
    run(&["keys", "compromise", kid, "--why", "stolen", "--yes", "--json"], path);
    lose_store(path);
    let restored = run_json(&["db", "restore", "--from", "backup.db"], path);
    assert!(restored["age_seconds"].as_u64().unwrap() < 120, "{restored}");
    let fault = restored["keys"][0]["fault"].as_str().unwrap();
    let (_, doctor, _) = run(&["doctor"], path);
    for said in [fault, &doctor] {
        let advice = format!("when the key was compromised: do not bring it back; `countersign keys compromise {kid}`");
        assert!(said.contains(&advice) && !said.contains("restore it"), "{said}");
    }
}

#[tokio::test]
async fn a_clock_behind_the_backup_judges_nothing_and_ends_every_session() {
    let lost = Lost::new().await;
    // As a node whose clock was right recorded it, and for a machine that has booted since.
    let later = "UPDATE meta SET value = json_set(value, '$.time', json_extract(value, '$.time') + 7200000, '$.boot_id', \
                 NULL) WHERE name = 'clock_floor'";
    let backup = Connection::open(lost.backup()).unwrap();
    assert_eq!(backup.execute(later, []).unwrap(), 1);
    assert_eq!(backup.execute("UPDATE api_keys SET expires = 1", []).unwrap(), 1);
    drop(backup);
    let (code, said, err) = run(&["db", "restore", "--from", "backup.db"], lost.path());
    assert!(code == 0 && said.contains("behind the time that the store has on record"), "{said}{err}");
    lose_store(lost.path());
    let restored = run_json(&["db", "restore", "--from", "backup.db", "--revoke-clients"], lost.path());
    assert_eq!((&restored["age_seconds"], &restored["api_keys"][0]["id"]), (&Value::Null, &lost.api_key["id"]));
    assert_ne!(run_json(&["clients", "list"], lost.path())[0]["revoked"], Value::Null);
    run_json(&["clock", "accept"], lost.path());
    let service = Service::of(&lost.path().join("countersign.toml"));
    service.refresh(&lost.revoked).await.unwrap().problem(401, "invalid_token");
}

#[tokio::test]
async fn a_clock_ahead_of_the_sessions_ends_no_later_login() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let (old, new) = (session(1, T), session(2, at_day(1)));
    keep(&store, &old).await;
    store.backup(sqlite.backup_path()).await.unwrap();
    drop(store);
    let place = Config { path: sqlite.dir().join("restored.db"), ..Config::default() };
    store::restore(&place, &sqlite.backup_path()).unwrap().put_in_place(at_day(400)).unwrap();
    let restored = at_once(store::open(&place, Metrics::new())).unwrap();
    keep(&restored, &new).await;
    let ended = async |id| restored.session(id).await.unwrap().unwrap().ended;
    assert_eq!((ended(old.id).await, ended(new.id).await), (Some(Ended::Revoked), None));
}
