//! Reports of nodes, and leases.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    database::Param,
    rows::{self, RowError},
};
use crate::{
    clock::UnixMillis,
    domain::{ids::Kid, rotation::NodeReport},
    store::{Nodes, StoreError, loaded_keys, retention::REPORTS},
};

/// One statement, since every node sends it every few seconds. Keys come in order, so that no two nodes wait for each
/// other.
const REPORT: &str = "WITH report AS ( \
         INSERT INTO countersign.nodes (node, seen, loaded, loaded_from) VALUES ($1, $2, $3, $4) ON CONFLICT (node) \
         DO UPDATE SET seen = excluded.seen, loaded = excluded.loaded, loaded_from = excluded.loaded_from), \
     lives AS ( \
         INSERT INTO countersign.key_lives AS l (kid, tokens_until) \
         SELECT kid, until FROM unnest($5, $6) AS signing (kid, until) ORDER BY kid \
         ON CONFLICT (kid) DO UPDATE SET tokens_until = greatest(l.tokens_until, excluded.tokens_until)) \
     DELETE FROM countersign.nodes WHERE seen < $7";

const FORGET: &str = "WITH follower AS (DELETE FROM countersign.followers WHERE node = $1) \
     DELETE FROM countersign.nodes WHERE node = $1";

const LEASE: &str = "INSERT INTO countersign.leases AS l (name, holder, until) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
     WHERE l.holder = excluded.holder OR l.until <= $4 RETURNING true";

#[async_trait]
impl Nodes for PostgresStore {
    async fn report(&self, report: NodeReport, signing: Vec<(Kid, UnixMillis)>) -> Result<(), StoreError> {
        let (loaded, loaded_from) = loaded_keys::to_columns(&report.loaded);
        let (kids, until) = latest(&signing);
        let oldest_kept = report.seen.minus(REPORTS);
        self.database
            .write(
                REPORT,
                &[
                    (&report.node, Type::TEXT),
                    (&report.seen.0, Type::INT8),
                    (&loaded, Type::TEXT),
                    (&loaded_from, Type::TEXT),
                    (&kids, Type::TEXT_ARRAY),
                    (&until, Type::INT8_ARRAY),
                    (&oldest_kept.0, Type::INT8),
                ],
            )
            .await
            .map(drop)
    }

    async fn nodes(&self, since: UnixMillis) -> Result<Vec<NodeReport>, StoreError> {
        let sql =
            "SELECT node, seen, loaded, loaded_from FROM countersign.nodes WHERE seen > $1 ORDER BY node COLLATE \"C\"";
        let found = self.read(sql, &[(&since.0, Type::INT8)]).await?;
        self.database.name.check(found.iter().map(report_of).collect())
    }

    async fn forget_node(&self, node: &str) -> Result<(), StoreError> {
        self.database.write(FORGET, &[(&node, Type::TEXT)]).await.map(drop)
    }

    async fn lease(&self, name: &str, holder: &str, now: UnixMillis, ttl: Duration) -> Result<bool, StoreError> {
        let until = now.plus(ttl);
        let params: [Param<'_>; 4] =
            [(&name, Type::TEXT), (&holder, Type::TEXT), (&until.0, Type::INT8), (&now.0, Type::INT8)];
        self.has_written(LEASE, &params).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM countersign.leases WHERE name = $1 AND holder = $2";
        self.database.write(sql, &[(&name, Type::TEXT), (&holder, Type::TEXT)]).await.map(drop)
    }
}

/// Returns each key once, with its latest time.
fn latest(signing: &[(Kid, UnixMillis)]) -> (Vec<&str>, Vec<i64>) {
    let mut latest: BTreeMap<&str, i64> = BTreeMap::new();
    for (kid, until) in signing {
        let known = latest.entry(kid.as_str()).or_insert(until.0);
        *known = until.0.max(*known);
    }
    latest.into_iter().unzip()
}

fn report_of(row: &Row) -> Result<NodeReport, RowError> {
    let loaded = loaded_keys::from_columns(rows::get(row, 2)?, rows::get(row, 3)?);
    let loaded = loaded.map_err(|why| rows::damaged(2, why))?;
    Ok(NodeReport { node: rows::get(row, 0)?, seen: rows::time(row, 1)?, loaded })
}
