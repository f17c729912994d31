//! The records of signing keys and of their rotation.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{SqliteStore, audit_log, key_transactions, rows};
use crate::{
    domain::{
        audit::AuditEvent,
        ids::RingName,
        key::KeyRecord,
        rotation::{Progress, Published},
    },
    store::{KeyLife, KeyTransaction, Keys, RingRecords, StoreError, acts::any_stops_something},
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

    async fn transact(&self, transaction: KeyTransaction) -> Result<bool, StoreError> {
        // Without events it is no act.
        let stops = transaction.events.is_empty() || any_stops_something(&transaction.events);
        self.before_act(stops).await?;
        let (applied, unrecorded) = self.write(move |c| key_transactions::apply(c, &transaction)).await?;
        self.held.hold(unrecorded);
        Ok(applied)
    }

    async fn ring(&self, ring: &RingName) -> Result<RingRecords, StoreError> {
        self.read(|c| {
            // One transaction, so that all three reads see the same state.
            let snapshot = c.unchecked_transaction()?;
            let (keys, publications) = (keys_of(&snapshot, ring)?, publications_of(&snapshot, ring)?);
            Ok(RingRecords { keys, publications, progress: progress_of(&snapshot, ring)? })
        })
    }

    async fn audit_log(&self, ring: Option<&RingName>, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        self.read(|c| audit_log::newest(c, ring, limit))
    }
}

fn keys_of(c: &Connection, ring: &RingName) -> rusqlite::Result<Vec<(KeyRecord, KeyLife)>> {
    let sql = format!(
        "SELECT {KEY}, l.tokens_until, l.destroyed FROM keys k LEFT JOIN key_lives l ON l.kid = k.kid \
         WHERE k.ring = ?1 ORDER BY k.created, k.kid"
    );
    c.prepare_cached(&sql)?.query_map([ring.as_str()], |row| Ok((key_of(row)?, life_of(row)?)))?.collect()
}

fn publications_of(c: &Connection, ring: &RingName) -> rusqlite::Result<Vec<Published>> {
    let sql = "SELECT p.app, p.kid, p.asked, p.shown, p.braze_id FROM publications p JOIN keys k ON k.kid = p.kid \
               WHERE k.ring = ?1 ORDER BY p.app, p.kid";
    let published = |row: &Row<'_>| {
        let publication = key_transactions::publication_of(row, 2)?;
        Ok(Published { app: rows::parsed(row, 0)?, kid: rows::parsed(row, 1)?, publication })
    };
    c.prepare_cached(sql)?.query_map([ring.as_str()], published)?.collect()
}

/// Reads a ring's progress; the default where none is on record.
fn progress_of(c: &Connection, ring: &RingName) -> rusqlite::Result<Progress> {
    let sql = "SELECT version, goal, new_key FROM rotations WHERE ring = ?1";
    let progress = |row: &Row<'_>| {
        Ok(Progress {
            version: rows::unsigned(row, 0)?,
            goal: rows::variant(row, 1)?,
            new_key: rows::optional(row, 2, rows::parsed)?,
        })
    };
    Ok(c.prepare_cached(sql)?.query_row([ring.as_str()], progress).optional()?.unwrap_or_default())
}

/// Reads a key's record from the columns [`KEY`].
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

/// Reads `tokens_until` and `destroyed`, which follow the columns [`KEY`].
fn life_of(row: &Row<'_>) -> rusqlite::Result<KeyLife> {
    Ok(KeyLife { tokens_until: rows::optional(row, 9, rows::time)?, destroyed: rows::optional(row, 10, rows::time)? })
}
