//! Conversion of SQLite's errors into [`StoreError`].

use std::{fmt::Display, path::Path, sync::Arc};

use rusqlite::{ErrorCode, ffi};

use crate::{files::obstacle, store::StoreError};

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

    /// Returns the error for a store that must not be used, or that refused an operation, because of `why`.
    pub(super) fn unavailable(&self, why: impl Display) -> StoreError {
        StoreError::Unavailable { store: self.0.to_string(), why: why.to_string() }
    }

    /// Returns the error for a store that cannot be reached, or not be written, because of `why`.
    pub(super) fn out_of_reach(&self, why: impl Display) -> StoreError {
        StoreError::OutOfReach { store: self.0.to_string(), why: why.to_string() }
    }

    /// Returns the error for this fault, and says where the store's folder or file cannot be written.
    pub(super) fn fault(&self, fault: &Fault) -> StoreError {
        match fault {
            Fault::Outage(why) => match obstacle(Path::new(&*self.0)) {
                Some(obstacle) => self.out_of_reach(format_args!("{why}: {obstacle}")),
                None => self.out_of_reach(why),
            },
            Fault::Other(why) => self.unavailable(why),
        }
    }

    /// Returns the error for a store that is lost; `what` is a verb with its object.
    pub(super) fn missing(&self, what: &str) -> StoreError {
        StoreError::Missing { path: self.0.to_string(), what: what.to_owned(), remedy: REMEDY }
    }

    /// Returns the error for a write to a store that is open for reading only.
    pub(super) fn read_only(&self) -> StoreError {
        StoreError::ReadOnly { store: self.0.to_string() }
    }

    /// Returns the error for an act that is refused, because of that fork of the audit log.
    pub(super) fn forked(&self, why: String) -> StoreError {
        StoreError::Forked { store: self.0.to_string(), why }
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
        answer.map_err(|why| self.fault(&Fault::from(&why)))
    }
}

/// Reason why the store did not do what it was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be reached, or not be written, for now.
    Outage(String),
    /// It must not be used, or refused this one operation.
    Other(String),
}

impl From<&rusqlite::Error> for Fault {
    fn from(why: &rusqlite::Error) -> Self {
        let text = explain(why);
        if is_outage(why) { Self::Outage(text) } else { Self::Other(text) }
    }
}

/// Returns true where the medium, its file system or another process keeps SQLite from reading or writing. Damage is none,
/// and neither is a want of memory, which is this process's own.
fn is_outage(why: &rusqlite::Error) -> bool {
    // The first is of a file system that found itself damaged, the second of a page with a wrong checksum; the file of the
    // third was moved away or replaced.
    const DAMAGED_OR_LOST: [i32; 3] =
        [ffi::SQLITE_IOERR_CORRUPTFS, ffi::SQLITE_IOERR_DATA, ffi::SQLITE_READONLY_DBMOVED];
    why.sqlite_error().is_some_and(|error| {
        let may_pass = matches!(
            error.code,
            ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::FileLockingProtocolFailed
        );
        may_pass && !DAMAGED_OR_LOST.contains(&error.extended_code)
    })
}

/// Returns true where a file could not be written to.
pub(super) fn is_of_writing(why: &rusqlite::Error) -> bool {
    const WRITES: [i32; 5] = [
        ffi::SQLITE_FULL,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_DIR_FSYNC,
        ffi::SQLITE_IOERR_TRUNCATE,
    ];
    why.sqlite_error().is_some_and(|error| WRITES.contains(&error.extended_code))
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

    fn fault(code: i32) -> Fault {
        Fault::from(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn what_may_pass_is_an_outage_and_what_lasts_is_none() {
        let may_pass = [
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_RECOVERY,
            ffi::SQLITE_PROTOCOL,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
        ];
        for code in may_pass {
            assert!(matches!(fault(code), Fault::Outage(_)), "{code}");
        }
        let lasts = [
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_IOERR_CORRUPTFS,
            ffi::SQLITE_IOERR_DATA,
            ffi::SQLITE_READONLY_DBMOVED,
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_ERROR,
            ffi::SQLITE_LOCKED,
        ];
        for code in lasts {
            assert!(matches!(fault(code), Fault::Other(_)), "{code}");
        }
        assert!(matches!(Fault::from(&rusqlite::Error::QueryReturnedNoRows), Fault::Other(_)));
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
        let error = StoreName::new(Path::new("a.db")).check::<()>(Err(full)).unwrap_err().to_string();
        assert!(error.starts_with("the store a.db does not answer: "), "{error}");
        assert!(error.contains("make room"), "{error}");
    }
}
