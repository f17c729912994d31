//! Position in the log of ends: a transaction of a timeline.
//!
//! A standby that is promoted begins a timeline of its own, and uses the numbers of transactions again that it did not
//! get. Positions of a later timeline are after all of an earlier one.

use tokio_postgres::Row;

use super::rows::{self, RowError};
use crate::store::EndsPosition;

/// Column of the timeline; that of the transaction follows.
pub(super) const TIMELINE: usize = 0;

/// Bits of the number of a transaction. At 50,000 a second they last for more than a hundred years.
const TRANSACTION_BITS: u32 = 48;
const TRANSACTIONS: u64 = (1 << TRANSACTION_BITS) - 1;
/// Greatest number of a timeline: a position is stored as a number with a sign.
const TIMELINES: u64 = (1 << (u64::BITS - 1 - TRANSACTION_BITS)) - 1;

/// Transaction of a timeline: all before it have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Horizon {
    pub(super) timeline: u64,
    transaction: u64,
}

impl Horizon {
    /// Reads the columns of the timeline and the transaction.
    pub(super) fn of(row: &Row) -> Result<Self, RowError> {
        let (timeline, transaction): (u64, u64) = (rows::unsigned(row, TIMELINE)?, rows::unsigned(row, TIMELINE + 1)?);
        Ok(Self { timeline: timeline & TIMELINES, transaction: transaction & TRANSACTIONS })
    }

    /// Number of the transaction, as a parameter: the driver has no type of PostgreSQL's `xid8`.
    pub(super) fn transaction_text(self) -> String {
        self.transaction.to_string()
    }
}

impl From<EndsPosition> for Horizon {
    fn from(EndsPosition(position): EndsPosition) -> Self {
        Self { timeline: position >> TRANSACTION_BITS, transaction: position & TRANSACTIONS }
    }
}

impl From<Horizon> for EndsPosition {
    fn from(horizon: Horizon) -> Self {
        Self(horizon.timeline << TRANSACTION_BITS | horizon.transaction)
    }
}
