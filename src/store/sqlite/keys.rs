//! The records of signing keys, and of replacing them.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, acts, rows};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::RingName,
        key::KeyRecord,
        rotation::{AuditEvent, Published},
    },
    store::{KeyLife, KeyTransaction, Keys, RingRecords, StoreError},
};

/// The columns of [`key_of`].
const KEY: &str = "k.kid, k.ring, k.state, k.bits, k.public_key, k.custody, k.locator, k.created, k.changed";

#[async_trait]
impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(|c| {
            let sql = format!("SELECT {KEY} FROM keys k ORDER BY k.created, k.kid");
            c.prepare_cached(&sql)?.query_map([], key_of)?.collect()
        })
    }

    async fn transact(&self, act: KeyTransaction) -> Result<bool, StoreError> {
        self.write(None, move |c| acts::perform(c, &act)).await
    }

    async fn ring(&self, ring: &RingName) -> Result<RingRecords, StoreError> {
        self.read(|c| {
            // One transaction, so that all of it is of one moment.
            let all = c.unchecked_transaction()?;
            let progress = acts::progress(&all, ring)?;
            Ok(RingRecords { keys: keys_of(&all, ring)?, publications: publications_of(&all, ring)?, progress })
        })
    }

    async fn audit_log(&self, ring: Option<&RingName>, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.read(|c| {
            let sql = "SELECT at, ring, kid, app, action, actor, why FROM audit_log \
                       WHERE ?1 IS NULL OR ring = ?1 ORDER BY seq DESC LIMIT ?2";
            let ring = ring.map(RingName::as_str);
            c.prepare_cached(sql)?.query_map(params![ring, limit], acts::audit_event_of)?.collect()
        })
    }
}

fn keys_of(c: &Connection, ring: &RingName) -> rusqlite::Result<Vec<(KeyRecord, KeyLife)>> {
    let sql = format!(
        "SELECT {KEY}, l.tokens_until, l.destroyed FROM keys k LEFT JOIN key_lives l ON l.kid = k.kid \
         WHERE k.ring = ?1 ORDER BY k.created, k.kid"
    );
    let life = |row: &Row<'_>| {
        let (tokens, destroyed): (Option<i64>, Option<i64>) = (row.get(9)?, row.get(10)?);
        Ok((key_of(row)?, KeyLife { tokens_until: tokens.map(UnixMillis), destroyed: destroyed.map(UnixMillis) }))
    };
    c.prepare_cached(&sql)?.query_map([ring.as_str()], life)?.collect()
}

fn publications_of(c: &Connection, ring: &RingName) -> rusqlite::Result<Vec<Published>> {
    let sql = "SELECT p.app, p.kid, p.asked, p.shown, p.braze_id FROM publications p JOIN keys k ON k.kid = p.kid \
               WHERE k.ring = ?1 ORDER BY p.app, p.kid";
    let published = |row: &Row<'_>| {
        let publication = acts::publication_of(row, 2)?;
        Ok(Published { app: rows::parsed(row, 0)?, kid: rows::parsed(row, 1)?, publication })
    };
    c.prepare_cached(sql)?.query_map([ring.as_str()], published)?.collect()
}

/// Puts a key on record, unless it is known.
pub(super) fn insert(c: &Connection, key: &KeyRecord) -> rusqlite::Result<bool> {
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
    Ok(inserted == 1)
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
