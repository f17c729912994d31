//! Cases of the SQLite store only: its file, its schema versions, several processes on one file.

use std::{
    fs,
    num::NonZeroU32,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    time::Duration,
};

use countersign::{
    domain::{
        api_key::{ApiKey, ApiKeyRecord},
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::{AppName, Kid, SessionId, UserHash},
        rotation::{Goal, Progress},
        session::{Ended, Session},
    },
    store::{self, Config, End, KeyTransaction, Store, StoreError},
    telemetry::Metrics,
};
use rusqlite::{Connection, params};

use crate::store::{Engine, Sqlite, T, app, at_min, keep, open_file, session, step};
use crate::support::domain::actor;

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn refusal(opened: Result<std::sync::Arc<dyn Store>, StoreError>) -> StoreError {
    opened.err().expect("it should be refused")
}

#[tokio::test]
async fn every_file_is_the_owners_alone() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    keep(&store, &session(1, T)).await;
    store.backup(sqlite.backup_path()).await.unwrap();
    for name in ["store.db", "store.db-wal", "store.db-shm", "backup.db"] {
        assert_eq!(mode_of(&sqlite.dir().join(name)), 0o600, "{name}");
    }
    drop(store);
    assert!(!sqlite.dir().join("store.db-wal").exists(), "the log is moved into the file at the end");
}

#[tokio::test]
async fn a_file_that_others_may_use_is_refused() {
    let sqlite = Sqlite::new();
    drop(sqlite.open());
    for mode in [0o604, 0o602, 0o666] {
        set_mode(&sqlite.path(), mode);
        let refused = refusal(sqlite.try_open());
        assert!(matches!(refused, StoreError::Access(_)), "{refused}");
        assert!(refused.to_string().ends_with(&format!("chmod 600 {}", sqlite.path().display())), "{refused}");
    }
    set_mode(&sqlite.path(), 0o660);
    drop(sqlite.open());
    set_mode(&sqlite.path(), 0o600);
    drop(sqlite.open());
    let log = sqlite.dir().join("store.db-wal");
    fs::write(&log, b"").unwrap();
    set_mode(&log, 0o644);
    assert!(matches!(refusal(sqlite.try_open()), StoreError::Access(_)));
}

#[tokio::test]
async fn a_folder_that_others_may_write_to_is_refused() {
    let sqlite = Sqlite::new();
    for mode in [0o777, 0o707] {
        set_mode(sqlite.dir(), mode);
        let refused = refusal(sqlite.try_open());
        assert!(matches!(refused, StoreError::Access(_)), "{refused}");
        assert!(refused.to_string().contains(&format!("mode {mode:04o}")), "{refused}");
    }
    set_mode(sqlite.dir(), 0o1777);
    sqlite.try_open().expect("a sticky folder will do");
    set_mode(sqlite.dir(), 0o700);
}

#[tokio::test]
async fn a_symlink_is_refused() {
    let sqlite = Sqlite::new();
    drop(sqlite.open());
    let link = sqlite.dir().join("link.db");
    symlink(sqlite.path(), &link).unwrap();
    assert!(refusal(open_file(&link)).to_string().contains("symlinks are refused"));
    let dangling = sqlite.dir().join("dangling.db");
    symlink(sqlite.dir().join("nowhere.db"), &dangling).unwrap();
    assert!(refusal(open_file(&dangling)).to_string().contains("symlinks are refused"));
    assert!(!sqlite.dir().join("nowhere.db").exists(), "nothing was made through it");
    let log = sqlite.dir().join("store.db-wal");
    symlink(sqlite.dir().join("elsewhere"), &log).unwrap();
    assert!(refusal(sqlite.try_open()).to_string().contains("symlinks are refused"));
}

