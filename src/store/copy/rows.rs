//! Rows as they pass from one engine to the other, and the checksum of a table.

use aws_lc_rs::digest::{Context, SHA256};

/// Value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Values of the columns, in the order of the table's list.
pub(in crate::store) type Row = Vec<Value>;

/// Number of a table's rows, and their checksum (SHA-256).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) rows: u64,
    checksum: Vec<u8>,
}

/// Computation of [`Contents`], row by row in the order of the keys.
pub(super) struct Counting {
    rows: u64,
    hash: Context,
}

impl Counting {
    pub(super) fn new() -> Self {
        Self { rows: 0, hash: Context::new(&SHA256) }
    }

    /// Adds a row. Each value has its type and its length before it, so that no two tables look the same.
    pub(super) fn add(&mut self, row: &Row) {
        self.rows += 1;
        for value in row {
            match value {
                Value::Null => self.hash.update(&[0]),
                Value::Integer(number) => self.add_value(1, &number.to_be_bytes()),
                Value::Text(text) => self.add_value(2, text.as_bytes()),
                Value::Bytes(bytes) => self.add_value(3, bytes),
            }
        }
    }

    fn add_value(&mut self, kind: u8, bytes: &[u8]) {
        self.hash.update(&[kind]);
        self.hash.update(&(bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }

    pub(super) fn finish(self) -> Contents {
        Contents { rows: self.rows, checksum: self.hash.finish().as_ref().to_vec() }
    }
}
