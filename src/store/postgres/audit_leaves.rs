//! The audit log's leaves, head, checkpoints and key.

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    audit_append::act,
    audit_log::{event_of, select_leaves},
    database::Param,
    meta::{AUDIT_KEY, GET},
    rows::{self, RowError},
    transactions::Locks,
};
use crate::{
    domain::audit::{AuditEvent, record_of},
    store::{
        AuditHead, AuditLeaf, AuditLog, SavedCheckpoint, StoreError,
        acts::{are_refused_after_fork, records_of, stop_something},
    },
};

const HEAD: &str = "SELECT size, epoch, epoch_begun_at, fork, (SELECT count(*) FROM countersign.audit_waiting) \
     FROM countersign.audit_head";

const LEAVES: &str = select_leaves!("WHERE number >= $1 ORDER BY number LIMIT $2");

const PUT_KEY: &str =
    act!("false", "INSERT INTO countersign.meta (name, value) VALUES ($2, $3) ON CONFLICT DO NOTHING");

const REPLACE_KEY: &str = act!("false", "UPDATE countersign.meta SET value = $3 WHERE name = $2 AND value = $4");

const SAVE: &str = "INSERT INTO countersign.audit_checkpoints (epoch, size, at, note, subtrees) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

const CHECKPOINTS: &str = "SELECT epoch, size, at, note, subtrees FROM countersign.audit_checkpoints \
     ORDER BY epoch DESC, size DESC LIMIT $1";

const BEGIN_EPOCH: &str = "SELECT countersign.begin_epoch($1, $2, $3)";

const REPORT_FORK: &str = "UPDATE countersign.audit_head SET fork = coalesce(fork, $1)";

#[async_trait]
impl AuditLog for PostgresStore {
    async fn append_events(&self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        let (records, stops) = (records_of(&events), stop_something(&events));
        self.before_act(stops).await?;
        if are_refused_after_fork(&events)
            && let Some(fork) = self.audit_head().await?.fork
        {
            return Err(self.database.name.forked(fork));
        }
        self.write(move |database| async move {
            if stops { database.record_stops(records).await } else { database.append(records).await }
        })
        .await
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        let found = self.read(HEAD, &[]).await?;
        let name = &self.database.name;
        let head = name.check(head_of(found.first().ok_or_else(|| name.damaged())?))?;
        Ok(AuditHead { waiting: head.waiting + self.database.held.count(), ..head })
    }

    async fn audit_leaves(&self, from: u64, limit: u32) -> Result<Vec<AuditLeaf>, StoreError> {
        let from = self.database.name.check(rows::stored(from))?;
        let found = self.read(LEAVES, &[(&from, Type::INT8), (&i64::from(limit), Type::INT8)]).await?;
        self.database.name.check(found.iter().map(leaf_of).collect())
    }

    async fn audit_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.read(GET, &[(&AUDIT_KEY, Type::TEXT)]).await?;
        let bytes = |row: &Row| hex::decode(rows::get::<&str>(row, 0)?).map_err(|why| rows::damaged(0, why));
        self.database.name.check(found.first().map(bytes).transpose())
    }

    async fn replace_audit_key(
        &self,
        from: Option<Vec<u8>>,
        to: Vec<u8>,
        event: Option<AuditEvent>,
    ) -> Result<bool, StoreError> {
        self.before_act(false).await?;
        let (from, to) = (from.map(hex::encode), hex::encode(to));
        let records: Vec<String> = event.iter().map(record_of).collect();
        self.write(move |database| async move {
            let first: [Param<'_>; 3] = [(&records, Type::TEXT_ARRAY), (&AUDIT_KEY, Type::TEXT), (&to, Type::TEXT)];
            let rows = match &from {
                None => database.transact(&Locks::of_act(), PUT_KEY, &[&first]).await?,
                Some(from) => {
                    let [records, name, to] = first;
                    let all: [Param<'_>; 4] = [records, name, to, (from, Type::TEXT)];
                    database.transact(&Locks::of_act(), REPLACE_KEY, &[&all]).await?
                }
            };
            Ok(!rows.is_empty())
        })
        .await
    }

    async fn save_checkpoint(&self, checkpoint: SavedCheckpoint) -> Result<(), StoreError> {
        let size = self.database.name.check(rows::stored(checkpoint.size))?;
        let params: [Param<'_>; 5] = [
            (&i64::from(checkpoint.epoch), Type::INT8),
            (&size, Type::INT8),
            (&checkpoint.at.0, Type::INT8),
            (&checkpoint.note, Type::TEXT),
            (&checkpoint.subtrees, Type::BYTEA),
        ];
        self.database.write(SAVE, &params).await.map(drop)
    }

    async fn checkpoints(&self, limit: u32) -> Result<Vec<SavedCheckpoint>, StoreError> {
        let found = self.read(CHECKPOINTS, &[(&i64::from(limit), Type::INT8)]).await?;
        self.database.name.check(found.iter().map(checkpoint_of).collect())
    }

    async fn begin_epoch(&self, from: AuditHead, event: AuditEvent) -> Result<bool, StoreError> {
        let (size, epoch) = (self.database.name.check(rows::stored(from.size))?, i64::from(from.epoch));
        let record = record_of(&event);
        self.write(move |database| async move {
            let params: [Param<'_>; 3] = [(&size, Type::INT8), (&epoch, Type::INT8), (&record, Type::TEXT)];
            let rows = database.transact(&Locks::of_act(), BEGIN_EPOCH, &[&params]).await?;
            Ok(rows.first().map_or(Ok(false), |row| rows::get(row, 0))?)
        })
        .await
    }

    async fn report_fork(&self, description: &str) -> Result<(), StoreError> {
        self.database.write(REPORT_FORK, &[(&description, Type::TEXT)]).await.map(drop)
    }
}

fn head_of(row: &Row) -> Result<AuditHead, RowError> {
    Ok(AuditHead {
        size: rows::unsigned(row, 0)?,
        epoch: rows::unsigned(row, 1)?,
        epoch_begun_at: rows::unsigned(row, 2)?,
        fork: rows::get(row, 3)?,
        waiting: rows::unsigned(row, 4)?,
    })
}

fn leaf_of(row: &Row) -> Result<AuditLeaf, RowError> {
    Ok(AuditLeaf { index: rows::unsigned(row, 13)?, text: rows::get(row, 14)?, shown: event_of(row).ok() })
}

fn checkpoint_of(row: &Row) -> Result<SavedCheckpoint, RowError> {
    Ok(SavedCheckpoint {
        epoch: rows::unsigned(row, 0)?,
        size: rows::unsigned(row, 1)?,
        at: rows::time(row, 2)?,
        note: rows::get(row, 3)?,
        subtrees: rows::get(row, 4)?,
    })
}