#[tokio::test]
async fn what_cannot_be_a_store_is_refused_by_name() {
    let sqlite = Sqlite::new();
    let nowhere = sqlite.dir().join("no/such/folder.db");
    assert!(refusal(open_file(&nowhere)).to_string().contains("its folder"));
    assert!(refusal(open_file(sqlite.dir())).to_string().contains("not a regular file"));

    fs::write(sqlite.path(), [7; 8192]).unwrap();
    set_mode(&sqlite.path(), 0o600);
    assert!(refusal(sqlite.try_open()).to_string().contains("restore a backup"));
    fs::remove_file(sqlite.path()).unwrap();

    for version in [0, 1, 9] {
        let other = Connection::open(sqlite.path()).unwrap();
        other.execute_batch(&format!("CREATE TABLE theirs (n); PRAGMA user_version = {version}")).unwrap();
        drop(other);
        set_mode(&sqlite.path(), 0o600);
        let theirs = fs::read(sqlite.path()).unwrap();
        assert!(refusal(sqlite.try_open()).to_string().contains("not one of countersign's"), "{version}");
        assert_eq!(fs::read(sqlite.path()).unwrap(), theirs, "and is not changed");
        fs::remove_file(sqlite.path()).unwrap();
    }
}

#[tokio::test]
async fn no_user_id_and_no_secret_is_in_any_file() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let user_id = "canary-user-0123456789";
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, user_id.as_bytes());
    let hash: [u8; 32] = hash.as_ref().try_into().unwrap();
    let key = ApiKey::new([0xc4; 8], *b"canary-secret-canary-secret-0123");
    let record = ApiKeyRecord {
        id: key.id.clone(),
        client: "shop".parse().unwrap(),
        apps: vec![app("web")],
        hash: key.hash(),
        created: T,
        expires: None,
        revoked: None,
        last_used: None,
    };
    assert!(store.insert_api_key(record, 1, &actor()).await.unwrap());
    keep(&store, &Session { user: UserHash(hash), ..session(1, T) }).await;
    store.opt_out(UserHash(hash), None, T, &actor()).await.unwrap();
    store.backup(sqlite.backup_path()).await.unwrap();

    let with_log = bytes_of(sqlite.dir());
    drop(store);
    let closed = bytes_of(sqlite.dir());
    for bytes in [with_log, closed] {
        assert!(contains(&bytes, &hash), "the search finds what is there");
        assert!(contains(&bytes, key.id.as_str().as_bytes()));
        assert!(!contains(&bytes, user_id.as_bytes()));
        assert!(!contains(&bytes, b"canary-secret"));
        assert!(!contains(&bytes, key.reveal()["csk1_".len() + 17..].as_bytes()));
    }
}

