//! Faults of PostgreSQL: those that are an outage, in which requests are answered without the store, and the others.

use std::{sync::Arc, time::Duration};

use countersign::{
    domain::ids::InstallationId,
    store::{self, Advance, Config, Store, StoreError},
    telemetry::Metrics,
};

use crate::support::domain::actor;
use crate::{
    store::{T, at_min, keep, session, step, user},
    support::postgres::{Database, Pooler, Server},
};

async fn create(config: Config) -> Arc<dyn Store> {
    store::create(&config, InstallationId::new([7; 16]), Metrics::new()).await.unwrap()
}

async fn created(database: &Database) -> Arc<dyn Store> {
    create(Config { url: Some(database.url()), ..Config::default() }).await
}

/// What a read, a login, a refresh, a logout and a check fail with, each on its own way to the database.
async fn failures(store: &Arc<dyn Store>) -> Vec<StoreError> {
    let known = session(1, T);
    let advance: Advance = step(&known, 0, at_min(1));
    [
        store.session(known.id).await.err(),
        store.generation().await.err(),
        store.create_session(session(2, T)).await.err(),
        store.advance_session(advance).await.err(),
        store.end_sessions_of_user(user(9), None, T, &actor()).await.err(),
        store.check(T).await.err(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[track_caller]
fn assert_all(failures: &[StoreError], count: usize, outages: bool) {
    let shown: Vec<String> = failures.iter().map(|why| format!("{why:?}")).collect();
    assert_eq!(failures.len(), count, "{shown:#?}");
    assert!(failures.iter().all(|why| why.is_outage() == outages), "{shown:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_postgres_server_that_is_gone_is_an_outage() {
    let server: &'static Server = Box::leak(Box::new(Server::start()));
    let database = server.database();
    let (direct, pgbouncer) = (created(&database).await, Pooler::start(server));
    let timeout = Duration::from_secs(2);
    let config = Config { url: Some(pgbouncer.url(&database.name)), timeout, ..Config::default() };
    let pooled = store::open(&config, Metrics::new()).await.unwrap();
    keep(&direct, &session(1, T)).await;
    server.crash();
    assert_all(&failures(&direct).await, 6, true);
    assert_all(&failures(&pooled).await, 6, true);
    server.resume();
    assert_all(&failures(&direct).await, 0, true);
    server.crash();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_postgres_that_takes_no_writes_is_an_outage_for_writes() {
    let database = Server::shared().database();
    drop(created(&database).await);
    let name = &database.name;
    database.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let config = Config { url: Some(database.url()), ..Config::default() };
    let store = store::open(&config, Metrics::new()).await.unwrap();
    let failed = failures(&store).await;
    database.sql(&format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"));
    assert_all(&failed, 2, true);
    assert!(failed[0].to_string().contains("read-only"), "{}", failed[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_postgres_without_a_free_connection_is_an_outage() {
    let database = Server::shared().database();
    drop(created(&database).await);
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while database.sql(others) != "0\n" {}
    let (name, role) = (&database.name, format!("one_{}", database.name));
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA countersign TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA countersign TO {role}; ALTER DATABASE {name} CONNECTION LIMIT 1"
    ));
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let config = Config { url: Some(url), connections: 1.try_into().unwrap(), ..Config::default() };
    // The server may count the connection by which the limit was set for a moment longer.
    let first = loop {
        if let Ok(store) = store::open(&config, Metrics::new()).await {
            break store;
        }
    };
    let second = store::open(&config, Metrics::new()).await.err().unwrap();
    drop(first);
    while database.sql(others) != "0\n" {}
    database.sql(&format!("ALTER DATABASE {name} CONNECTION LIMIT -1; DROP OWNED BY {role}; DROP ROLE {role}"));
    assert_all(&[second], 1, true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_postgres_that_refuses_this_program_is_no_outage() {
    let database = Server::shared().database();
    let store = created(&database).await;
    keep(&store, &session(1, T)).await;
    database.sql("ALTER TABLE countersign.sessions RENAME TO away");
    assert_all(&failures(&store).await, 4, false);
    database.sql("ALTER TABLE countersign.away RENAME TO sessions; UPDATE countersign.sessions SET app = 'A B'");
    assert!(!store.session(session(1, T).id).await.unwrap_err().is_outage(), "a damaged row");

    let role = format!("refused_{}", database.name);
    database.sql(&format!("CREATE ROLE {role} LOGIN"));
    let as_role = database.url().replace("postgres@", &format!("{role}@"));
    let nobody = database.url().replace("postgres@", "nobody_of_this_name@");
    let nowhere = database.url().replace(&database.name, "nowhere");
    let urls = [as_role, nobody, nowhere, Pooler::shared().url("nowhere")];
    for url in urls {
        let config = Config { url: Some(url), ..Config::default() };
        let why = store::open(&config, Metrics::new()).await.err().unwrap();
        assert!(!why.is_outage(), "{why:?}");
    }
    database.sql(&format!("DROP ROLE {role}"));
}
