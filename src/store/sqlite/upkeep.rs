//! What the service asks of the store for its own sake.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params, types::FromSql};

use super::{
    SqliteStore, connect,
    errors::StoreName,
    file::NewCopy,
    migrations,
    purge::{AHEAD, sweep},
    rows,
};
use crate::{
    clock::UnixMillis,
    domain::ids::AppName,
    store::{Purged, Schema, StoreError, Upkeep},
    telemetry::{Stopwatch, StoreWork},
};

/// How far the time on record may lag behind the time of writes.
const LAG: Duration = Duration::from_mins(1);

const PUT: &str =
    "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

const COUNT_LIVE: &str = concat!(
    "SELECT app, count(*) FROM sessions WHERE ended IS NULL AND idle_expires > ?1 AND expires > ?1 AND NOT ",
    app_ended!(),
    " AND NOT ",
    opted_out!(),
    " GROUP BY app ORDER BY app",
);

#[async_trait]
impl Upkeep for SqliteStore {
    async fn generation(&self) -> Result<u64, StoreError> {
        self.read(|c| {
            c.prepare_cached("SELECT value FROM meta WHERE name = 'generation'")?
                .query_row([], |row| rows::unsigned(row, 0))
        })
    }

    async fn user_hash_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|c| get(c, "user_hash_key"))
    }

    async fn replace_user_hash_key(&self, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError> {
        self.write(None, move |c| {
            let changed = match &from {
                None => c.execute(
                    "INSERT INTO meta (name, value) VALUES ('user_hash_key', ?1) ON CONFLICT DO NOTHING",
                    params![to],
                )?,
                Some(from) => c.execute(
                    "UPDATE meta SET value = ?2 WHERE name = 'user_hash_key' AND value = ?1",
                    params![from, to],
                )?,
            };
            Ok(changed == 1)
        })
        .await
    }

    async fn purge(&self, now: UnixMillis, limit: u32) -> Result<Purged, StoreError> {
        let state = Arc::clone(&self.sweep);
        // No `now` for the writer: whether this one is to be believed is decided in there.
        self.write(None, move |c| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            sweep(c, &mut state, now, limit)
        })
        .await
    }

    async fn live_sessions(&self, now: UnixMillis) -> Result<Vec<(AppName, u64)>, StoreError> {
        self.read_long(move |c| {
            let mut counts = c.prepare_cached(COUNT_LIVE)?;
            counts.query_map([now.0], |row| Ok((rows::parsed(row, 0)?, rows::unsigned(row, 1)?)))?.collect()
        })
        .await
    }

    async fn latest_time(&self) -> Result<UnixMillis, StoreError> {
        let known = self.read(latest_time)?;
        // A store that nobody wrote to has seen no time at all.
        Ok(known.unwrap_or(UnixMillis(0)))
    }

    async fn check(&self, now: UnixMillis) -> Result<(), StoreError> {
        self.file.still_there(&self.name)?;
        self.write(Some(now), move |c| put(c, "check", now)).await?;
        let read: Option<i64> = self.read(|c| get(c, "check"))?;
        read.map(drop).ok_or_else(|| self.name.unavailable("what was written cannot be read"))
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        Ok(Schema { found: self.read(migrations::found)?, known: migrations::KNOWN })
    }

    async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        let watch = Stopwatch::start();
        let (from, name) = (self.file.path().to_owned(), self.name.clone());
        let done = tokio::task::spawn_blocking(move || copy(&from, &to, &name)).await;
        self.metrics.store_worked(StoreWork::Read, watch.elapsed());
        done.map_err(|why| self.name.unavailable(why))?
    }
}

/// Copies the store as it is at one moment, without its free pages. Writes go on meanwhile.
fn copy(from: &Path, to: &Path, name: &StoreName) -> Result<(), StoreError> {
    let copy = NewCopy::create(to, name)?;
    let target = copy.path().to_str().ok_or_else(|| name.unavailable("the copy's path must be UTF-8"))?;
    let done = connect::reading(from).and_then(|c| c.execute("VACUUM INTO ?1", [target]));
    name.check(done)?;
    copy.keep().map_err(|why| name.unavailable(why))
}

/// Counts a change of keys or API keys, if there was one; hands that on.
pub(super) fn next_generation(c: &Connection, changed: bool) -> rusqlite::Result<bool> {
    if changed {
        c.prepare_cached("UPDATE meta SET value = value + 1 WHERE name = 'generation'")?.execute([])?;
    }
    Ok(changed)
}

fn get<T: FromSql>(c: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    c.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

fn put(c: &Connection, name: &str, time: UnixMillis) -> rusqlite::Result<()> {
    c.prepare_cached(PUT)?.execute(params![name, time.0]).map(drop)
}

/// The latest time on record.
pub(super) fn latest_time(c: &Connection) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(get(c, "latest_time")?.map(UnixMillis))
}

/// Puts the latest time on record.
pub(super) fn set_latest_time(c: &Connection, now: UnixMillis) -> rusqlite::Result<()> {
    put(c, "latest_time", now)
}

/// Keeps the latest time on record no more than [`LAG`] behind the writes, at the cost of one row a minute.
///
/// A time that is [`AHEAD`] of the record is left out: only purging decides whether such a clock is to be believed.
#[derive(Debug, Default)]
pub(super) struct TimeKeeper {
    asked: Option<UnixMillis>,
}

impl TimeKeeper {
    /// In a transaction that happens at `now`.
    pub(super) fn note(&mut self, c: &Connection, now: UnixMillis) -> rusqlite::Result<()> {
        let near = |asked: UnixMillis| now.0.abs_diff(asked.0) < u64::try_from(LAG.as_millis()).unwrap_or(u64::MAX);
        if self.asked.is_some_and(near) {
            return Ok(());
        }
        let advances = latest_time(c)?.is_none_or(|latest| now > latest && now.since(latest) <= AHEAD);
        if advances {
            set_latest_time(c, now)?;
        }
        self.asked = Some(now);
        Ok(())
    }

    /// The transaction was rolled back.
    pub(super) fn forget(&mut self) {
        self.asked = None;
    }
}