fn bytes_of(dir: &Path) -> Vec<u8> {
    fs::read_dir(dir).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Migrates the store as a later version of the program would.
fn migrate_to_the_future(sqlite: &Sqlite, readable_from: u32) {
    let later = Connection::open(sqlite.path()).unwrap();
    later
        .execute_batch(&format!(
            "BEGIN; ALTER TABLE sessions ADD COLUMN device TEXT; CREATE TABLE to_come (name TEXT); \
             UPDATE meta SET value = {readable_from} WHERE name = 'readable_from'; PRAGMA user_version = 99; COMMIT"
        ))
        .unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let sqlite = Sqlite::new();
    drop(sqlite.open());
    migrate_to_the_future(&sqlite, 99);
    assert!(matches!(refusal(sqlite.try_open()), StoreError::TooNew { found: 99, .. }));
}

#[tokio::test]
async fn the_version_before_goes_on_beside_one_that_only_added() {
    let sqlite = Sqlite::new();
    let running = sqlite.open();
    let kept = session(1, T);
    keep(&running, &kept).await;
    migrate_to_the_future(&sqlite, 1);

    assert!(running.advance_session(step(&kept, 0, T)).await.unwrap(), "one that runs goes on");
    let opened = sqlite.try_open().expect("one that starts may, too");
    assert!(opened.advance_session(step(&kept, 1, T)).await.unwrap());
    keep(&opened, &session(2, T)).await;
    let schema = opened.schema().await.unwrap();
    assert_eq!(schema.found, 99);
    assert!(schema.known < 99);
}

/// A program of schema 7 runs beside this one during a rolling update. These are its statements.
#[tokio::test]
async fn ends_by_the_version_before_are_logged() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let kept = [session(1, T), session(2, T)];
    for one in &kept {
        keep(&store, one).await;
    }
    let start = store.ends_position().await.unwrap();
    let before = Connection::open(sqlite.path()).unwrap();
    let user = kept[0].user;
    let end = "UPDATE sessions SET ended = 'revoked', ended_at = ?2 \
               WHERE user = ?1 AND ('web' = '' OR app = 'web') AND ended IS NULL";
    before.execute(end, params![user.0, at_min(1).0]).unwrap();
    let opt_out = "INSERT INTO opt_outs (user, app, since) VALUES (?1, '', ?2) ON CONFLICT DO NOTHING";
    before.execute(opt_out, params![user.0, at_min(2).0]).unwrap();
    before.execute("DELETE FROM opt_outs WHERE user = ?1 AND app = ''", [user.0]).unwrap();
    let end_app = "INSERT INTO app_ends (app, ended_at) VALUES ('', ?1) \
                   ON CONFLICT (app) DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)";
    before.execute(end_app, [at_min(3).0]).unwrap();
    let page = store.ends_since(start, 0, 100).await.unwrap();
    let ends: Vec<End> = page.ends.into_iter().map(|(_, end)| end).collect();
    let ended = |session: &Session| End::Session { id: session.id, why: Ended::Revoked, expires: session.expires };
    let (out, back) = (End::OptOut { user, app: None }, End::OptIn { user, app: None });
    assert_eq!(ends, [ended(&kept[0]), ended(&kept[1]), out, back, End::App { app: None, at: at_min(3) }]);
}

/// Makes a store of schema 2, as the program of that version left it.
fn create_schema_2(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    set_mode(path, 0o600);
    connection.execute_batch(include_str!("../../src/store/migrations/sqlite/0001_start.sql")).unwrap();
    connection.execute_batch(include_str!("../../src/store/migrations/sqlite/0002_rotation.sql")).unwrap();
    connection.execute("INSERT INTO meta (name, value) VALUES ('readable_from', 1)", []).unwrap();
    // "csgn" in ASCII.
    connection.pragma_update(None, "application_id", 0x6373_676e).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    connection
}

fn audit_event(at: u64, app_name: Option<&str>, action: AuditAction, actor: &str) -> AuditEvent {
    AuditEvent {
        at: at_min(at),
        actor: Actor::named(actor),
        action,
        target: AuditTarget {
            ring: Some("main".parse().unwrap()),
            kid: Some(Kid::from_thumbprint(&[1; 32])),
            app: app_name.map(app),
            ..AuditTarget::default()
        },
        outcome: AuditOutcome::Done,
        why: format!("reason {at}"),
    }
}

