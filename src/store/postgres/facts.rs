//! Facts about the database for `countersign doctor`.

use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::PostgresStore;
use crate::store::{Fact, StoreError, Weight};

/// Number of round trips that are measured.
const ROUND_TRIPS: usize = 9;

/// Greatest usual time of a round trip. A refresh takes two.
const NEAR: Duration = Duration::from_millis(5);

/// One row of all that the server says of itself.
const SELF_DESCRIPTION: &str = "SELECT current_setting('server_version'), current_setting('synchronous_commit'), \
    current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on', current_setting('autovacuum') = 'on', \
    current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint, \
    (SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL), inet_server_port(), pg_is_in_recovery(), \
    current_setting('server_encoding')";

impl PostgresStore {
    /// Returns the facts, for this many nodes that have reported lately.
    pub(super) async fn database_facts(&self, nodes: u64) -> Result<Vec<Fact>, StoreError> {
        let rows = self.database.read(SELF_DESCRIPTION, &[]).await?;
        let Some(row) = rows.first() else { return Ok(Vec::new()) };
        let mut facts =
            vec![server(row), self.encryption(), durability(row), upkeep(row), self.connections(row, nodes)];
        facts.extend(encoding(row));
        facts.extend(self.pool(row));
        facts.push(self.latency().await?);
        Ok(facts)
    }

    fn encryption(&self) -> Fact {
        let target = &self.target;
        if target.is_encrypted() {
            return Fact::new("encryption", Weight::Good, "TLS, with the server's certificate verified");
        }
        if target.is_local() {
            return Fact::new("encryption", Weight::Good, "none, and none is needed on this machine");
        }
        let text = "none: whoever is on the way to the database reads and changes what the store holds. Remove sslmode \
                    from store.url, and name the authority of the server's certificate as store.ca_file";
        Fact::new("encryption", Weight::Doubtful, text)
    }

    fn connections(&self, row: &Row, nodes: u64) -> Fact {
        let (most, used): (i64, i64) = (row.get(4), row.get(5));
        let nodes = i64::try_from(nodes.max(1)).unwrap_or(i64::MAX);
        let needed = nodes.saturating_mul(i64::from(self.connections));
        let text = format!(
            "{used} of {most} are used; {nodes} nodes with store.connections = {} need up to {needed}",
            self.connections
        );
        if needed <= most {
            return Fact::new("connections", Weight::Good, text);
        }
        let remedy = "lower store.connections, raise max_connections, or put pgbouncer in front";
        Fact::new("connections", Weight::Doubtful, format!("{text}: {remedy}"))
    }

    /// Returns what stands between, where the server does not listen at the port that the URL names.
    fn pool(&self, row: &Row) -> Option<Fact> {
        let listens: i32 = row.get::<_, Option<i32>>(6)?;
        let named = self.target.ports().iter().all(|port| i32::from(*port) != listens);
        named.then(|| {
            let text =
                format!("the server listens at port {listens}, which store.url does not name: a pool or a proxy");
            if self.prepared {
                let remedy = "set store.prepared = false, unless it keeps a connection for each client";
                return Fact::new("pool", Weight::Doubtful, format!("{text}; {remedy}"));
            }
            Fact::new("pool", Weight::Good, text)
        })
    }

    async fn latency(&self) -> Result<Fact, StoreError> {
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let begun = Instant::now();
            self.database.read("SELECT 1", &[]).await?;
            times.push(begun.elapsed());
        }
        times.sort();
        let median = times[ROUND_TRIPS / 2];
        let text = format!("{:.1} ms a round trip", median.as_secs_f64() * 1000.0);
        if median <= NEAR {
            return Ok(Fact::new("latency", Weight::Good, text));
        }
        let remedy = "a refresh waits for two: run nodes near the database";
        Ok(Fact::new("latency", Weight::Doubtful, format!("{text}; {remedy}")))
    }
}

fn server(row: &Row) -> Fact {
    let version: String = row.get(0);
    if row.get(7) {
        let text = format!(
            "PostgreSQL {version}, a standby that takes no writes: add target_session_attrs=read-write to store.url, with \
             every host of the cluster"
        );
        return Fact::new("database", Weight::Bad, text);
    }
    Fact::new("database", Weight::Good, format!("PostgreSQL {version}"))
}

fn durability(row: &Row) -> Fact {
    let (commit, safe): (String, bool) = (row.get(1), row.get(2));
    if !safe {
        let text = "fsync or full_page_writes is off: a crash of the machine destroys the database. Turn both on";
        return Fact::new("durability", Weight::Bad, text);
    }
    match commit.as_str() {
        "off" => {
            let text = "synchronous_commit is off: a crash loses answers that apps have had, so that users are logged out. \
                        Set it to on";
            Fact::new("durability", Weight::Bad, text)
        }
        "local" | "remote_write" => {
            let text = format!(
                "synchronous_commit is {commit}: with a synchronous standby, a fail-over may lose the last writes. Set it to on"
            );
            Fact::new("durability", Weight::Doubtful, text)
        }
        _ => Fact::new("durability", Weight::Good, format!("synchronous_commit is {commit}")),
    }
}

fn upkeep(row: &Row) -> Fact {
    if row.get(3) {
        return Fact::new("autovacuum", Weight::Good, "on");
    }
    let text = "off: tables grow with every refresh, and become slow. Turn it on";
    Fact::new("autovacuum", Weight::Bad, text)
}

fn encoding(row: &Row) -> Option<Fact> {
    let encoding: String = row.get(8);
    let text = format!("{encoding}: make the database with `createdb --encoding=UTF8 --template=template0`");
    (encoding != "UTF8").then(|| Fact::new("encoding", Weight::Doubtful, text))
}
