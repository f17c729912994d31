//! Conversion of SQLite's errors into [`StoreError`].

use std::{fmt::Display, path::Path, sync::Arc};

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// What to do where a store is missing.
const REMEDY: &str = "If its volume is not mounted, mount it; `countersign db restore --from FILE` restores a backup; \
                      `countersign db create` begins with an empty store";

/// The store's name in errors, which is its path.
#[derive(Clone, Debug)]
pub(super) struct StoreName(Arc<str>);

impl StoreName {
    /// Returns the name of the store at `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self(path.display().to_string().into())
    }

    /// Returns the error for a store that does not answer because of `why`.
    pub(super) fn unavailable(&self, why: impl Display) -> StoreError {
        StoreError::Unavailable { store: self.0.to_string(), why: why.to_string() }
    }

    /// Returns the error for a store that is lost; `what` is a verb with its object.
    pub(super) fn missing(&self, what: &str) -> StoreError {
        StoreError::Missing { path: self.0.to_string(), what: what.to_owned(), remedy: REMEDY }
    }

    /// Returns the error for a write to a store that is open for reading only.
    pub(super) fn read_only(&self) -> StoreError {
        StoreError::ReadOnly { store: self.0.to_string() }
    }

    /// Returns the error for a store that must be migrated before it can be read.
    pub(super) fn too_old(&self, found: u32, known: u32) -> StoreError {
        StoreError::TooOld { store: self.0.to_string(), found, known }
    }

    /// Returns the error for a store that was made by a later version.
    pub(super) fn too_new(&self, found: u32, known: u32) -> StoreError {
        StoreError::TooNew { store: self.0.to_string(), found, known }
    }

    /// Converts SQLite's error, if there is one.
    pub(super) fn check<T>(&self, answer: rusqlite::Result<T>) -> Result<T, StoreError> {
        answer.map_err(|why| self.unavailable(explain(&why)))
    }
}

/// Returns SQLite's message, followed by advice in the common cases.
pub(super) fn explain(why: &rusqlite::Error) -> String {
    let advice = match why.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "make room; no restart is needed",
        // Also where there is no room for the files that SQLite keeps beside the store.
        Some(ErrorCode::SystemIoFailure) => "make room if the disk is full (`df`), or look into the kernel's log",
        Some(ErrorCode::DatabaseBusy) => "another process keeps it locked",
        Some(ErrorCode::ReadOnly) => "the file or its folder cannot be written to",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "restore a backup",
        _ => return why.to_string(),
    };
    format!("{why}: {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
        let error = StoreName::new(Path::new("a.db")).check::<()>(Err(full)).unwrap_err().to_string();
        assert!(error.starts_with("the store a.db does not answer: "), "{error}");
        assert!(error.contains("make room"), "{error}");
    }
}