#[tokio::test]
async fn a_store_of_schema_2_keeps_its_audit_log_and_its_rotations() {
    let sqlite = Sqlite::new();
    let old = create_schema_2(&sqlite.path());
    let created = audit_event(0, None, AuditAction::Created, "operator");
    let primary = audit_event(1, Some("web"), AuditAction::MadePrimary, "node-1");
    let mut aborted = audit_event(2, None, AuditAction::Aborted, "operator");
    aborted.target.kid = None;
    for (event, deed) in [(&created, "created"), (&primary, "made_primary"), (&aborted, "aborted")] {
        let target = &event.target;
        let (kid, app) = (target.kid.as_ref().map(Kid::as_str), target.app.as_ref().map(AppName::as_str));
        let values = params![event.at.0, "main", kid, app, deed, event.actor.name, event.why];
        let sql = "INSERT INTO trail (at, ring, kid, app, deed, by, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        old.execute(sql, values).unwrap();
    }
    let new_key = Kid::from_thumbprint(&[2; 32]);
    let rotations = [
        ("a", "rest", Progress { version: 4, goal: Goal::Idle, new_key: None }),
        ("b", "rotate", Progress { version: 1, goal: Goal::Rotating, new_key: Some(new_key) }),
        ("c", "finish", Progress { version: 9, goal: Goal::CleaningUp, new_key: None }),
    ];
    for (ring, goal, progress) in &rotations {
        let made = progress.new_key.as_ref().map(Kid::as_str);
        let version = i64::try_from(progress.version).unwrap();
        let sql = "INSERT INTO rotations (ring, version, goal, made) VALUES (?1, ?2, ?3, ?4)";
        old.execute(sql, params![ring, version, goal, made]).unwrap();
    }
    drop(old);

    let store = sqlite.open();
    let schema = store.schema().await.unwrap();
    assert_eq!(schema.found, schema.known);
    assert_eq!(store.audit_log(None, 9).await.unwrap(), [aborted.clone(), primary.clone(), created.clone()]);
    for (ring, _, progress) in rotations {
        assert_eq!(store.ring(&ring.parse().unwrap()).await.unwrap().progress, progress, "{ring}");
    }
    let activated = audit_event(3, None, AuditAction::Activated, "node-1");
    let transaction = KeyTransaction { events: vec![activated.clone()], ..KeyTransaction::default() };
    assert!(store.transact(transaction).await.unwrap());
    let expected = [activated, aborted, primary, created];
    assert_eq!(store.audit_log(None, 9).await.unwrap(), expected);

    let other = Connection::open(sqlite.path()).unwrap();
    for sql in ["UPDATE audit_log SET why = 'changed'", "DELETE FROM audit_log WHERE actor = 'operator'"] {
        let refused = other.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("the audit log is append-only"), "{sql}: {refused}");
    }
    assert_eq!(store.audit_log(None, 9).await.unwrap(), expected);
    let readable_from: u32 =
        other.query_row("SELECT value FROM meta WHERE name = 'readable_from'", [], |row| row.get(0)).unwrap();
    assert_eq!(readable_from, 4, "a program of schema 2 must not use it any more");
}

