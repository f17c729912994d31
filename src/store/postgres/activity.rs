//! The table `activity`.

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction, types::Type};

use super::{
    PostgresStore,
    database::Param,
    rows::{self, RowError},
};
use crate::{
    clock::UnixMillis,
    store::{Activity, ActivityCount, StoreError, retention::ACTIVITY},
};

/// Rows come in the order of their key, so that no two nodes wait for each other. A batch may have a key twice.
const ADD: &str = "INSERT INTO countersign.activity AS a (minute, app, mints, refreshes, refused) \
     SELECT minute, app, sum(mints)::bigint, sum(refreshes)::bigint, sum(refused)::bigint \
     FROM unnest($1, $2, $3, $4, $5) AS n (minute, app, mints, refreshes, refused) \
     GROUP BY minute, app ORDER BY minute, app \
     ON CONFLICT (minute, app) DO UPDATE SET mints = a.mints + excluded.mints, \
     refreshes = a.refreshes + excluded.refreshes, refused = a.refused + excluded.refused";

const SINCE: &str = "SELECT minute, app, mints, refreshes, refused FROM countersign.activity WHERE minute >= $1 \
     ORDER BY minute, app COLLATE \"C\"";

/// Rows that are in use are left for the next time.
const FORGET: &str = "DELETE FROM countersign.activity WHERE (minute, app) IN ( \
     SELECT minute, app FROM countersign.activity WHERE minute <= $1 ORDER BY minute LIMIT $2 \
     FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Activity for PostgresStore {
    async fn add_activity(&self, counts: Vec<ActivityCount>) -> Result<(), StoreError> {
        let minutes: Vec<i64> = counts.iter().map(|count| count.minute.0).collect();
        let apps: Vec<&str> = counts.iter().map(|count| count.app.as_str()).collect();
        let column = |number: fn(&ActivityCount) -> u64| {
            let column = counts.iter().map(|count| rows::stored(number(count))).collect::<Result<Vec<i64>, _>>();
            self.database.name.check(column)
        };
        let mints = column(|count| count.mints)?;
        let refreshes = column(|count| count.refreshes)?;
        let refused = column(|count| count.refused)?;
        let params: [Param<'_>; 5] = [
            (&minutes, Type::INT8_ARRAY),
            (&apps, Type::TEXT_ARRAY),
            (&mints, Type::INT8_ARRAY),
            (&refreshes, Type::INT8_ARRAY),
            (&refused, Type::INT8_ARRAY),
        ];
        self.database.write(ADD, &params).await.map(drop)
    }

    async fn activity_since(&self, minute: UnixMillis) -> Result<Vec<ActivityCount>, StoreError> {
        let found = self.read(SINCE, &[(&minute.0, Type::INT8)]).await?;
        self.database.name.check(found.iter().map(count_of).collect())
    }
}

/// Deletes at most `limit` counts that need not be remembered any more.
pub(super) async fn forget(transaction: &Transaction<'_>, now: UnixMillis, limit: i64) -> Result<(), RowError> {
    let params: [Param<'_>; 2] = [(&now.minus(ACTIVITY).0, Type::INT8), (&limit, Type::INT8)];
    transaction.execute_typed(FORGET, &params).await?;
    Ok(())
}

fn count_of(row: &Row) -> Result<ActivityCount, RowError> {
    Ok(ActivityCount {
        minute: rows::time(row, 0)?,
        app: rows::parsed(row, 1)?,
        mints: rows::unsigned(row, 2)?,
        refreshes: rows::unsigned(row, 3)?,
        refused: rows::unsigned(row, 4)?,
    })
}
