//! A database that is to be a store: what is refused, with what to do, and what happens while it does not answer.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use countersign::{
    clock::UnixMillis,
    domain::ids::InstallationId,
    secret::Secret,
    store::{self, Config, Store, StoreError},
    telemetry::Metrics,
};

use crate::{
    cli::eventually,
    support::{
        domain::actor,
        postgres::{Database, Server},
    },
};

const T: UnixMillis = UnixMillis(1_795_000_000_000);

fn config(url: &str) -> Config {
    Config { url: Some(url.to_owned()), ..Config::default() }
}

async fn create(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    store::create(config, InstallationId::new([7; 16]), Metrics::new()).await
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    store::open(config, Metrics::new()).await
}

/// Text of the refusal.
async fn refused(config: &Config) -> String {
    open(config).await.err().unwrap().to_string()
}

fn database() -> (Database, Config) {
    let database = Server::shared().database();
    let config = config(&database.url());
    (database, config)
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_database_without_a_store_and_one_with_another_are_told_apart() {
    let (database, config) = database();
    assert!(matches!(open(&config).await, Err(StoreError::Missing { .. })));
    let missing = refused(&config).await;
    assert!(missing.contains("has no tables") && missing.contains("pg_restore"), "{missing}");
    database.sql("CREATE SCHEMA countersign; CREATE TABLE countersign.other (n INT)");
    assert!(refused(&config).await.contains("is not a store of countersign"));
    assert!(create(&config).await.err().unwrap().to_string().contains("is not a store of countersign"));
    database.sql("SET client_min_messages = error; DROP SCHEMA countersign CASCADE");
    drop(create(&config).await.unwrap());
    let again = create(&config).await.err().unwrap();
    assert!(
        matches!(&again, StoreError::Exists { .. }) && again.to_string().contains("name another database"),
        "{again}"
    );
    let elsewhere = config.url.as_deref().unwrap().replace(&database.name, "nowhere");
    assert!(refused(&self::config(&elsewhere)).await.contains("createdb"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_server_that_confirms_what_it_may_lose_is_refused() {
    let (database, config) = database();
    let store = create(&config).await.unwrap();
    let name = &database.name;
    database.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let error = refused(&config).await;
    assert!(error.contains("synchronous_commit is off"), "{error}");
    store.check(T).await.unwrap();
    drop(store);
    for kept in ["local", "remote_write"] {
        database.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = {kept}"));
        open(&config).await.unwrap().check(T).await.unwrap();
    }
    database.sql(&format!("ALTER DATABASE {name} RESET synchronous_commit"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_role_with_the_rights_of_the_documents_serves_and_cannot_migrate() {
    let (database, config) = database();
    drop(create(&config).await.unwrap());
    let role = format!("service_{}", database.name);
    database.sql(&format!("CREATE ROLE {role} LOGIN"));
    let as_role =
        Config { url: config.url.clone().map(|url| url.replace("postgres@", &format!("{role}@"))), ..config.clone() };
    let error = refused(&as_role).await;
    assert!(error.contains("permission denied for schema countersign") && error.contains("privileges"), "{error}");
    database.sql(&format!(
        "GRANT USAGE ON SCHEMA countersign TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA countersign TO {role}"
    ));
    let store = open(&as_role).await.unwrap();
    store.check(T).await.unwrap();
    assert!(store.purge(T, 10).await.unwrap().complete);
    assert!(store.lease("ring main", "a", T, Duration::from_secs(1)).await.unwrap());
    drop(store);
    database.sql("UPDATE countersign.meta SET value = '1' WHERE name = 'schema'; DROP TABLE countersign.sealed_keys");
    let error = refused(&as_role).await;
    assert!(error.contains("countersign db migrate"), "{error}");
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn what_is_open_for_reading_is_not_written() {
    let (database, config) = database();
    drop(create(&config).await.unwrap());
    let store = store::open_read_only(&config, Metrics::new()).await.unwrap();
    assert_eq!(store.generation().await.unwrap(), 1);
    for refused in [
        store.check(T).await.err(),
        store.purge(T, 10).await.err(),
        store.end_sessions_of_app(None, T, &actor()).await.err(),
        store.replace_user_hash_key(None, vec![1]).await.err(),
    ] {
        let why = refused.unwrap().to_string();
        assert!(why.contains("open for reading only"), "{why}");
    }
    database.sql("UPDATE countersign.meta SET value = '1' WHERE name = 'schema'");
    let old = store::open_read_only(&config, Metrics::new()).await.err().unwrap();
    assert!(matches!(old, StoreError::TooOld { found: 1, .. }), "{old}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_statement_without_an_answer_ends_in_time_also_on_the_server() {
    let (database, config) = database();
    drop(create(&config).await.unwrap());
    for prepared in [false, true] {
        let config = Config { timeout: Duration::from_secs(1), prepared, ..config.clone() };
        // A machine with other work may take longer than that.
        let mut opened = open(&config).await;
        while opened.as_ref().is_err_and(StoreError::is_outage) {
            opened = open(&config).await;
        }
        let store = opened.unwrap();
        eventually(async || store.check(T).await.is_ok()).await;
        let mut settings = tokio_postgres::Config::new();
        settings.host_path(Server::shared().folder()).user("postgres").dbname(&database.name);
        let (client, connection) = settings.connect(tokio_postgres::NoTls).await.unwrap();
        let ran = tokio::spawn(connection);
        client.batch_execute("BEGIN; SELECT FROM countersign.meta WHERE name = 'check' FOR UPDATE").await.unwrap();
        let error = store.check(T).await.unwrap_err().to_string();
        assert!(error.contains("no answer within 1s"), "{error}");
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while database.sql(waiting).trim() != "0" {}
        // Other statements go on.
        eventually(async || store.generation().await.is_ok_and(|generation| generation == 1)).await;
        drop(client);
        ran.await.unwrap().unwrap();
        eventually(async || store.check(T).await.is_ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_read_is_answered_at_once_after_a_restart_of_the_server() {
    let server: &'static Server = Box::leak(Box::new(Server::start()));
    let database = server.database();
    let config = config(&database.url());
    let store = create(&config).await.unwrap();
    for _ in 0..3 {
        let reads: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.keys().await.unwrap() })
            })
            .collect();
        for read in reads {
            read.await.unwrap();
        }
        server.crash();
        let down = store.generation().await.unwrap_err().to_string();
        assert!(down.contains("no server runs there"), "{down}");
        server.resume();
        assert_eq!(store.generation().await.unwrap(), 1);
        store.check(T).await.unwrap();
    }
    // The process ends without its drop.
    server.crash();
}

/// Runs a shell script in a folder.
fn run(folder: &Path, script: &str) {
    let done = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A port that no connection gets by itself, as those from 32768 on do.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (first..32_768).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Server that wants TLS and a password on a TCP port, and the folder of its authority's certificate `ca.pem`. Its own
/// certificate is for `localhost`.
fn guarded_server() -> (Server, u16, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    run(
        path,
        "new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
         $new -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null
         $new -subj /CN=server -keyout server.key -out server.csr 2>/dev/null
         printf 'subjectAltName = DNS:localhost\\nbasicConstraints = CA:FALSE\\n' >server.ext
         openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext \
             -out server.pem 2>/dev/null
         printf 'local all all trust\\nhostssl all all 127.0.0.1/32 scram-sha-256\\n' >hba.conf
         chmod 600 server.key",
    );
    if rustix::process::geteuid().is_root() {
        // The user that the server runs as.
        chown(path.join("server.key"), Some(65534), None).unwrap();
    }
    let port = free_port();
    let dir = path.display();
    let settings = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\nssl_cert_file = '{dir}/server.pem'\n\
         ssl_key_file = '{dir}/server.key'\nhba_file = '{dir}/hba.conf'\n"
    );
    (Server::start_with(&settings), port, folder)
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn the_server_proves_its_name_before_it_gets_the_password() {
    let (server, port, folder) = guarded_server();
    let socket = server.folder().display().to_string();
    let admin = format!("postgres://postgres@/postgres?host={socket}&port={port}");
    drop(create(&config(&admin)).await.unwrap());
    let mut settings = tokio_postgres::Config::new();
    settings.host_path(&socket).port(port).user("postgres").dbname("postgres");
    let (client, connection) = settings.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("ALTER ROLE postgres PASSWORD 'hunter2:\\'").await.unwrap();

    let url = format!("postgres://postgres@localhost:{port}/postgres");
    let password = |text: &str| Some(Secret::new(text.to_owned()).into());
    let unknown = refused(&Config { password: password(r"hunter2:\"), ..config(&url) }).await;
    assert!(unknown.contains("store.ca_file"), "{unknown}");
    let trusting = Config { ca_file: Some(folder.path().join("ca.pem")), ..config(&url) };
    let other_name = Some(url.replace("localhost", "127.0.0.1"));
    let error = refused(&Config { url: other_name, password: password(r"hunter2:\"), ..trusting.clone() }).await;
    assert!(error.contains("valid for the host"), "{error}");
    let error = refused(&Config { url: Some(format!("{url}?sslmode=disable")), ..trusting.clone() }).await;
    assert!(error.contains("pg_hba"), "{error}");
    let error = refused(&trusting).await;
    assert!(error.contains("store.password_file"), "{error}");
    let error = refused(&Config { password: password("hunter3"), ..trusting.clone() }).await;
    assert!(error.contains("store.password_file") && !error.contains("hunter"), "{error}");
    open(&Config { password: password(r"hunter2:\"), ..trusting.clone() }).await.unwrap().check(T).await.unwrap();

    let pass_file = folder.path().join("pgpass");
    fs::write(&pass_file, format!("# nodes\nlocalhost:{port}:postgres:postgres:hunter2\\:\\\\\n")).unwrap();
    fs::set_permissions(&pass_file, fs::Permissions::from_mode(0o600)).unwrap();
    let by_file = Config { pass_file: Some(pass_file.clone()), ..trusting };
    open(&by_file).await.unwrap().check(T).await.unwrap();
    fs::set_permissions(&pass_file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused(&by_file).await;
    assert!(error.contains("chmod 600"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn of_several_servers_the_one_that_answers_and_writes_is_used() {
    let (database, config) = database();
    drop(create(&config).await.unwrap());
    let folder = Server::shared().folder().display();
    let name = &database.name;
    let url = format!("postgres://postgres@/{name}?host=/nonexistent,{folder}");
    let several = self::config(&url);
    open(&several).await.unwrap().check(T).await.unwrap();
    database.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let error = refused(&several).await;
    Server::shared().sql("postgres", &format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    assert!(error.contains("no server runs there"), "{error}");
}
