//! Appends to the audit log, in the transaction of the change that they record. Functions of the database do it
//! (`0004_audit_leaves.sql`), so that a statement changes and records in one round trip.

use std::sync::Arc;

use tokio_postgres::{Row, Transaction, types::Type};

use super::{
    PostgresStore,
    database::{Database, Param},
    rows::{self, RowError},
    transactions::{Failure, Locks},
};
use crate::store::StoreError;

/// Appends records, and before them what waits. It is refused by no fork.
const APPEND: &str = "SELECT countersign.append_leaves($1, false)";

/// Records acts.
const RECORD: &str = "SELECT countersign.record_acts($1, $2)";

/// Statement that changes at most one row, and records that it did: `$change` has the parameters from `$2` on, `$1` are the
/// records. It has a row, with the status of the record, where something was changed.
macro_rules! act {
    ($stops:literal, $change:expr) => {
        concat!(
            "WITH done AS (",
            $change,
            " RETURNING true) SELECT countersign.record_acts($1, ",
            $stops,
            ") FROM done"
        )
    };
}
pub(super) use act;

/// Status of records that could be written nowhere; see `record_acts`.
const NOWHERE: i32 = 2;

/// Returns true for a status of records that are on no record.
pub(super) fn is_nowhere(row: &Row, column: usize) -> Result<bool, RowError> {
    Ok(rows::get::<i32>(row, column)? == NOWHERE)
}

/// Records an act in a transaction. Returns the record where it could be written nowhere.
pub(super) async fn record(
    transaction: &Transaction<'_>,
    record: String,
    stops: bool,
) -> Result<Option<String>, RowError> {
    let records = [record];
    let params: [Param<'_>; 2] = [(&&records[..], Type::TEXT_ARRAY), (&stops, Type::BOOL)];
    let row = transaction.query_typed_opt(RECORD, &params).await?;
    let is_lost = row.as_ref().is_some_and(|row| is_nowhere(row, 0).unwrap_or(true));
    let [record] = records;
    Ok(is_lost.then_some(record))
}

impl Database {
    /// Appends records, and before them what waits.
    pub(super) async fn append(&self, records: Vec<String>) -> Result<(), Failure> {
        self.transact(&Locks::of_act(), APPEND, &[&[(&records, Type::TEXT_ARRAY)]]).await.map(drop)
    }

    /// Records acts that stop something, and that took effect elsewhere.
    pub(super) async fn record_stops(&self, records: Vec<String>) -> Result<(), Failure> {
        let params: [Param<'_>; 2] = [(&records, Type::TEXT_ARRAY), (&true, Type::BOOL)];
        let rows = self.transact(&Locks::of_act(), RECORD, &[&params]).await?;
        self.hold_unless_recorded(rows.first(), 0, records)
    }

    /// Runs a statement of `act!`, whose first parameter the records are. Returns whether it changed something.
    pub(super) async fn act(&self, sql: &str, record: String, params: &[Param<'_>]) -> Result<bool, Failure> {
        let records = vec![record];
        let mut all: Vec<Param<'_>> = vec![(&records, Type::TEXT_ARRAY)];
        all.extend(params.iter().map(|(value, type_)| (*value, type_.clone())));
        let rows = self.transact(&Locks::of_act(), sql, &[&all]).await?;
        self.hold_unless_recorded(rows.first(), 0, records)?;
        Ok(!rows.is_empty())
    }

    /// Holds records in memory where a row says that they could be written nowhere.
    pub(super) fn hold_unless_recorded(
        &self,
        row: Option<&Row>,
        column: usize,
        records: Vec<String>,
    ) -> Result<(), Failure> {
        if row.map(|row| is_nowhere(row, column)).transpose()? == Some(true) {
            self.held.hold(records);
        }
        Ok(())
    }
}

impl PostgresStore {
    /// Appends the acts that this process holds. Refuses an act that stops nothing where that fails.
    pub(super) async fn before_act(&self, stops: bool) -> Result<(), StoreError> {
        let held = &self.database.held;
        // What stops something does not stand in line for a database that does not answer.
        if held.count() == 0 || (stops && held.is_busy()) {
            return Ok(());
        }
        // All of it goes on where the caller gives up: else it would be appended again.
        let flush = async |database: Arc<Database>| database.held.flush(|records| database.append(records)).await;
        let flushed = self.write(flush).await;
        if stops { Ok(()) } else { flushed }
    }
}
