//! The log of ends in PostgreSQL, where transactions commit in another order than they begin.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use countersign::{
    domain::{ids::InstallationId, login_record::LoginRecord, session::Ended},
    store::{self, Config, End, EndsPage, EndsPosition, Follower, Store},
    telemetry::Metrics,
};
use tokio_postgres::Client;

use crate::support::domain::actor;
use crate::{
    store::{MAX_SESSIONS, T, at_min, keep, session, user},
    support::postgres::{Database, Pooler, Server},
};

/// Opens the store of a database, which it makes at first: directly, or through pgbouncer.
async fn open(database: &Database, pooled: bool) -> Arc<dyn Store> {
    let max_sessions_per_user = NonZeroU32::new(MAX_SESSIONS).unwrap();
    let url = if pooled { Pooler::shared().url(&database.name) } else { database.url() };
    let config = Config { url: Some(url), max_sessions_per_user, ..Config::default() };
    match store::create(&config, InstallationId::new([7; 16]), Metrics::new()).await {
        Ok(store) => store,
        Err(_) => store::open(&config, Metrics::new()).await.unwrap(),
    }
}

/// Connection of nobody's store. It ends when it is dropped.
async fn client(database: &Database) -> Client {
    let mut settings = tokio_postgres::Config::new();
    settings.host_path(Server::shared().folder()).user("postgres").dbname(&database.name);
    let (client, connection) = settings.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// All pages of a look.
async fn look(store: &Arc<dyn Store>, from: EndsPosition) -> EndsPage {
    let mut look = store.ends_since(from, 0, 2).await.unwrap();
    while !look.complete {
        let (last, _) = look.ends.last().unwrap();
        let next = store.ends_since(from, *last, 2).await.unwrap();
        assert!(next.ends.iter().all(|(number, _)| number > last), "{next:?}");
        look.complete = next.complete;
        look.ends.extend(next.ends);
    }
    look
}

/// A look that passes by all that is committed: others on this server, such as its own upkeep, may keep it back for a
/// moment.
async fn settled(store: &Arc<dyn Store>, from: EndsPosition) -> EndsPage {
    let asked = store.ends_position().await.unwrap();
    loop {
        let looked = look(store, from).await;
        if looked.horizon >= asked {
            return looked;
        }
    }
}

/// The sessions, by the byte that fills their ids, that ended in these.
fn sessions(ends: &[(u64, End)]) -> Vec<u8> {
    let number = |(_, end): &(u64, End)| match end {
        End::Session { id, .. } => Some(id.0[15]),
        _ => None,
    };
    ends.iter().filter_map(number).collect()
}

/// Begins to end a session, and leaves the transaction open.
async fn held_open(client: &Client, n: u8) {
    let id = hex::encode(session(n, T).id.0);
    let sql = format!("BEGIN; UPDATE countersign.sessions SET ended = 'logout', ended_at = 1 WHERE id = '\\x{id}'");
    client.batch_execute(&sql).await.unwrap();
}

async fn begin(store: &Arc<dyn Store>, numbers: impl IntoIterator<Item = u8>) {
    for n in numbers {
        keep(store, &countersign::domain::session::Session { user: user(n), ..session(n, T) }).await;
    }
}

async fn end(store: &Arc<dyn Store>, n: u8) {
    assert!(store.end_session(session(n, T).id, Ended::Logout, at_min(1), &actor()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_postgres_transaction_held_open_across_three_looks_is_seen() {
    for pooled in [false, true] {
        let database = Server::shared().database();
        let (store, client) = (open(&database, pooled).await, client(&database).await);
        begin(&store, 1..=9).await;
        let mut from = look(&store, EndsPosition::default()).await.horizon;
        held_open(&client, 9).await;
        let (mut seen, mut horizons) = (Vec::new(), Vec::new());
        for n in 1..=6 {
            end(&store, n).await;
            if n % 2 == 0 {
                let looked = look(&store, from).await;
                from = looked.horizon;
                horizons.push(from);
                seen.push(sessions(&looked.ends));
            }
        }
        assert_eq!(seen, [vec![1, 2], vec![1, 2, 3, 4], vec![1, 2, 3, 4, 5, 6]], "what is not settled comes again");
        assert!(horizons.windows(2).all(|two| two[0] == two[1]), "{horizons:?}");
        let asked = store.ends_position().await.unwrap();
        assert!(from < asked, "this node has not followed past an end that is open");
        // Its number is the lowest of all.
        client.batch_execute("COMMIT").await.unwrap();
        let looked = settled(&store, from).await;
        assert_eq!(sessions(&looked.ends), [9, 1, 2, 3, 4, 5, 6], "pooled: {pooled}");
        assert!(looked.horizon >= asked);
        assert_eq!(sessions(&look(&store, looked.horizon).await.ends), [0; 0]);
    }
}

/// What a node would do that follows by the last number: it never sees what committed late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_postgres_cursor_by_number_would_lose_a_late_commit() {
    let database = Server::shared().database();
    let (store, client) = (open(&database, false).await, client(&database).await);
    begin(&store, 1..=2).await;
    held_open(&client, 2).await;
    end(&store, 1).await;
    let looked = look(&store, EndsPosition::default()).await;
    let (last, _) = looked.ends.last().unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let by_number = store.ends_since(EndsPosition::default(), *last, 100).await.unwrap();
    assert_eq!(sessions(&by_number.ends), [0; 0], "lost");
    assert_eq!(sessions(&look(&store, looked.horizon).await.ends), [2, 1], "seen");
}

/// A server that was restored has had fewer transactions, one that was promoted has another timeline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_position_of_another_postgres_server_reads_the_whole_log() {
    const TIMELINE: u64 = 1 << 48;
    let database = Server::shared().database();
    let store = open(&database, false).await;
    begin(&store, 1..=3).await;
    for n in 1..=3 {
        end(&store, n).await;
    }
    let here = settled(&store, EndsPosition::default()).await;
    assert_eq!(sessions(&here.ends), [1, 2, 3]);
    assert_eq!(sessions(&look(&store, here.horizon).await.ends), [0; 0]);
    let promoted = EndsPosition(here.horizon.0 + TIMELINE);
    let looked = look(&store, promoted).await;
    assert!(looked.horizon < promoted && sessions(&looked.ends) == [1, 2, 3], "{looked:?}");
    let ahead = EndsPosition(here.horizon.0 + 1_000_000);
    let back = look(&store, ahead).await;
    assert!(back.horizon < ahead, "the caller sees that it went back");

    let follower = |position| Follower { node: "a".to_owned(), position, looked: T, serves_until: Some(at_min(60)) };
    for (reported, known) in [(here.horizon, here.horizon), (promoted, EndsPosition(0)), (ahead, EndsPosition(0))] {
        store.report_followed(follower(reported)).await.unwrap();
        assert_eq!(store.followers(at_min(0).minus(Duration::from_secs(1))).await.unwrap(), [follower(known)]);
    }
}

/// A promotion begins a timeline of its own, in which numbers of transactions that were lost are used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn a_look_at_a_postgres_standby_does_not_count_and_its_promotion_reads_the_whole_log() {
    let server: &'static Server = Box::leak(Box::new(Server::start()));
    let database = server.database();
    let store = open(&database, false).await;
    begin(&store, 1..=2).await;
    end(&store, 1).await;
    let before = settled(&store, EndsPosition::default()).await;
    server.crash();
    std::fs::write(server.folder().join("data/standby.signal"), "").unwrap();
    server.resume();
    assert!(store.session(session(1, T).id).await.unwrap().is_some(), "reads are answered");
    let on_standby = store.ends_since(before.horizon, 0, 10).await.unwrap_err();
    assert!(on_standby.is_outage() && on_standby.to_string().contains("standby"), "{on_standby}");
    for refused in [
        store.end_session(session(2, T).id, Ended::Logout, T, &actor()).await.err(),
        store.end_sessions_of_user(user(2), None, T, &actor()).await.err(),
        store.create_session(session(3, T)).await.err(),
    ] {
        let why = refused.unwrap();
        assert!(why.is_outage(), "{why:?}");
    }
    database.sql("SELECT pg_promote()");
    end(&store, 2).await;
    let after = settled(&store, before.horizon).await;
    assert_eq!(sessions(&after.ends), [1, 2]);
    assert!(after.horizon > before.horizon);
    assert_eq!(sessions(&look(&store, after.horizon).await.ends), [0; 0]);
    server.crash();
}

/// Rows of a backup that another server made have numbers of transactions that this one has not reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn rows_of_another_postgres_server_do_not_come_for_ever() {
    let database = Server::shared().database();
    let store = open(&database, false).await;
    begin(&store, 1..=2).await;
    end(&store, 1).await;
    database.sql("UPDATE countersign.ends SET xid = '99999999999'");
    let first = settled(&store, EndsPosition::default()).await.horizon;
    end(&store, 2).await;
    let again = settled(&store, first).await;
    assert_eq!(sessions(&again.ends), [1, 2]);
    assert_eq!(sessions(&look(&store, again.horizon).await.ends), [1]);
    store.purge(T, 100).await.unwrap();
    let once_more = settled(&store, again.horizon).await;
    assert_eq!(sessions(&once_more.ends), [1]);
    assert_eq!(sessions(&look(&store, once_more.horizon).await.ends), [0; 0]);
}

