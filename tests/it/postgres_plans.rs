//! Rows that PostgreSQL reads for a login, a refresh and a logout: only those that are meant, however many there are.

use std::{num::NonZeroU32, sync::Arc};

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{InstallationId, SessionId},
        login_record::{EndedLogin, LoginHash, LoginRecord, LogoutRecord},
        session::{Ended, Session},
    },
    store::{self, Config, Creation, End, EndsPosition, SignedOut, Store},
    telemetry::Metrics,
};

use crate::support::domain::actor;
use crate::{
    store::{MAX_SESSIONS, T, app, at_min, session, step, user},
    support::postgres::{Database, Server},
};

const EVER: UnixMillis = UnixMillis(i64::MAX);

/// Thousands of sessions of other users, and hundreds of user 1 that have ended, of one login. Their ids are of no time.
const FILL: &str = "
    INSERT INTO countersign.sessions (id, user_hash, app, counter, created, rotated, idle_expires, expires, ended,
        ended_at, provider_subject, provider_session, credential_issued)
    SELECT substr(sha256(int8send(n)), 1, 16), CASE n % 40 WHEN 0 THEN decode(repeat('01', 32), 'hex')
            ELSE sha256(int8send(n)) END,
        'web', 0, 1, 1, 9223372036854775807, 9223372036854775807, CASE n % 40 WHEN 0 THEN 'logout' END,
        CASE n % 40 WHEN 0 THEN 1 END, CASE n % 40 WHEN 0 THEN decode(repeat('aa', 16), 'hex') ELSE
            substr(sha256(int8send(n)), 1, 16) END, substr(sha256(int8send(n)), 1, 16), 1
    FROM generate_series(1, 20000) n;
    INSERT INTO countersign.opt_outs (user_hash, app, since)
    SELECT sha256(int8send(-n)), '', 1 FROM generate_series(1, 20000) n;
    INSERT INTO countersign.sign_outs (app, login, issued_until, remembered_until)
    SELECT 'web', substr(sha256(int8send(-n)), 1, 16), 1, 1 FROM generate_series(1, 20000) n;
    INSERT INTO countersign.user_ends (user_hash, app, ended_at)
    SELECT sha256(int8send(-n)), '', 1 FROM generate_series(1, 20000) n;
    ANALYZE;";

async fn open(database: &Database) -> Arc<dyn Store> {
    let max_sessions_per_user = NonZeroU32::new(MAX_SESSIONS).unwrap();
    let config = Config { url: Some(database.url()), max_sessions_per_user, ..Config::default() };
    match store::create(&config, InstallationId::new([7; 16]), Metrics::new()).await {
        Ok(store) => store,
        Err(_) => store::open(&config, Metrics::new()).await.unwrap(),
    }
}

/// Does work on a filled store. Returns the rows of sessions, opt-outs, sign-outs and ends that were read for it: by an
/// index, and without one.
async fn rows_read(work: impl AsyncFnOnce(&dyn Store)) -> [u64; 2] {
    let database = Server::shared().database();
    drop(open(&database).await);
    database.sql(FILL);
    let store = open(&database).await;
    // Each process counts for itself, and adds its counts to the server's at its end.
    let read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'countersign'
            AND relname IN ('sessions', 'opt_outs', 'sign_outs', 'user_ends', 'ends')
        UNION ALL SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'countersign'
            AND relname IN ('sessions', 'opt_outs', 'sign_outs', 'user_ends', 'ends')";
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    drop(store);
    while database.sql(others) != "0\n" {}
    database.sql("SELECT pg_stat_reset()");
    let store = open(&database).await;
    work(&*store).await;
    drop(store);
    while database.sql(others) != "0\n" {}
    let counts = database.sql(read);
    let mut counts = counts.lines().map(|count| count.parse().unwrap());
    [counts.next().unwrap(), counts.next().unwrap()]
}

