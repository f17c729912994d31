//! Writes of a [`KeyTransaction`]: all of its parts, or none.

use async_trait::async_trait;
use tokio_postgres::{Transaction, types::Type};

use super::{
    audit_append::record,
    audit_log::is_repetition,
    database::{Done, Param, Steps},
    keys::publication_of,
    meta::{LOCK_GENERATION, NEXT_GENERATION},
    rows::{self, RowError},
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{AuditEvent, record_of},
        ids::{Kid, RingName},
        key::KeyRecord,
        rotation::Progress,
    },
    store::{KeyChange, KeyMove, KeyTransaction, PublicationChange, acts::any_stops_something},
};

/// The transaction, and what it is run on.
struct Writing<'a> {
    transaction: &'a Transaction<'a>,
}

#[async_trait]
impl Steps for KeyTransaction {
    /// `false` where a record is not as it must be; nothing is written then. With it, records of acts that took effect without
    /// one.
    type Answer = (bool, Vec<String>);

    async fn run(&self, transaction: &Transaction<'_>) -> Result<Done<Self::Answer>, RowError> {
        // Such transactions are rare: they follow each other, and so never wait for each other in a circle.
        transaction.query_typed(LOCK_GENERATION, &[]).await?;
        let writing = Writing { transaction };
        if !writing.apply(self).await? {
            return Ok(Done::RollBack((false, Vec::new())));
        }
        let unrecorded = writing.record(&self.events).await?;
        if self.insert.is_some() || !self.changes.is_empty() || !self.moves.is_empty() {
            transaction.execute_typed(NEXT_GENERATION, &[]).await?;
        }
        Ok(Done::Commit((true, unrecorded)))
    }
}

