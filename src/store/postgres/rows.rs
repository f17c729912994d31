//! Conversions between column values and the values of this program.

use std::{fmt::Display, str::FromStr};

use tokio_postgres::{Row, types::FromSql};

use crate::{clock::UnixMillis, domain::ids::AppName};

/// Reason why a row cannot be read or written. It names no value: values may be personal data.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Column(#[from] tokio_postgres::Error),
    #[error("column {column} of a row is damaged: {why}")]
    Damaged { column: usize, why: String },
    #[error("a number above {} cannot be stored", i64::MAX)]
    TooLarge,
}

/// Returns the value of the column `app` for one app, or for all (`None`).
pub(super) fn scope(app: Option<&AppName>) -> &str {
    const EVERY_APP: &str = "";
    app.map_or(EVERY_APP, AppName::as_str)
}

/// Reads a column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, RowError> {
    Ok(row.try_get(column)?)
}

/// Reads a column of text and parses it. A value that cannot be parsed was not written by this program.
pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row, column: usize) -> Result<T, RowError> {
    get::<&str>(row, column)?.parse().map_err(|why| damaged(column, why))
}

/// Reads a column of text that may be NULL and parses it.
pub(super) fn parsed_or_null<T: FromStr<Err: Display>>(row: &Row, column: usize) -> Result<Option<T>, RowError> {
    let text: Option<&str> = get(row, column)?;
    text.map(|text| text.parse().map_err(|why| damaged(column, why))).transpose()
}

/// Reads a column of bytes, of which there must be `N`.
pub(super) fn bytes<const N: usize>(row: &Row, column: usize) -> Result<[u8; N], RowError> {
    get::<&[u8]>(row, column)?.try_into().map_err(|why| damaged(column, why))
}

/// Reads a column of Unix milliseconds.
pub(super) fn time(row: &Row, column: usize) -> Result<UnixMillis, RowError> {
    get(row, column).map(UnixMillis)
}

/// Reads a column of Unix milliseconds that may be NULL.
pub(super) fn time_or_null(row: &Row, column: usize) -> Result<Option<UnixMillis>, RowError> {
    Ok(get::<Option<i64>>(row, column)?.map(UnixMillis))
}

/// Reads a column of numbers that are never negative.
pub(super) fn unsigned<T: TryFrom<i64, Error: Display>>(row: &Row, column: usize) -> Result<T, RowError> {
    T::try_from(get(row, column)?).map_err(|why| damaged(column, why))
}

/// Returns a number as the store holds it. Fails above `i64::MAX`, which a counter that gains one a millisecond
/// reaches after 290 million years.
pub(super) fn stored(number: u64) -> Result<i64, RowError> {
    i64::try_from(number).map_err(|_| RowError::TooLarge)
}

/// Returns the error for a column whose value cannot be understood.
pub(super) fn damaged(column: usize, why: impl Display) -> RowError {
    RowError::Damaged { column, why: why.to_string() }
}
