//! Versions: of the server, and of the store's tables beside those that a program knows.

use std::{os::unix::net::UnixListener as Bound, path::Path};

use countersign::{
    app::Layout,
    domain::{audit::AuditAction, ids::InstallationId, session::Ended},
    store::{self, Config, End, EndsPosition},
    telemetry::Metrics,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::support::domain::actor;
use crate::{
    store::{T, at_min, session, user},
    support::{cluster::Cluster, postgres::Server, service::run},
};

/// A server's socket that passes everything on, but gives itself out as version 12.
struct OldServer(tempfile::TempDir);

impl OldServer {
    fn before(server: &Server) -> Self {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir_in("/tmp").unwrap();
        let listener = Bound::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = UnixListener::from_std(listener).unwrap();
        let (number, name) = (shown(server, "server_version_num"), shown(server, "server_version"));
        let old_number = format!("12{}", "0".repeat(number.len() - 2));
        let old_name = format!("12{}", &name[2..]);
        let binary = |number: &str| number.parse::<i32>().unwrap().to_be_bytes().to_vec();
        let changes = [
            (binary(&number), binary(&old_number)),
            (number.into_bytes(), old_number.into_bytes()),
            (name.into_bytes(), old_name.into_bytes()),
        ];
        let real = server.folder().join(".s.PGSQL.5432");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, UnixStream::connect(&real).await.unwrap(), changes.clone()));
            }
        });
        Self(folder)
    }

    fn url(&self, database: &str) -> String {
        let host = self.0.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://postgres@{host}/{database}")
    }
}

fn shown(server: &Server, setting: &str) -> String {
    server.sql("postgres", &format!("SHOW {setting}")).trim().to_owned()
}

/// Passes on what both say; in what the server says, each of these is changed to another of its length.
async fn pass_on(client: UnixStream, server: UnixStream, changes: [(Vec<u8>, Vec<u8>); 3]) {
    let ((mut asks, mut hears), (mut answers, mut told)) = (client.into_split(), server.into_split());
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut asks, &mut told).await;
        let _ = told.shutdown().await;
    });
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = answers.read(&mut buffer).await {
        let said = &mut buffer[..length];
        for (from, to) in &changes {
            for at in 0..(length + 1).saturating_sub(from.len()) {
                if said[at..].starts_with(from) {
                    said[at..at + to.len()].copy_from_slice(to);
                }
            }
        }
        if hears.write_all(said).await.is_err() {
            return;
        }
    }
}

