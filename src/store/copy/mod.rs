//! Copy of a whole store into another, of either engine: what a site takes along when it moves.
//!
//! The source is read in one snapshot, a chunk of rows at a time. The target is empty, and becomes a store only by
//! [`Copying::finish`]: a copy that fails or is killed leaves nothing. Before that, source and target are read again,
//! and compared by the numbers and checksums of their rows.

mod rows;
mod tables;

use async_trait::async_trait;

use self::rows::Counting;
pub(super) use self::{
    rows::{Row, Value},
    tables::{AUDIT_LOG, Column, Kind, META, OF_NODES, OF_THE_STORE, TABLES, Table},
};
use super::{Config, StoreError, postgres, sqlite};

/// Rows of one store as of one point in time.
#[async_trait]
pub(super) trait Snapshot: Send {
    /// Begins to read a table, in the order of its key: bytes and texts by their bytes.
    async fn begin(&mut self, table: &'static Table) -> Result<(), StoreError>;

    /// Returns the next rows of the table; none after the last.
    async fn next(&mut self) -> Result<Vec<Row>, StoreError>;
}

/// Store that is being filled. Nobody else sees it, and it is gone again where it is dropped.
#[async_trait]
pub(super) trait Filling: Snapshot {
    /// Adds rows to a table.
    async fn add(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Makes it a store.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// Copy that is complete and verified, and is no store yet.
pub struct Copying {
    target: Box<dyn Filling>,
    /// Rows of each table.
    pub tables: Vec<CopiedTable>,
}

/// Table that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CopiedTable {
    /// Name of the table.
    pub name: &'static str,
    /// Number of its rows.
    pub rows: u64,
}

/// Reason why a store cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table of the target is not that of the source.
    #[error(
        "table {table} was copied wrong ({found} rows of {expected}, or other values): nothing was kept. Check memory and \
         disks, and copy again"
    )]
    Differs { table: &'static str, expected: u64, found: u64 },
}

/// Copies the store `from` into `to`, which must have no store, and verifies the copy. `on_rows` is told how many rows of
/// a table are copied so far.
///
/// # Errors
/// [`CopyError`].
pub async fn copy(from: &Config, to: &Config, mut on_rows: impl FnMut(&str, u64)) -> Result<Copying, CopyError> {
    let mut source = snapshot(from).await?;
    let mut target = filling(to).await?;
    for table in &TABLES {
        let mut copied = 0;
        source.begin(table).await?;
        loop {
            let rows = source.next().await?;
            if rows.is_empty() {
                break;
            }
            copied += rows.len() as u64;
            target.add(table, rows).await?;
            on_rows(table.name, copied);
        }
    }
    let tables = verify(&mut *source, &mut *target).await?;
    Ok(Copying { target, tables })
}

impl Copying {
    /// Makes the copy a store.
    ///
    /// # Errors
    /// [`StoreError`], as where somebody else made a store there meanwhile.
    pub async fn finish(self) -> Result<Vec<CopiedTable>, StoreError> {
        self.target.finish().await.map(|()| self.tables)
    }
}

async fn snapshot(config: &Config) -> Result<Box<dyn Snapshot>, StoreError> {
    Ok(match super::database(config)? {
        Some(target) => Box::new(postgres::Copied::read(config, &target).await?),
        None => Box::new(sqlite::Copied::read(config)?),
    })
}

async fn filling(config: &Config) -> Result<Box<dyn Filling>, StoreError> {
    Ok(match super::database(config)? {
        Some(target) => Box::new(postgres::Copied::fill(config, &target).await?),
        None => Box::new(sqlite::CopiedDraft::begin(config)?),
    })
}

/// Reads both again, and compares them.
async fn verify(source: &mut dyn Snapshot, target: &mut dyn Filling) -> Result<Vec<CopiedTable>, CopyError> {
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in &TABLES {
        let (expected, found) = (contents(source, table).await?, contents(target, table).await?);
        if expected != found {
            return Err(CopyError::Differs { table: table.name, expected: expected.rows, found: found.rows });
        }
        copied.push(CopiedTable { name: table.name, rows: found.rows });
    }
    Ok(copied)
}

async fn contents<S: Snapshot + ?Sized>(store: &mut S, table: &'static Table) -> Result<rows::Contents, StoreError> {
    let mut counting = Counting::new();
    store.begin(table).await?;
    loop {
        let rows = store.next().await?;
        if rows.is_empty() {
            return Ok(counting.finish());
        }
        rows.iter().for_each(|row| counting.add(row));
    }
}