fn login() -> LoginRecord {
    LoginRecord { subject: LoginHash([0xaa; 16]), session: LoginHash([0xbb; 16]), issued: T }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_login_reads_no_ended_row() {
    let logins = async |store: &dyn Store| {
        for n in 1..=MAX_SESSIONS + 1 {
            let begun = session(n.try_into().unwrap(), at_min(n.into()));
            let created = store.create_session_of_login(begun, login()).await.unwrap();
            assert_eq!(created, Creation::Created { evicted: u64::from(n > MAX_SESSIONS) });
        }
    };
    let [by_index, without] = rows_read(logins).await;
    assert!(by_index < 40 && without == 0, "{by_index} rows by an index, {without} without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_refresh_reads_its_row() {
    let refreshes = async |store: &dyn Store| {
        let begun = Session { user: user(7), ..session(7, T) };
        store.create_session(begun.clone()).await.unwrap();
        for from in 0..10 {
            assert!(store.session(begun.id).await.unwrap().is_some());
            assert!(store.advance_session(step(&begun, from, at_min(from))).await.unwrap());
        }
    };
    let [by_index, without] = rows_read(refreshes).await;
    // A read finds one entry, an advance two.
    assert!(by_index < 100 && without == 0, "{by_index} rows by an index, {without} without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_logout_searches_by_index() {
    let logouts = async |store: &dyn Store| {
        for n in 1..=2 {
            let begun = session(n, T);
            store.create_session_of_login(begun, login()).await.unwrap();
        }
        let ended = [login().subject, login().session].map(|login| EndedLogin { login, issued_until: EVER });
        let logout = LogoutRecord { id: LoginHash([1; 16]), ended: ended.to_vec(), remembered_until: EVER };
        assert_eq!(store.sign_out(&app("web"), logout, T, &actor()).await.unwrap(), SignedOut::Now { ended: 2 });
        let one = Session { user: user(8), ..session(8, T) };
        store.create_session(one.clone()).await.unwrap();
        assert!(store.end_session(one.id, Ended::Logout, T, &actor()).await.unwrap());
        assert_eq!(store.end_sessions_of_user(user(1), None, T, &actor()).await.unwrap(), 0);
    };
    let [by_index, without] = rows_read(logouts).await;
    assert!(by_index < 60 && without == 0, "{by_index} rows by an index, {without} without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_look_reads_what_is_new() {
    let looks = async |store: &dyn Store| {
        // The filling wrote 60,500 ends.
        let mut from = store.ends_since(EndsPosition::default(), u64::MAX, 1).await.unwrap().horizon;
        for n in 1..=5 {
            let begun = Session { user: user(7), ..session(n, T) };
            store.create_session(begun.clone()).await.unwrap();
            assert!(store.end_session(begun.id, Ended::Logout, T, &actor()).await.unwrap());
            let page = store.ends_since(from, 0, 1000).await.unwrap();
            // Tests beside this one may keep the horizon back for a moment.
            let newest = page.ends.last().map(|(_, end)| end);
            assert!(page.complete && matches!(newest, Some(End::Session { id, .. }) if *id == begun.id), "{page:?}");
            from = page.horizon;
        }
        let first = store.ends_since(EndsPosition::default(), 0, 10).await.unwrap();
        let (last, _) = first.ends.last().unwrap();
        assert_eq!(store.ends_since(EndsPosition::default(), *last, 10).await.unwrap().ends.len(), 10);
    };
    let [by_index, without] = rows_read(looks).await;
    assert!(by_index < 100 && without == 0, "{by_index} rows by an index, {without} without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_node_that_begins_reads_sessions_that_ended() {
    let reads = async |store: &dyn Store| {
        let ended = store.ended_sessions(SessionId([0; 16]), T, 1000).await.unwrap();
        assert_eq!(ended.len(), 500);
    };
    let [by_index, without] = rows_read(reads).await;
    assert!(by_index < 600 && without == 0, "{by_index} rows by an index, {without} without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn an_adoption_searches_by_index() {
    let adoptions = async |store: &dyn Store| {
        for n in 1..=5 {
            let born = Session { user: user(6), ..session(n, T) };
            store.adopt_session(born.clone(), Some(login()), &actor()).await.unwrap();
            assert!(store.session(born.id).await.unwrap().is_some());
        }
    };
    let [by_index, without] = rows_read(adoptions).await;
    assert!(by_index < 100 && without == 0, "{by_index} rows by an index, {without} without");
}
