//! The table `activity`.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, rows};
use crate::{
    clock::UnixMillis,
    store::{Activity, ActivityCount, StoreError, retention::ACTIVITY},
};

const ADD: &str = "INSERT INTO activity AS a (minute, app, mints, refreshes, refused) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (minute, app) DO UPDATE SET mints = a.mints + excluded.mints, \
     refreshes = a.refreshes + excluded.refreshes, refused = a.refused + excluded.refused";

const SINCE: &str =
    "SELECT minute, app, mints, refreshes, refused FROM activity WHERE minute >= ?1 ORDER BY minute, app";

const FORGET: &str = "DELETE FROM activity WHERE (minute, app) IN \
     (SELECT minute, app FROM activity WHERE minute <= ?1 ORDER BY minute LIMIT ?2)";

#[async_trait]
impl Activity for SqliteStore {
    async fn add_activity(&self, counts: Vec<ActivityCount>) -> Result<(), StoreError> {
        self.write(move |c| {
            let mut add = c.prepare_cached(ADD)?;
            for ActivityCount { minute, app, mints, refreshes, refused } in &counts {
                let [mints, refreshes, refused] = [mints, refreshes, refused].map(|count| rows::stored(*count));
                add.execute(params![minute.0, app.as_str(), mints?, refreshes?, refused?])?;
            }
            Ok(())
        })
        .await
    }

    async fn activity_since(&self, minute: UnixMillis) -> Result<Vec<ActivityCount>, StoreError> {
        self.read_long(move |c| c.prepare_cached(SINCE)?.query_map([minute.0], count_of)?.collect()).await
    }
}

/// Deletes at most `limit` counts that need not be remembered any more.
pub(super) fn forget(c: &Connection, now: UnixMillis, limit: u32) -> rusqlite::Result<()> {
    c.prepare_cached(FORGET)?.execute(params![now.minus(ACTIVITY).0, limit]).map(drop)
}

fn count_of(row: &Row<'_>) -> rusqlite::Result<ActivityCount> {
    Ok(ActivityCount {
        minute: rows::time(row, 0)?,
        app: rows::parsed(row, 1)?,
        mints: rows::unsigned(row, 2)?,
        refreshes: rows::unsigned(row, 3)?,
        refused: rows::unsigned(row, 4)?,
    })
}
