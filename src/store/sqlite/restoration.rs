//! Restoring a backup: its copy is checked and prepared as a [`Draft`], so that a restoration that fails or is killed
//! leaves no store with live sessions.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use rusqlite::{Connection, params};
use rustix::fs::OFlags;

use super::{
    connect,
    draft::{COMPANIONS, Draft, draft_path},
    errors::{StoreName, explain},
    file::{resolve, with_suffix},
    migrations::{self, Maker},
};
use crate::{
    clock::UnixMillis,
    domain::session::Ended,
    files::write_fault,
    store::{Config, Store, StoreError, open},
    telemetry::Metrics,
};

/// Copy of a backup beside the store's path. It is deleted again unless [`Restoration::put_in_place`] is called.
pub struct Restoration {
    config: Config,
    draft: Draft,
    name: StoreName,
}

impl Restoration {
    pub(in crate::store) fn begin(config: &Config, backup: &Path) -> Result<Self, StoreError> {
        let name = StoreName::new(&config.path);
        let refused = |why: String| StoreError::Backup { path: backup.display().to_string(), why };
        let failed = |why: io::Error| refused(why.to_string());
        let mut source = open_backup(backup).map_err(failed)?;
        refuse_log_of(backup).map_err(refused)?;
        if backup.canonicalize().map_err(failed)? == draft_path(&resolve(&config.path, &name)?) {
            return Err(refused("is what an unfinished restore left: name the backup".to_owned()));
        }
        let draft = Draft::begin(&config.path, &name)?;
        // SQLite does not have the draft open yet: to close it here drops no lock.
        let mut copy = OpenOptions::new().write(true).open(draft.path()).map_err(|why| name.unavailable(why))?;
        let full = |why: io::Error| {
            refused(format!("cannot be copied to {}: {}", draft.path().display(), write_fault(draft.path(), &why)))
        };
        io::copy(&mut source, &mut copy).map_err(full)?;
        drop(copy);
        verify(draft.path(), &name).map_err(refused)?;
        Ok(Self { config: Config { path: draft.path().to_owned(), ..config.clone() }, draft, name })
    }

    /// Opens the copy, to look at it and to change it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        open(&self.config, Metrics::new()).await
    }

    /// Ends every session in the copy, and makes it the store. The copy must not be open.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where somebody else made a store meanwhile.
    pub fn put_in_place(self, now: UnixMillis) -> Result<(), StoreError> {
        let ended = connect::alone(self.draft.path()).and_then(|mut c| {
            // So that the log of ends has these, too.
            migrations::migrate(&mut c)?;
            end_every_session(&mut c, now)
        });
        self.name.check(ended)?;
        self.draft.put_in_place()
    }
}

/// Opens a backup. A pipe would be waited for, and a device has no end.
fn open_backup(path: &Path) -> io::Result<File> {
    let without_waiting = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(without_waiting).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("is not a regular file: name a file that `countersign db backup` made"))
}

/// Fails where the backup is incomplete without SQLite's files beside it. An empty log adds nothing.
fn refuse_log_of(backup: &Path) -> Result<(), String> {
    let adds = |path: &Path| path.metadata().is_ok_and(|found| found.len() > 0);
    // Another program that has the backup open makes a `-shm`, which holds no data.
    let mut logs = COMPANIONS.iter().filter(|suffix| **suffix != "-shm").map(|suffix| with_suffix(backup, suffix));
    match logs.find(|log| adds(log)) {
        Some(log) => Err(format!(
            "is incomplete without {}: make backups with `countersign db backup`, which puts everything into one file",
            log.display()
        )),
        None => Ok(()),
    }
}

/// Checks that the copy is a store of a version that this build can use, and is not damaged.
fn verify(copy: &Path, name: &StoreName) -> Result<(), String> {
    const NOT_OURS: &str = "is not a store of countersign";
    let damaged = |why: rusqlite::Error| match why.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => NOT_OURS.to_owned(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => "is damaged: restore another backup".to_owned(),
        _ => explain(&why),
    };
    let connection = connect::alone(copy).map_err(damaged)?;
    if migrations::maker(&connection).map_err(damaged)? != Maker::Us {
        return Err(NOT_OURS.to_owned());
    }
    match migrations::check_usable(&connection, name) {
        Ok(()) | Err(StoreError::TooOld { .. }) => {}
        Err(why) => return Err(why.to_string()),
    }
    let integrity: String =
        connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(damaged)?;
    if integrity == "ok" { Ok(()) } else { Err(format!("is damaged ({integrity}): restore another backup")) }
}

/// Ends every session: some of them may have been ended after the backup was made. The clock may be wrong: no login
/// from now on is ended too. Where it is ahead, only what began by the newest session's beginning is ended; where it is
/// behind, or a session is from a clock ahead of it, that session is ended by its own row.
fn end_every_session(c: &mut Connection, now: UnixMillis) -> rusqlite::Result<()> {
    let transaction = c.transaction()?;
    transaction.execute(
        "INSERT INTO app_ends (app, ended_at) SELECT '', min(?1, max(created)) FROM sessions HAVING max(created) NOT NULL \
         ON CONFLICT (app) DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)",
        [now.0],
    )?;
    transaction.execute(
        "UPDATE sessions SET ended = ?1, ended_at = ?2 WHERE ended IS NULL AND created > ?2",
        params![Ended::Revoked.as_str(), now.0],
    )?;
    // Those nodes follow the lost store.
    transaction.execute("DELETE FROM followers", [])?;
    transaction.commit()
}
