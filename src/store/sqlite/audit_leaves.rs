//! The audit log's leaves, head, checkpoints and key.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore,
    audit_append::{append, begin_epoch, head, record},
    audit_log::{event_of, select_leaves},
    meta, rows,
};
use crate::{
    domain::audit::{AuditEvent, record_of},
    store::{
        AuditHead, AuditLeaf, AuditLog, SavedCheckpoint, StoreError,
        acts::{are_refused_after_fork, records_of, stop_something},
    },
};

const LEAVES: &str = select_leaves!("WHERE number >= ?1 ORDER BY number LIMIT ?2");

const SAVE: &str = "INSERT INTO audit_checkpoints (epoch, size, at, note, subtrees) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT DO NOTHING";

const CHECKPOINTS: &str =
    "SELECT epoch, size, at, note, subtrees FROM audit_checkpoints ORDER BY epoch DESC, size DESC LIMIT ?1";

#[async_trait]
impl AuditLog for SqliteStore {
    async fn append_events(&self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        self.held.flush(|records| self.append_records(records)).await?;
        if are_refused_after_fork(&events) {
            self.refuse_after_fork()?;
        }
        let (records, stops) = (records_of(&events), stop_something(&events));
        if !stops {
            return self.append_records(records).await;
        }
        let unrecorded = self.write(move |c| record(c, records.clone(), true)).await?;
        self.held.hold(unrecorded);
        Ok(())
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        let found = self.read(head)?;
        Ok(AuditHead { waiting: found.waiting + self.held.count(), ..found })
    }

    async fn audit_leaves(&self, from: u64, limit: u32) -> Result<Vec<AuditLeaf>, StoreError> {
        let from = self.name.check(rows::stored(from))?;
        self.read_long(move |c| c.prepare_cached(LEAVES)?.query_map(params![from, limit], leaf_of)?.collect()).await
    }

    async fn audit_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|c| meta::get(c, meta::AUDIT_KEY))
    }

    async fn replace_audit_key(
        &self,
        from: Option<Vec<u8>>,
        to: Vec<u8>,
        event: Option<AuditEvent>,
    ) -> Result<bool, StoreError> {
        self.act(false, move |c| {
            let replaced = meta::replace(c, meta::AUDIT_KEY, from.as_deref(), &to)?;
            Ok((replaced, event.iter().filter(|_| replaced).map(record_of).collect()))
        })
        .await
    }

    async fn save_checkpoint(&self, checkpoint: SavedCheckpoint) -> Result<(), StoreError> {
        let size = self.name.check(rows::stored(checkpoint.size))?;
        self.write(move |c| {
            let SavedCheckpoint { epoch, at, note, subtrees, .. } = &checkpoint;
            c.prepare_cached(SAVE)?.execute(params![epoch, size, at.0, note, subtrees]).map(drop)
        })
        .await
    }

    async fn checkpoints(&self, limit: u32) -> Result<Vec<SavedCheckpoint>, StoreError> {
        self.read(|c| c.prepare_cached(CHECKPOINTS)?.query_map([limit], checkpoint_of)?.collect())
    }

    async fn begin_epoch(&self, from: AuditHead, event: AuditEvent) -> Result<bool, StoreError> {
        self.write(move |c| begin_epoch(c, &from, &record_of(&event))).await
    }

    async fn report_fork(&self, description: &str) -> Result<(), StoreError> {
        let description = description.to_owned();
        let sql = "UPDATE audit_head SET fork = coalesce(fork, ?1)";
        self.write(move |c| c.execute(sql, [&description]).map(drop)).await
    }
}

impl SqliteStore {
    /// Runs a write that is an act, and records it in the same transaction: `work` returns its answer, and the records. One
    /// that stops something takes effect also where it cannot be recorded.
    pub(super) async fn act<T: Send + 'static>(
        &self,
        stops: bool,
        mut work: impl FnMut(&mut Connection) -> rusqlite::Result<(T, Vec<String>)> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.before_act(stops).await?;
        let run = move |c: &mut Connection| {
            let (answer, records) = work(c)?;
            Ok((answer, record(c, records, stops)?))
        };
        let (answer, unrecorded) = self.write(run).await?;
        self.held.hold(unrecorded);
        Ok(answer)
    }

    /// Appends the acts that this process holds. Refuses an act that stops nothing where that fails, or a fork is on
    /// record.
    pub(super) async fn before_act(&self, stops: bool) -> Result<(), StoreError> {
        let flushed = self.held.flush(|records| self.append_records(records)).await;
        if stops {
            return Ok(());
        }
        flushed?;
        self.refuse_after_fork()
    }

    async fn append_records(&self, records: Vec<String>) -> Result<(), StoreError> {
        self.write(move |c| append(c, &records)).await
    }

    /// Fails where a fork is on record.
    fn refuse_after_fork(&self) -> Result<(), StoreError> {
        self.read(head)?.fork.map_or(Ok(()), |fork| Err(self.name.forked(fork)))
    }
}

fn leaf_of(row: &Row<'_>) -> rusqlite::Result<AuditLeaf> {
    Ok(AuditLeaf { index: rows::unsigned(row, 13)?, text: row.get(14)?, shown: event_of(row).ok() })
}

fn checkpoint_of(row: &Row<'_>) -> rusqlite::Result<SavedCheckpoint> {
    Ok(SavedCheckpoint {
        epoch: rows::unsigned(row, 0)?,
        size: rows::unsigned(row, 1)?,
        at: rows::time(row, 2)?,
        note: row.get(3)?,
        subtrees: row.get(4)?,
    })
}
