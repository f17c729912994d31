//! The records of signing keys.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, rows, upkeep::next_generation};
use crate::{
    domain::key::KeyRecord,
    store::{KeyChange, Keys, StoreError},
};

#[async_trait]
impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(|c| {
            let sql = "SELECT kid, ring, state, bits, public_key, custody, locator, created, changed \
                       FROM keys ORDER BY created, kid";
            c.prepare_cached(sql)?.query_map([], key_of)?.collect()
        })
    }

    async fn insert_key(&self, key: KeyRecord) -> Result<bool, StoreError> {
        self.write(None, move |c| insert(c, &key)).await
    }

    async fn change_keys(&self, changes: Vec<KeyChange>) -> Result<bool, StoreError> {
        self.write(None, move |c| change_all(c, &changes)).await
    }
}

fn insert(c: &Connection, key: &KeyRecord) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO keys (kid, ring, state, bits, public_key, custody, locator, created, changed) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";
    let inserted = c.prepare_cached(sql)?.execute(params![
        key.kid.as_str(),
        key.ring.as_str(),
        key.state.as_str(),
        key.bits,
        key.public_key,
        key.custody,
        key.locator,
        key.created.0,
        key.changed.0,
    ])?;
    next_generation(c, inserted == 1)
}

/// One after the other in a savepoint of their own, because they share their transaction with other writes.
fn change_all(c: &mut Connection, changes: &[KeyChange]) -> rusqlite::Result<bool> {
    let mut all = c.savepoint()?;
    for change in changes {
        if !change_one(&all, change)? {
            all.rollback()?;
            return Ok(false);
        }
    }
    next_generation(&all, !changes.is_empty())?;
    all.commit()?;
    Ok(true)
}

fn change_one(c: &Connection, change: &KeyChange) -> rusqlite::Result<bool> {
    let sql = "UPDATE keys SET state = ?3, changed = ?4 WHERE kid = ?1 AND state = ?2";
    let values = params![change.to.kid.as_str(), change.from.as_str(), change.to.state.as_str(), change.to.changed.0];
    Ok(c.prepare_cached(sql)?.execute(values)? == 1)
}

fn key_of(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    Ok(KeyRecord {
        kid: rows::parsed(row, 0)?,
        ring: rows::parsed(row, 1)?,
        state: rows::parsed(row, 2)?,
        bits: rows::unsigned(row, 3)?,
        public_key: row.get(4)?,
        custody: row.get(5)?,
        locator: row.get(6)?,
        created: rows::time(row, 7)?,
        changed: rows::time(row, 8)?,
    })
}