/// Waits until this many statements wait for a lock in the database.
fn wait_for_waiting(database: &Database, count: u8) {
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    while database.sql(waiting).trim() != count.to_string() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn whichever_comes_first_in_postgres_a_user_end_covers_an_adoption() {
    for adopts_first in [true, false] {
        let database = Server::shared().database();
        let (store, other, client) =
            (open(&database, false).await, open(&database, false).await, client(&database).await);
        // Somebody logs in: the user is locked.
        client.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(x'0101010101010101'::bigint)").await.unwrap();
        let born = session(1, T);
        let adopting = |store: Arc<dyn Store>| {
            let born = born.clone();
            tokio::spawn(async move { store.adopt_session(born, None::<LoginRecord>, &actor()).await.map(|()| 0) })
        };
        let ending = |store: Arc<dyn Store>| {
            tokio::spawn(async move { store.end_sessions_of_user(user(1), None, at_min(1), &actor()).await })
        };
        let first = if adopts_first { adopting(store.clone()) } else { ending(store.clone()) };
        wait_for_waiting(&database, 1);
        let second = if adopts_first { ending(other.clone()) } else { adopting(other.clone()) };
        wait_for_waiting(&database, 2);
        client.batch_execute("COMMIT").await.unwrap();
        first.await.unwrap().unwrap();
        let ended = second.await.unwrap().unwrap();
        assert_eq!(ended, u64::from(adopts_first), "an adoption that was first is among those that ended");
        assert_eq!(store.session(born.id).await.unwrap().unwrap().ended, Some(Ended::Revoked));
        let looked = look(&store, EndsPosition::default()).await;
        assert_eq!(sessions(&looked.ends), [1], "{looked:?}");
    }
}

/// A role that may write sessions, opt-outs and ends of apps, and knows of no other table: a program of the version before
/// needs no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
async fn whoever_ends_a_session_in_postgres_writes_the_log() {
    let database = Server::shared().database();
    let (store, client) = (open(&database, false).await, client(&database).await);
    begin(&store, [1]).await;
    let role = format!("before_{}", database.name);
    let sql = format!(
        "CREATE ROLE {role};
         GRANT USAGE ON SCHEMA countersign TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON countersign.sessions, countersign.opt_outs, countersign.app_ends,
             countersign.sign_outs TO {role};
         CREATE SCHEMA lies; CREATE TABLE lies.ends (n INT); GRANT USAGE ON SCHEMA lies TO {role};
         SET ROLE {role};
         SET search_path = lies, countersign;
         UPDATE countersign.sessions SET ended = 'logout', ended_at = 5 WHERE ended IS NULL;
         INSERT INTO countersign.opt_outs VALUES ('\\x{user}', 'web', 1);
         DELETE FROM countersign.opt_outs;
         INSERT INTO countersign.app_ends VALUES ('', 7);
         INSERT INTO countersign.sign_outs VALUES ('web', '\\x{login}', 8, 9);
         RESET ROLE; DROP SCHEMA lies CASCADE; DROP OWNED BY {role}; DROP ROLE {role}",
        user = "02".repeat(32),
        login = "03".repeat(16),
    );
    client.batch_execute(&sql).await.unwrap();
    let looked = look(&store, EndsPosition::default()).await;
    let ends: Vec<&End> = looked.ends.iter().map(|(_, end)| end).collect();
    assert!(
        matches!(
            ends[..],
            [
                End::Session { why: Ended::Logout, .. },
                End::OptOut { app: Some(_), .. },
                End::OptIn { app: Some(_), .. },
                End::App { app: None, .. },
                End::Login { .. }
            ]
        ),
        "{ends:?}"
    );
    assert_eq!(store.ended_sessions(session(0, T.minus(Duration::from_hours(1))).id, T, 10).await.unwrap().len(), 1);
}
