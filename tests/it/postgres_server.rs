//! The PostgreSQL server that the other tests start.

use crate::support::postgres::{Pooler, Server};

#[test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
fn a_crashed_server_has_what_was_committed() {
    let server = Server::start();
    server.sql("postgres", "CREATE TABLE kept AS SELECT 7 AS n");
    server.crash();
    server.resume();
    assert_eq!(server.sql("postgres", "SELECT n FROM kept"), "7\n");
}

#[test]
#[ignore = "needs PostgreSQL: tests/run.sh postgres"]
fn a_database_is_empty_and_is_reached_both_ways() {
    let server = Server::shared();
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname = 'countersign'";
    for _ in 0..2 {
        let database = server.database();
        assert_eq!(database.sql(count), "0\n");
        database.sql("CREATE SCHEMA countersign; CREATE TABLE countersign.left (n INT)");
        assert_eq!(database.dump_and_restore().sql(count), "1\n");
    }
    assert!(Pooler::shared().url("x").contains(":6432/x"));
}
