//! How values of ours stand in columns, and come back.

use std::{error::Error, str::FromStr};

use rusqlite::{Row, types::Type};

use crate::clock::UnixMillis;

/// What stands for "every app" in the column `app`.
const EVERY_APP: &str = "";

/// The column `app` of something that is about one app or about all.
pub(super) fn scope(app: Option<&crate::domain::ids::AppName>) -> String {
    app.map_or(EVERY_APP, |app| app.as_str()).to_owned()
}

/// A column of text, parsed. What cannot be parsed was not written by us: the store is damaged.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|why| damaged(column, why))
}

/// The error for a column that makes no sense.
pub(super) fn damaged(column: usize, why: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(why))
}

/// A column that holds a time.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMillis> {
    row.get(column).map(UnixMillis)
}

/// A column that holds a number of ours, which is never negative.
pub(super) fn unsigned<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let number: i64 = row.get(column)?;
    T::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A number as the store has it. Its bound is `i64::MAX`: a counter that gains one a millisecond is there in 290
/// million years.
pub(super) fn stored(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|why| rusqlite::Error::ToSqlConversionFailure(Box::new(why)))
}

/// A column that holds one of a few words of ours.
pub(super) fn word<T: FromStr<Err = strum::ParseError>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|_| damaged(column, UnknownWord(text.to_owned())))
}

/// A word that this version did not write.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no word of this version's")]
struct UnknownWord(String);
