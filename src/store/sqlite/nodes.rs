//! Reports of nodes, and leases.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, rows};
use crate::{
    clock::UnixMillis,
    domain::{ids::Kid, rotation::NodeReport},
    store::{Nodes, StoreError, loaded_keys, retention::REPORTS},
};

#[async_trait]
impl Nodes for SqliteStore {
    async fn report(&self, report: NodeReport, signing: Vec<(Kid, UnixMillis)>) -> Result<(), StoreError> {
        self.write(move |c| record_report(c, &report, &signing)).await
    }

    async fn nodes(&self, since: UnixMillis) -> Result<Vec<NodeReport>, StoreError> {
        self.read(|c| {
            let sql = "SELECT node, seen, loaded, loaded_from FROM nodes WHERE seen > ?1 ORDER BY node";
            c.prepare_cached(sql)?.query_map([since.0], report_of)?.collect()
        })
    }

    async fn forget_node(&self, node: &str) -> Result<(), StoreError> {
        let node = node.to_owned();
        self.write(move |c| {
            c.execute("DELETE FROM nodes WHERE node = ?1", [&node])?;
            c.execute("DELETE FROM followers WHERE node = ?1", [&node]).map(drop)
        })
        .await
    }

    async fn lease(&self, name: &str, holder: &str, now: UnixMillis, ttl: Duration) -> Result<bool, StoreError> {
        let (name, holder, until) = (name.to_owned(), holder.to_owned(), now.plus(ttl));
        let sql = "INSERT INTO leases (name, holder, until) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET \
                   holder = excluded.holder, until = excluded.until WHERE holder = excluded.holder OR until <= ?4";
        self.write(move |c| Ok(c.prepare_cached(sql)?.execute(params![name, holder, until.0, now.0])? == 1)).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let sql = "DELETE FROM leases WHERE name = ?1 AND holder = ?2";
        self.write(move |c| c.execute(sql, [&name, &holder]).map(drop)).await
    }
}

fn record_report(c: &Connection, report: &NodeReport, signing: &[(Kid, UnixMillis)]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO nodes (node, seen, loaded, loaded_from) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (node) DO UPDATE \
               SET seen = excluded.seen, loaded = excluded.loaded, loaded_from = excluded.loaded_from";
    let (loaded, loaded_from) = loaded_keys::to_columns(&report.loaded);
    c.prepare_cached(sql)?.execute(params![report.node, report.seen.0, loaded, loaded_from])?;
    for (kid, until) in signing {
        let sql = "INSERT INTO key_lives (kid, tokens_until) VALUES (?1, ?2) \
                   ON CONFLICT (kid) DO UPDATE SET tokens_until = max(coalesce(tokens_until, 0), excluded.tokens_until)";
        c.prepare_cached(sql)?.execute(params![kid.as_str(), until.0])?;
    }
    let oldest_kept = report.seen.minus(REPORTS);
    c.prepare_cached("DELETE FROM nodes WHERE seen < ?1")?.execute([oldest_kept.0]).map(drop)
}

fn report_of(row: &Row<'_>) -> rusqlite::Result<NodeReport> {
    let (loaded, from) = (row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str_or_null()?);
    let loaded = loaded_keys::from_columns(loaded, from).map_err(|why| rows::damaged(2, why))?;
    Ok(NodeReport { node: row.get(0)?, seen: rows::time(row, 1)?, loaded })
}
