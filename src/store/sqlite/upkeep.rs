//! The store's own upkeep: purge, counts, check, schema, backup.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;

use super::{
    SqliteStore, activity, clock_floor, connect, ends,
    errors::{StoreName, explain, is_of_writing},
    file::NewCopy,
    meta, migrations, operators, provider_logins,
    purge::sweep,
    rows,
};
use crate::{
    clock::{ClockAcceptance, ClockFloor, UnixMillis},
    domain::{
        audit::record_of,
        ids::{AppName, InstallationId},
    },
    files::{obstacle, write_fault},
    store::{ClockRecord, Purged, Schema, StoreError, Upkeep, acts::clock_accepted},
    telemetry::{Stopwatch, StoreWork},
};

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
        self.check_files()?;
        self.read(meta::generation)
    }

    async fn installation_id(&self) -> Result<Option<InstallationId>, StoreError> {
        self.read(meta::installation_id)
    }

    async fn adopt_installation_id(&self, id: InstallationId) -> Result<bool, StoreError> {
        self.write(move |c| meta::adopt_installation_id(c, &id)).await
    }

    async fn user_hash_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(meta::user_hash_key)
    }

    async fn replace_user_hash_key(&self, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError> {
        self.write(move |c| meta::replace(c, meta::USER_HASH_KEY, from.as_deref(), &to)).await
    }

    async fn purge(&self, now: UnixMillis, limit: u32) -> Result<Purged, StoreError> {
        let state = Arc::clone(&self.sweep);
        self.write(move |c| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            provider_logins::forget(c, now, limit)?;
            ends::forget(c, now, limit)?;
            operators::forget(c, now, limit)?;
            activity::forget(c, now, limit)?;
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

    async fn clock_record(&self) -> Result<ClockRecord, StoreError> {
        self.read(clock_floor::record)
    }

    async fn raise_clock_floor(&self, floor: ClockFloor) -> Result<(), StoreError> {
        self.write(move |c| clock_floor::raise(c, &floor)).await
    }

    async fn accept_clock(&self, acceptance: ClockAcceptance) -> Result<(), StoreError> {
        self.act(false, move |c| {
            clock_floor::accept(c, &acceptance)?;
            Ok(((), vec![record_of(&clock_accepted(&acceptance))]))
        })
        .await
    }

    async fn database_time(&self) -> Result<Option<UnixMillis>, StoreError> {
        // The engine runs in this process, with this machine's clock.
        Ok(None)
    }

    async fn check(&self, now: UnixMillis) -> Result<(), StoreError> {
        self.check_files()?;
        self.write(move |c| meta::put_check_value(c, now)).await?;
        let read = self.read(meta::check_value)?;
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

impl SqliteStore {
    /// Fails where one of the store's files was removed or replaced.
    fn check_files(&self) -> Result<(), StoreError> {
        self.file.still_there().map_err(|why| self.name.fault(&why))
    }
}

/// Copies the store as of one point in time, without its free pages, while writes continue.
fn copy(from: &Path, to: &Path, name: &StoreName) -> Result<(), StoreError> {
    let copy = NewCopy::create(to)?;
    let path = copy.path().to_owned();
    let target = path.to_str().ok_or_else(|| name.unavailable("the copy's path must be UTF-8"))?;
    let reader = name.check(connect::reading(from))?;
    let refused = |why| StoreError::Backup { path: target.to_owned(), why };
    match reader.execute("VACUUM INTO ?1", [target]) {
        Err(why) if is_of_writing(&why) => {
            let obstacle = obstacle(&path).map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
            return Err(refused(explain(&why) + &obstacle));
        }
        done => name.check(done)?,
    };
    copy.keep().map_err(|why| refused(write_fault(&path, &why)))
}
