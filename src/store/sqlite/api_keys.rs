//! The table `api_keys`.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, meta::next_generation, rows};
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

const SELECT: &str = "SELECT api_keys.id, client, apps, hash, created, expires, revoked, last_used FROM api_keys \
                      LEFT JOIN api_key_uses ON api_key_uses.id = api_keys.id ORDER BY created, api_keys.id";

#[async_trait]
impl ApiKeys for SqliteStore {
    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        self.read(|c| c.prepare_cached(SELECT)?.query_map([], api_key_of)?.collect())
    }

    async fn insert_api_key(&self, key: ApiKeyRecord, max_live: u32, actor: &Actor) -> Result<bool, StoreError> {
        let record = record_of(&api_key_created(&key, actor));
        self.act(false, move |c| {
            let inserted = insert(c, &key, max_live)?;
            Ok((inserted, Vec::from_iter(inserted.then(|| record.clone()))))
        })
        .await
    }

    async fn revoke_api_key(&self, id: &ApiKeyId, now: UnixMillis, actor: &Actor) -> Result<bool, StoreError> {
        let mut event = api_key_revoked(id, now, actor);
        let id = id.clone();
        self.act(true, move |c| {
            let sql = "UPDATE api_keys SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL RETURNING client";
            let client = |row: &Row<'_>| rows::parsed(row, 0);
            event.target.client = c.prepare_cached(sql)?.query_row(params![id.as_str(), now.0], client).optional()?;
            let revoked = next_generation(c, event.target.client.is_some())?;
            Ok((revoked, Vec::from_iter(revoked.then(|| record_of(&event)))))
        })
        .await
    }

    async fn record_api_key_uses(&self, uses: Vec<(ApiKeyId, UnixMillis)>) -> Result<(), StoreError> {
        self.write(move |c| {
            let sql = "INSERT INTO api_key_uses (id, last_used) VALUES (?1, ?2) \
                       ON CONFLICT (id) DO UPDATE SET last_used = excluded.last_used \
                       WHERE excluded.last_used > last_used";
            let mut record = c.prepare_cached(sql)?;
            uses.iter().try_for_each(|(id, at)| record.execute(params![id.as_str(), at.0]).map(drop))
        })
        .await
    }
}

/// Inserts an API key. Returns `false` where its client has `max_live` live keys, or its id is on record already.
fn insert(c: &Connection, key: &ApiKeyRecord, max_live: u32) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO api_keys (id, client, apps, hash, created, expires, revoked) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE ?8 > (SELECT count(*) FROM api_keys \
               WHERE client = ?2 AND revoked IS NULL AND (expires IS NULL OR expires > ?5)) ON CONFLICT DO NOTHING";
    let inserted = c.prepare_cached(sql)?.execute(params![
        key.id.as_str(),
        key.client.as_str(),
        list_of(&key.apps),
        key.hash.0,
        key.created.0,
        key.expires.map(|at| at.0),
        key.revoked.map(|at| at.0),
        max_live,
    ])?;
    next_generation(c, inserted == 1)
}

fn api_key_of(row: &Row<'_>) -> rusqlite::Result<ApiKeyRecord> {
    Ok(ApiKeyRecord {
        id: rows::parsed(row, 0)?,
        client: rows::parsed(row, 1)?,
        apps: apps_of(row.get_ref(2)?.as_str()?).map_err(|why| rows::damaged(2, why))?,
        hash: ApiKeyHash(row.get(3)?),
        created: rows::time(row, 4)?,
        expires: rows::optional(row, 5, rows::time)?,
        revoked: rows::optional(row, 6, rows::time)?,
        last_used: rows::optional(row, 7, rows::time)?,
    })
}
