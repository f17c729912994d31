//! The audit log in PostgreSQL: rights on its functions, and its head while somebody else holds it.

use std::{sync::Arc, time::Duration};

use countersign::{
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::InstallationId,
        session::Ended,
    },
    store::{self, Config, Store},
    telemetry::Metrics,
};
use tokio_postgres::Client;

use crate::{
    store::{T, at_min, keep, session, user},
    support::{
        domain::actor,
        postgres::{Database, Server},
    },
};

async fn create(database: &Database) -> (Arc<dyn Store>, Config) {
    let config = Config { url: Some(database.url()), ..Config::default() };
    (store::create(&config, InstallationId::new([7; 16]), Metrics::new()).await.unwrap(), config)
}

/// Connection of a role. It ends when it is dropped.
async fn client(database: &Database, role: &str) -> Client {
    let mut settings = tokio_postgres::Config::new();
    settings.host_path(Server::shared().folder()).user(role).dbname(&database.name);
    let (client, connection) = settings.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A role for reports, as a site could make one.
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_role_that_may_only_read_postgres_writes_no_leaf() {
    let database = Server::shared().database();
    let (store, _) = create(&database).await;
    assert!(store.opt_out(user(1), None, T, &actor()).await.unwrap());
    let head = store.audit_head().await.unwrap();
    let role = format!("reader_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA countersign TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA countersign TO {role}"
    ));
    let reader = client(&database, &role).await;
    let record = "ARRAY[',\"at\":1,\"actor\":\"bob\",\"action\":\"opted_in\",\"outcome\":\"done\",\"why\":\"\"}']";
    for call in [
        format!("append_leaves({record}, false)"),
        format!("record_acts({record}, false)"),
        format!("record_acts({record}, true)"),
        format!("begin_epoch({}, {}, ({record})[1])", head.size, head.epoch),
    ] {
        let refused = reader.batch_execute(&format!("SELECT countersign.{call}")).await.expect_err(&call);
        assert_eq!(refused.code().unwrap().code(), "42501", "{call}: {refused:?}");
    }
    assert_eq!(store.audit_head().await.unwrap(), head);
    drop(reader);
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The rights of the documents, less those on the tables that only the functions write.
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_role_of_the_service_acts_in_postgres_and_writes_no_leaf_itself() {
    let database = Server::shared().database();
    let (store, config) = create(&database).await;
    drop(store);
    let role = format!("service_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA countersign TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA countersign TO {role};
         REVOKE INSERT, UPDATE, DELETE ON countersign.audit_leaves, countersign.audit_waiting FROM {role}"
    ));
    let url = config.url.clone().map(|url| url.replace("postgres@", &format!("{role}@")));
    let store = store::open(&Config { url, ..config }, Metrics::new()).await.unwrap();
    assert!(store.opt_out(user(1), None, T, &actor()).await.unwrap());
    assert!(store.opt_in(user(1), None, T, &actor()).await.unwrap());
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.size, head.waiting), (2, 0));
    assert!(store.begin_epoch(head, new_epoch()).await.unwrap());
    drop(store);
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

fn new_epoch() -> AuditEvent {
    let (action, outcome) = (AuditAction::EpochBegun, AuditOutcome::Done);
    AuditEvent { at: T, actor: actor(), action, target: AuditTarget::default(), outcome, why: String::new() }
}

/// A node that stands still in the middle of an act holds the head, until the server notices that it is gone.
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_stop_in_postgres_takes_effect_while_another_node_holds_the_head() {
    let database = Server::shared().database();
    let (store, _) = create(&database).await;
    keep(&store, &session(1, T)).await;
    assert!(store.opt_out(user(9), None, T, &actor()).await.unwrap());
    let holder = client(&database, "postgres").await;
    holder.batch_execute("BEGIN; SELECT FROM countersign.audit_head FOR UPDATE").await.unwrap();
    assert!(store.end_session(session(1, T).id, Ended::Reused, at_min(1), &actor()).await.unwrap());
    assert_eq!(store.session(session(1, T).id).await.unwrap().unwrap().ended, Some(Ended::Reused));
    assert!(store.opt_out(user(2), None, T, &actor()).await.unwrap());
    store.opt_in(user(9), None, T, &actor()).await.unwrap_err();
    assert_eq!(store.audit_head().await.unwrap().waiting, 2);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(store.opt_in(user(9), None, T, &actor()).await.unwrap());
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.size, head.waiting), (4, 0));
}

/// A request whose client went away is dropped in the middle of what it does.
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn what_is_held_is_appended_to_postgres_once_where_a_caller_gives_up() {
    let database = Server::shared().database();
    let (store, _) = create(&database).await;
    database.sql(
        "CREATE FUNCTION countersign.refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'refused for a test'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON countersign.audit_leaves EXECUTE FUNCTION countersign.refuse();
         CREATE TRIGGER refuse BEFORE INSERT ON countersign.audit_waiting EXECUTE FUNCTION countersign.refuse()",
    );
    assert!(store.opt_out(user(1), None, T, &actor()).await.unwrap());
    assert_eq!(store.audit_head().await.unwrap().waiting, 1);
    database.sql("DROP TRIGGER refuse ON countersign.audit_leaves; DROP TRIGGER refuse ON countersign.audit_waiting");
    let holder = client(&database, "postgres").await;
    holder.batch_execute("BEGIN; SELECT FROM countersign.audit_head FOR UPDATE").await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(300), store.append_events(Vec::new())).await;
    assert!(given_up.is_err());
    // Another stop does not stand in line.
    assert!(store.opt_out(user(2), None, T, &actor()).await.unwrap());
    holder.batch_execute("ROLLBACK").await.unwrap();
    store.append_events(Vec::new()).await.unwrap();
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.size, head.waiting), (2, 0));
}