impl Writing<'_> {
    async fn apply(&self, all: &KeyTransaction) -> Result<bool, RowError> {
        if let Some(key) = &all.insert
            && !self.insert_key(key).await?
        {
            return Ok(false);
        }
        for change in &all.changes {
            if !self.change_key(change).await? {
                return Ok(false);
            }
        }
        for change in &all.moves {
            if !self.move_key(change).await? {
                return Ok(false);
            }
        }
        for change in &all.publications {
            if !self.change_publication(change).await? {
                return Ok(false);
            }
        }
        if let Some((ring, progress)) = &all.progress
            && !self.change_progress(ring, progress).await?
        {
            return Ok(false);
        }
        if let Some((kid, at)) = &all.destroyed {
            self.record_destruction(kid, *at).await?;
        }
        Ok(true)
    }

    /// Appends the events that do not repeat the last one about the same key at the same app. Nobody else appends such
    /// events meanwhile: the transaction has locked the generation.
    async fn record(&self, events: &[AuditEvent]) -> Result<Vec<String>, RowError> {
        let (stops, mut unrecorded) = (any_stops_something(events), Vec::new());
        for event in events {
            if !is_repetition(self.transaction, event).await? {
                unrecorded.extend(record(self.transaction, record_of(event), stops).await?);
            }
        }
        Ok(unrecorded)
    }

    /// Inserts a key. Returns `false` where its id is on record already.
    async fn insert_key(&self, key: &KeyRecord) -> Result<bool, RowError> {
        let sql = "INSERT INTO countersign.keys (kid, ring, state, bits, public_key, custody, locator, created, changed) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        self.writes_one(
            sql,
            &[
                (&key.kid.as_str(), Type::TEXT),
                (&key.ring.as_str(), Type::TEXT),
                (&key.state.as_str(), Type::TEXT),
                (&i64::from(key.bits), Type::INT8),
                (&key.public_key, Type::TEXT),
                (&key.custody, Type::TEXT),
                (&key.locator, Type::TEXT),
                (&key.created.0, Type::INT8),
                (&key.changed.0, Type::INT8),
            ],
        )
        .await
    }

    async fn change_key(&self, change: &KeyChange) -> Result<bool, RowError> {
        let sql = "UPDATE countersign.keys SET state = $3, changed = $4 WHERE kid = $1 AND state = $2";
        self.writes_one(
            sql,
            &[
                (&change.to.kid.as_str(), Type::TEXT),
                (&change.from.as_str(), Type::TEXT),
                (&change.to.state.as_str(), Type::TEXT),
                (&change.to.changed.0, Type::INT8),
            ],
        )
        .await
    }

    async fn move_key(&self, change: &KeyMove) -> Result<bool, RowError> {
        let sql = "UPDATE countersign.keys SET custody = $5, locator = $6 \
                   WHERE kid = $1 AND state = $2 AND custody = $3 AND locator = $4";
        self.writes_one(
            sql,
            &[
                (&change.kid.as_str(), Type::TEXT),
                (&change.state.as_str(), Type::TEXT),
                (&change.from.custody, Type::TEXT),
                (&change.from.locator, Type::TEXT),
                (&change.to.custody, Type::TEXT),
                (&change.to.locator, Type::TEXT),
            ],
        )
        .await
    }

    async fn change_publication(&self, change: &PublicationChange) -> Result<bool, RowError> {
        let (kid, app) = (change.kid.as_str(), change.app.as_str());
        let sql = "SELECT asked, shown, braze_id FROM countersign.publications WHERE kid = $1 AND app = $2";
        let found = self.transaction.query_typed_opt(sql, &[(&kid, Type::TEXT), (&app, Type::TEXT)]).await?;
        if found.as_ref().map(|row| publication_of(row, 0)).transpose()? != change.from {
            return Ok(false);
        }
        let Some(to) = &change.to else {
            let sql = "DELETE FROM countersign.publications WHERE kid = $1 AND app = $2";
            self.transaction.execute_typed(sql, &[(&kid, Type::TEXT), (&app, Type::TEXT)]).await?;
            return Ok(true);
        };
        let sql = "INSERT INTO countersign.publications (kid, app, asked, shown, braze_id) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (kid, app) DO UPDATE SET \
                   asked = excluded.asked, shown = excluded.shown, braze_id = excluded.braze_id";
        let (asked, shown) = (to.asked.map(|at| at.0), to.shown.map(|at| at.0));
        self.writes_one(
            sql,
            &[
                (&kid, Type::TEXT),
                (&app, Type::TEXT),
                (&asked, Type::INT8),
                (&shown, Type::INT8),
                (&to.braze_id, Type::TEXT),
            ],
        )
        .await
    }

    async fn change_progress(&self, ring: &RingName, progress: &Progress) -> Result<bool, RowError> {
        let (version, new_key) = (rows::stored(progress.version)?, progress.new_key.as_ref().map(Kid::as_str));
        let sql = if version == 0 {
            "INSERT INTO countersign.rotations (ring, version, goal, new_key) VALUES ($1, $2 + 1, $3, $4) \
             ON CONFLICT DO NOTHING"
        } else {
            "UPDATE countersign.rotations SET version = $2 + 1, goal = $3, new_key = $4 WHERE ring = $1 AND version = $2"
        };
        self.writes_one(
            sql,
            &[
                (&ring.as_str(), Type::TEXT),
                (&version, Type::INT8),
                (&progress.goal.as_str(), Type::TEXT),
                (&new_key, Type::TEXT),
            ],
        )
        .await
    }

    /// Records the time at which a private key was destroyed; the first time stays on record.
    async fn record_destruction(&self, kid: &Kid, at: UnixMillis) -> Result<(), RowError> {
        let sql = "INSERT INTO countersign.key_lives AS l (kid, destroyed) VALUES ($1, $2) \
                   ON CONFLICT (kid) DO UPDATE SET destroyed = coalesce(l.destroyed, excluded.destroyed)";
        self.writes_one(sql, &[(&kid.as_str(), Type::TEXT), (&at.0, Type::INT8)]).await.map(drop)
    }

    async fn writes_one(&self, sql: &str, params: &[Param<'_>]) -> Result<bool, RowError> {
        Ok(self.transaction.execute_typed(sql, params).await? == 1)
    }
}
