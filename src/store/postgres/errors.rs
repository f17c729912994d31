//! Conversion of PostgreSQL's errors into [`StoreError`].

use std::{error::Error as _, fmt::Display, sync::Arc};

use tokio_postgres::error::SqlState;

use super::Target;
use crate::store::StoreError;

/// The store's name in errors: its connection string, without a password.
#[derive(Clone, Debug)]
pub(super) struct StoreName(Arc<str>);

impl StoreName {
    /// Returns the name of the store at `target`.
    pub(super) fn new(target: &Target) -> Self {
        Self(target.to_string().into())
    }

    /// Returns the error for a store that does not answer because of `why`.
    pub(super) fn unavailable(&self, why: impl Display) -> StoreError {
        StoreError::Unavailable { store: self.0.to_string(), why: why.to_string() }
    }

    /// Converts PostgreSQL's error, if there is one.
    pub(super) fn check<T>(&self, answer: Result<T, tokio_postgres::Error>) -> Result<T, StoreError> {
        answer.map_err(|why| self.unavailable(explain(&why)))
    }
}

/// Returns PostgreSQL's message. It has no values of parameters.
pub(super) fn explain(why: &tokio_postgres::Error) -> String {
    match (why.as_db_error(), why.source()) {
        (Some(refused), _) => refused.message().to_owned(),
        (None, Some(source)) => format!("{why}: {source}"),
        (None, None) => why.to_string(),
    }
}

/// Returns true where the server rolled a transaction back because of others, so that it may be repeated
/// (<https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html>).
pub(super) fn may_be_repeated(why: &tokio_postgres::Error) -> bool {
    matches!(why.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE))
}
