//! Conversions between column values and the values of this program.

use std::{error::Error, str::FromStr};

use rusqlite::{
    Row,
    types::{Type, ValueRef},
};

use crate::{clock::UnixMillis, domain::ids::AppName};

/// The value of the column `app` that means every app.
const EVERY_APP: &str = "";

/// Returns the value of the column `app` for one app, or for all (`None`).
pub(super) fn scope(app: Option<&AppName>) -> String {
    app.map_or(EVERY_APP, AppName::as_str).to_owned()
}

/// Reads the column `app`: `None` for every app.
pub(super) fn optional_app(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<AppName>> {
    if row.get_ref(column)?.as_str()? == EVERY_APP { Ok(None) } else { parsed(row, column).map(Some) }
}

/// Reads a column of text and parses it. A value that cannot be parsed was not written by this program.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|why| damaged(column, why))
}

/// Reads a column that may be NULL; `read` is for a value that is not.
pub(super) fn optional<T>(
    row: &Row<'_>,
    column: usize,
    read: impl FnOnce(&Row<'_>, usize) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => read(row, column).map(Some),
    }
}

/// Returns the error for a column whose value cannot be understood.
pub(super) fn damaged(column: usize, why: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(why))
}

/// Reads a column of Unix milliseconds.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMillis> {
    row.get(column).map(UnixMillis)
}

/// Reads a column of numbers that are never negative.
pub(super) fn unsigned<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let number: i64 = row.get(column)?;
    T::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Returns a number as the store holds it. Fails above `i64::MAX`, which a counter that gains one a millisecond
/// reaches after 290 million years.
pub(super) fn stored(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|why| rusqlite::Error::ToSqlConversionFailure(Box::new(why)))
}

/// Reads a column that holds the name of a variant.
pub(super) fn variant<T: FromStr<Err = strum::ParseError>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|_| unknown(column, text))
}

/// Returns the error for a text that names no variant.
pub(super) fn unknown(column: usize, text: &str) -> rusqlite::Error {
    damaged(column, UnknownValue(text.to_owned()))
}

/// A value that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a value that this version knows")]
struct UnknownValue(String);