fn configured(folder: &Path, url: &str) {
    Layout::of(folder).create(&format!("[store]\nurl = \"{url}\"\n[apps.web]\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_server_that_is_too_old_is_named() {
    let server = Server::shared();
    let database = server.database();
    let old = OldServer::before(server);
    let folder = tempfile::tempdir().unwrap();
    configured(folder.path(), &old.url(&database.name));
    for command in [&["db", "create"][..], &["doctor"], &["keys", "list"]] {
        let (code, out, err) = tokio::task::block_in_place(|| run(command, folder.path()));
        assert_ne!(code, 0, "{command:?}: {out}");
        let said = format!("{out}{err}");
        assert!(said.contains("12") && said.contains("13"), "{command:?}: {said}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'countersign'"), "0\n");
}

/// A later version of the program has added to the tables what this one need not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn the_version_before_goes_on_beside_the_new_one() {
    let database = Server::shared().database();
    let cluster = Cluster::on(&database.url(), "").await;
    let before = cluster.node();
    let token = cluster.session(&before, "u-1").await;
    database.sql(
        "ALTER TABLE countersign.sessions ADD COLUMN later TEXT;
         UPDATE countersign.meta SET value = value::INT + 1 WHERE name = 'schema'",
    );
    let again = cluster.node();
    let token = before.refresh(&token).await.unwrap().ok().text("refresh_token");
    again.refresh(&token).await.unwrap().ok();

    database.sql("UPDATE countersign.meta SET value = 1000 WHERE name = 'readable_from'");
    let (code, out, err) = tokio::task::block_in_place(|| run(&["keys", "list"], cluster.folder.path()));
    assert_ne!(code, 0, "{out}");
    assert!(err.contains("run a newer countersign"), "{err}");
}

/// Takes away all that schema 3 and later ones added.
const TO_SCHEMA_2: &str = "
    DO $$ DECLARE later record; BEGIN
        FOR later IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'countersign' AND tablename NOT IN
            ('sessions', 'opt_outs', 'app_ends', 'sign_outs', 'logout_tokens', 'keys', 'key_lives', 'publications',
             'rotations', 'nodes', 'leases', 'api_keys', 'api_key_uses', 'audit_log', 'meta', 'sealed_keys')
        LOOP EXECUTE format('DROP TABLE countersign.%I CASCADE', later.name); END LOOP;
        FOR later IN SELECT p.oid::regprocedure AS name FROM pg_proc p
            WHERE pronamespace = 'countersign'::regnamespace AND proname <> 'audit_log_is_append_only'
        LOOP EXECUTE format('DROP FUNCTION %s CASCADE', later.name); END LOOP;
    END $$;
    DROP INDEX countersign.sessions_ended;
    UPDATE countersign.meta SET value = '2' WHERE name = 'schema'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_store_of_schema_2_gets_the_log_of_ends() {
    let database = Server::shared().database();
    let config = Config { url: Some(database.url()), ..Config::default() };
    let store = store::create(&config, InstallationId::new([7; 16]), Metrics::new()).await.unwrap();
    let [before, after] = [session(1, T), session(2, at_min(1))];
    for begun in [&before, &after] {
        store.create_session(begun.clone()).await.unwrap();
    }
    assert!(store.end_session(before.id, Ended::Logout, at_min(2), &actor()).await.unwrap());
    drop(store);
    let count = "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE nspname = 'countersign'";
    let all = database.sql(count);
    database.sql(TO_SCHEMA_2);
    database.sql(
        "INSERT INTO countersign.audit_log (at, ring, kid, app, action, actor, why) VALUES
            (1, 'main', NULL, 'web', 'begun', 'an \"operator\"', E'line\\nline \\x1f'), (2, 'main', NULL, NULL, 'aborted', 'x', '')",
    );
    // The index may have been made beforehand, while nodes went on.
    database.sql(
        "CREATE INDEX CONCURRENTLY sessions_ended ON countersign.sessions (id) INCLUDE (expires) WHERE ended IS NOT NULL",
    );

    let store = store::open(&config, Metrics::new()).await.unwrap();
    let schema = store.schema().await.unwrap();
    assert_eq!((schema.found, database.sql(count)), (schema.known, all));
    let leaves = crate::store::audit::leaves(&store).await;
    let told: Vec<_> =
        leaves.iter().map(|leaf| (leaf.event.action, &*leaf.event.actor.name, &*leaf.event.why)).collect();
    assert_eq!(told, [(AuditAction::Begun, "an \"operator\"", "line\nline \u{1f}"), (AuditAction::Aborted, "x", "")]);
    let first = session(0, T.minus(std::time::Duration::from_hours(1))).id;
    assert_eq!(store.ended_sessions(first, T, 10).await.unwrap(), [(before.id, before.expires)]);
    assert_eq!(store.ends_since(EndsPosition::default(), 0, 10).await.unwrap().ends, []);
    assert_eq!(store.end_sessions_of_user(user(1), None, at_min(3), &actor()).await.unwrap(), 1);
    let page = store.ends_since(EndsPosition::default(), 0, 10).await.unwrap();
    let mut ends: Vec<End> = page.ends.into_iter().map(|(_, end)| end).collect();
    ends.sort_by_key(|end| matches!(end, End::User { .. }));
    let expected = [
        End::Session { id: after.id, why: Ended::Revoked, expires: after.expires },
        End::User { user: user(1), app: None, at: at_min(3) },
    ];
    assert_eq!(ends, expected);
}
