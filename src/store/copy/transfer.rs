//! Reading a store as a whole, and filling one.

use async_trait::async_trait;

use super::{rows::Row, tables::Table};
use crate::store::StoreError;

/// Rows of one store as of one point in time.
#[async_trait]
pub(in crate::store) trait Snapshot: Send {
    /// Begins to read a table, in the order of its key: bytes and texts by their bytes.
    async fn begin(&mut self, table: &'static Table) -> Result<(), StoreError>;

    /// Returns the next rows of the table; none after the last.
    async fn next(&mut self) -> Result<Vec<Row>, StoreError>;
}

/// Store that is being filled. Nobody else sees it, and it is gone again where it is dropped.
#[async_trait]
pub(in crate::store) trait Filling: Snapshot {
    /// Adds rows to a table.
    async fn add(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Makes it a store.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;
}