#[tokio::test]
async fn a_store_that_is_removed_or_replaced_fails_its_check() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    store.check(T).await.unwrap();
    fs::rename(sqlite.path(), sqlite.dir().join("moved.db")).unwrap();
    let lost = |error: StoreError, how: &str| {
        assert!(error.to_string().contains(how), "{error}");
        assert!(!error.is_outage(), "requests must not be answered without it: {error}");
    };
    for how in ["removed while it was in use", "replaced while it was in use"] {
        lost(store.check(T).await.unwrap_err(), how);
        lost(store.generation().await.unwrap_err(), how);
        lost(store.end_sessions_of_app(None, T, &actor()).await.unwrap_err(), how);
        // What explains every other error of it.
        let other = Connection::open(sqlite.dir().join("moved.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        lost(store.end_sessions_of_app(None, T, &actor()).await.unwrap_err(), how);
        drop(other);
        fs::copy(sqlite.dir().join("moved.db"), sqlite.path()).unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_up_to_date_opens_while_another_process_writes() {
    let sqlite = Sqlite::new();
    drop(sqlite.open());
    let other = Connection::open(sqlite.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = sqlite.open();
    let kept = session(1, T);
    let waiting = tokio::spawn({
        let (store, kept) = (store.clone(), kept.clone());
        async move { store.create_session(kept).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(store.session(kept.id).await.unwrap(), None, "reads do not wait");
    assert!(!waiting.is_finished(), "the write waits for the lock");
    other.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lock_that_is_never_let_go_is_a_clear_error_and_the_writer_recovers() {
    let sqlite = Sqlite::new();
    let fresh = Sqlite::new();
    let store = sqlite.open();
    let kept = session(1, T);
    keep(&store, &kept).await;
    drop(fresh.try_open().unwrap());
    let locks = [&sqlite, &fresh].map(|at| Connection::open(at.path()).unwrap());
    for lock in &locks {
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    }
    // With schema version 0 the second store must be migrated when it is opened, which needs the lock.
    locks[1].execute_batch("PRAGMA user_version = 0").unwrap();
    locks[1].execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();

    let opening = tokio::task::spawn_blocking(move || (refusal(fresh.try_open()), fresh));
    let writing = store.advance_session(step(&kept, 0, T));
    let (opened, written) = tokio::join!(opening, writing);
    for error in [opened.unwrap().0, written.unwrap_err()] {
        assert!(error.to_string().contains("another process keeps it locked"), "{error}");
        assert!(error.is_outage(), "it may pass");
    }
    drop(locks);
    assert!(store.advance_session(step(&kept, 0, T)).await.unwrap(), "without a restart");
}

/// Run by [`two_real_processes_share_one_store`] in another process, in the folder of the store.
#[tokio::test]
#[ignore = "the other half of another test"]
async fn the_other_process() {
    let here = Path::new("store.db");
    if here.exists() {
        let store = open_file(here).unwrap();
        println!("taken={}", steps_taken(&store, session(1, T).id).await);
    }
}

/// Advances a session until its counter is 200. Returns the number of steps that this process took.
async fn steps_taken(store: &std::sync::Arc<dyn Store>, id: SessionId) -> u64 {
    let mut taken = 0;
    loop {
        let now = store.session(id).await.unwrap().unwrap();
        if now.counter >= 200 {
            return taken;
        }
        taken += u64::from(store.advance_session(step(&now, now.counter, T)).await.unwrap());
    }
}

#[tokio::test]
async fn two_real_processes_share_one_store() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    keep(&store, &session(1, T)).await;
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "store_sqlite::the_other_process", "--ignored", "--nocapture"]).current_dir(sqlite.dir());
    let other = tokio::task::spawn_blocking(move || other.output().unwrap());
    let here = steps_taken(&store, session(1, T).id).await;
    let said = String::from_utf8(other.await.unwrap().stdout).unwrap();
    let taken = said.split("taken=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let there: u64 = taken.unwrap_or_else(|| panic!("the other process said {said}")).parse().unwrap();
    assert_eq!(here + there, 200, "every step was taken once");
    assert_eq!(store.session(session(1, T).id).await.unwrap().unwrap().counter, 200);
}

#[tokio::test]
async fn work_is_measured_and_commits_are_shared() {
    let sqlite = Sqlite::new();
    let metrics = Metrics::new();
    drop(sqlite.open());
    let store = store::open(
        &Config { path: sqlite.path(), max_sessions_per_user: NonZeroU32::new(500).unwrap(), ..Config::default() },
        metrics.clone(),
    )
    .await
    .unwrap();
    let writes: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.create_session(session(n, T)).await.unwrap() })
        })
        .collect();
    for write in writes {
        write.await.unwrap();
    }
    store.session(session(1, T).id).await.unwrap();
    let text = metrics.encode();
    let value = |series: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("countersign_store_seconds_count{work=\"write\"}") >= 200.0);
    assert!(value("countersign_store_seconds_count{work=\"read\"}") >= 1.0);
    assert!((value("countersign_store_commit_group_sum") - 200.0).abs() < 0.5, "each write is in one commit");
    assert!(value("countersign_store_commit_group_count") < 200.0, "and many share one");
}

#[test]
fn many_may_make_a_new_store_at_once() {
    let sqlite = Sqlite::new();
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| sqlite.try_open().map(drop))).collect();
        for open in opened {
            open.join().unwrap().unwrap();
        }
    });
}
