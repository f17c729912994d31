//! The table `api_keys`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction, types::Type};

use super::{
    PostgresStore,
    audit_append::record,
    database::{Done, Param, Steps},
    meta::{LOCK_GENERATION, NEXT_GENERATION},
    rows::{self, RowError},
    transactions::Locks,
};
use crate::{
    clock::UnixMillis,
    domain::{
        api_key::{ApiKeyHash, ApiKeyId, ApiKeyRecord},
        audit::{Actor, record_of},
    },
    store::{
        ApiKeys, StoreError,
        acts::{api_key_created, api_key_revoked},
        app_list::{apps_of, list_of},
    },
};

const SELECT: &str = "SELECT k.id, client, apps, hash, created, expires, revoked, last_used FROM countersign.api_keys k \
     LEFT JOIN countersign.api_key_uses u ON u.id = k.id ORDER BY created, k.id COLLATE \"C\"";

const INSERT: &str = "INSERT INTO countersign.api_keys (id, client, apps, hash, created, expires, revoked) \
     SELECT $1, $2, $3, $4, $5, $6, $7 WHERE $8 > (SELECT count(*) FROM countersign.api_keys \
         WHERE client = $2 AND revoked IS NULL AND (expires IS NULL OR expires > $5)) ON CONFLICT DO NOTHING";

/// Revokes an API key, with its leaf: `$3` is the record. The head of the audit log is locked after the generation, as
/// by every change of a key.
const REVOKE: &str = "WITH revoked AS ( \
         UPDATE countersign.api_keys SET revoked = $2 WHERE id = $1 AND revoked IS NULL RETURNING true), \
     counted AS ( \
         UPDATE countersign.meta SET value = (value::bigint + 1)::text \
         WHERE name = 'generation' AND EXISTS (SELECT FROM revoked) RETURNING true) \
     SELECT countersign.record_acts($3, true) FROM counted";

const RECORD_USES: &str = "INSERT INTO countersign.api_key_uses AS u (id, last_used) \
     SELECT id, at FROM unnest($1, $2) AS used (id, at) ORDER BY id \
     ON CONFLICT (id) DO UPDATE SET last_used = excluded.last_used WHERE excluded.last_used > u.last_used";

#[async_trait]
impl ApiKeys for PostgresStore {
    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let found = self.read(SELECT, &[]).await?;
        self.database.name.check(found.iter().map(api_key_of).collect())
    }

    async fn insert_api_key(&self, key: ApiKeyRecord, max_live: u32, actor: &Actor) -> Result<bool, StoreError> {
        self.before_act(false).await?;
        let record = record_of(&api_key_created(&key, actor));
        self.database.run(&Insertion { key, max_live, record }).await
    }

    async fn revoke_api_key(&self, id: &ApiKeyId, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError> {
        self.before_act(true).await?;
        let (id, records) = (id.clone(), vec![record_of(&api_key_revoked(id, now, actor))]);
        self.write(move |database| async move {
            let id = id.as_str();
            let params: [Param<'_>; 3] = [(&id, Type::TEXT), (&now.0, Type::INT8), (&records, Type::TEXT_ARRAY)];
            let rows = database.transact(&Locks::of_act(), REVOKE, &[&params]).await?;
            database.hold_unless_recorded(rows.first(), 0, records.clone())?;
            Ok(!rows.is_empty())
        })
        .await
    }

    async fn record_api_key_uses(&self, uses: Vec<(ApiKeyId, UnixMillis)>) -> Result<(), StoreError> {
        let mut latest: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, at) in &uses {
            let known = latest.entry(id.as_str()).or_insert(at.0);
            *known = at.0.max(*known);
        }
        let (ids, times): (Vec<&str>, Vec<i64>) = latest.into_iter().unzip();
        self.database.write(RECORD_USES, &[(&ids, Type::TEXT_ARRAY), (&times, Type::INT8_ARRAY)]).await.map(drop)
    }
}

/// A new API key, unless its client has `max_live` live ones.
struct Insertion {
    key: ApiKeyRecord,
    max_live: u32,
    record: String,
}

#[async_trait]
impl Steps for Insertion {
    /// `false` where there are as many, or the id is on record already.
    type Answer = bool;

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<bool>, RowError> {
        // A statement of its own, so that the next one counts what others inserted before.
        transaction.query_typed(LOCK_GENERATION, &[]).await?;
        let key = &self.key;
        let (expires, revoked) = (key.expires.map(|at| at.0), key.revoked.map(|at| at.0));
        let inserted = transaction
            .execute_typed(
                INSERT,
                &[
                    (&key.id.as_str(), Type::TEXT),
                    (&key.client.as_str(), Type::TEXT),
                    (&list_of(&key.apps), Type::TEXT),
                    (&&key.hash.0[..], Type::BYTEA),
                    (&key.created.0, Type::INT8),
                    (&expires, Type::INT8),
                    (&revoked, Type::INT8),
                    (&i64::from(self.max_live), Type::INT8),
                ],
            )
            .await?;
        if inserted == 0 {
            return Ok(Done::RollBack(false));
        }
        transaction.execute_typed(NEXT_GENERATION, &[]).await?;
        record(transaction, self.record.clone(), false).await?;
        Ok(Done::Commit(true))
    }
}

fn api_key_of(row: &Row) -> Result<ApiKeyRecord, RowError> {
    Ok(ApiKeyRecord {
        id: rows::parsed(row, 0)?,
        client: rows::parsed(row, 1)?,
        apps: apps_of(rows::get(row, 2)?).map_err(|why| rows::damaged(2, why))?,
        hash: ApiKeyHash(rows::bytes(row, 3)?),
        created: rows::time(row, 4)?,
        expires: rows::time_or_null(row, 5)?,
        revoked: rows::time_or_null(row, 6)?,
        last_used: rows::time_or_null(row, 7)?,
    })
}
