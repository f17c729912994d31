//! The store's own upkeep: purge, counts, check, schema, single values.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore,
    conditions::{app_ended, opted_out},
    database::Param,
    meta::{CHECK, CLOCK_ACCEPTANCE, CLOCK_FLOOR, GENERATION, GET, INSTALLATION_ID, PUT_FIRST, SCHEMA, USER_HASH_KEY},
    migrations,
    purge::Purging,
    rows::{self, RowError},
    server::check_commit,
};
use crate::{
    clock::{ClockAcceptance, ClockFloor, UnixMillis},
    domain::{
        audit::record_of,
        ids::{AppName, InstallationId},
    },
    store::{ClockRecord, Fact, Purged, Schema, StoreError, Upkeep, acts::clock_accepted},
};

const COUNT_LIVE: &str = concat!(
    "SELECT app, count(*) FROM countersign.sessions s WHERE ended IS NULL AND idle_expires > $1 AND expires > $1 AND NOT ",
    app_ended!(),
    " AND NOT ",
    opted_out!(),
    " GROUP BY app ORDER BY app COLLATE \"C\"",
);

const CLOCK: &str = "SELECT name, value FROM countersign.meta WHERE name IN ($1, $2)";

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Puts the floor `$2` on record, with the server's time where that is earlier than `$3`.
const RAISE_FLOOR: &str = "INSERT INTO countersign.meta AS m (name, value) \
     SELECT $1, jsonb_set($2::jsonb, '{time}', \
         to_jsonb(least($3, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)))::text \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value \
     WHERE (m.value::jsonb->>'time')::bigint <= (excluded.value::jsonb->>'time')::bigint";

/// Its record is `$1`. Both values are one act.
const ACCEPT: &str = "WITH done AS (INSERT INTO countersign.meta (name, value) VALUES ($2, $3), ($4, $5) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value RETURNING true) \
     SELECT countersign.record_acts($1, false) FROM (SELECT count(*) FROM done) done";

const REPLACE: &str = "UPDATE countersign.meta SET value = $3 WHERE name = $1 AND value = $2 RETURNING true";

const PUT_CHECK: &str = "INSERT INTO countersign.meta (name, value) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value RETURNING current_setting('synchronous_commit')";

#[async_trait]
impl Upkeep for PostgresStore {
    async fn generation(&self) -> Result<u64, StoreError> {
        let found = self.value(GENERATION, |row| rows::parsed(row, 0)).await?;
        found.ok_or_else(|| self.database.name.damaged())
    }

    async fn installation_id(&self) -> Result<Option<InstallationId>, StoreError> {
        self.value(INSTALLATION_ID, |row| rows::parsed(row, 0)).await
    }

    async fn adopt_installation_id(&self, id: InstallationId) -> Result<bool, StoreError> {
        self.has_written(PUT_FIRST, &[(&INSTALLATION_ID, Type::TEXT), (&id.to_string(), Type::TEXT)]).await
    }

    async fn user_hash_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = |row: &Row| hex::decode(rows::get::<&str>(row, 0)?).map_err(|why| rows::damaged(0, why));
        self.value(USER_HASH_KEY, bytes).await
    }

    async fn replace_user_hash_key(&self, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError> {
        let (name, to) = (USER_HASH_KEY, hex::encode(to));
        match from.map(hex::encode) {
            None => self.has_written(PUT_FIRST, &[(&name, Type::TEXT), (&to, Type::TEXT)]).await,
            Some(from) => {
                self.has_written(REPLACE, &[(&name, Type::TEXT), (&from, Type::TEXT), (&to, Type::TEXT)]).await
            }
        }
    }

    async fn purge(&self, now: UnixMillis, limit: u32) -> Result<Purged, StoreError> {
        self.database.run(&Purging { now, limit }).await
    }

    async fn live_sessions(&self, now: UnixMillis) -> Result<Vec<(AppName, u64)>, StoreError> {
        let found = self.read(COUNT_LIVE, &[(&now.0, Type::INT8)]).await?;
        let count = |row: &Row| Ok((rows::parsed(row, 0)?, rows::unsigned(row, 1)?));
        self.database.name.check(found.iter().map(count).collect::<Result<_, RowError>>())
    }

    async fn clock_record(&self) -> Result<ClockRecord, StoreError> {
        let found = self.read(CLOCK, &[(&CLOCK_FLOOR, Type::TEXT), (&CLOCK_ACCEPTANCE, Type::TEXT)]).await?;
        self.database.name.check(clock_record(&found))
    }

    async fn raise_clock_floor(&self, floor: ClockFloor) -> Result<(), StoreError> {
        let text = self.json(&floor)?;
        let params = [(&CLOCK_FLOOR as _, Type::TEXT), (&text as _, Type::TEXT), (&floor.time.0 as _, Type::INT8)];
        self.database.write(RAISE_FLOOR, &params).await.map(drop)
    }

    async fn accept_clock(&self, acceptance: ClockAcceptance) -> Result<(), StoreError> {
        self.before_act(false).await?;
        let record = record_of(&clock_accepted(&acceptance));
        let (floor, acceptance) = (self.json(&acceptance.floor)?, self.json(&acceptance)?);
        self.write(move |database| async move {
            let params: [Param<'_>; 4] = [
                (&CLOCK_FLOOR, Type::TEXT),
                (&floor, Type::TEXT),
                (&CLOCK_ACCEPTANCE, Type::TEXT),
                (&acceptance, Type::TEXT),
            ];
            database.act(ACCEPT, record, &params).await.map(drop)
        })
        .await
    }

    async fn database_time(&self) -> Result<Option<UnixMillis>, StoreError> {
        let found = self.read(NOW, &[]).await?;
        self.database.name.check(found.first().map(|row| rows::time(row, 0)).transpose())
    }

    async fn check(&self, now: UnixMillis) -> Result<(), StoreError> {
        let name = &self.database.name;
        let written = self.database.write(PUT_CHECK, &[(&CHECK, Type::TEXT), (&now.0.to_string(), Type::TEXT)]).await?;
        let read: Option<i64> = self.value(CHECK, |row| rows::parsed(row, 0)).await?;
        let (Some(written), Some(_)) = (written.first(), read) else {
            return Err(name.unavailable("what was written cannot be read"));
        };
        // It may have been changed for the role or the database meanwhile.
        check_commit(name.check(rows::get(written, 0))?, name)
    }

    async fn facts(&self, nodes: u64) -> Result<Vec<Fact>, StoreError> {
        self.database_facts(nodes).await
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        let found = self.value(SCHEMA, migrations::version_of).await?;
        Ok(Schema { found: found.ok_or_else(|| self.database.name.damaged())?, known: migrations::KNOWN })
    }

    async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        Err(self.database.name.no_backup(&to))
    }
}

impl PostgresStore {
    /// Returns the value of a name, as `read` reads it.
    async fn value<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Row) -> Result<T, RowError> + Send,
    ) -> Result<Option<T>, StoreError> {
        let found = self.read(GET, &[(&name, Type::TEXT)]).await?;
        self.database.name.check(found.first().map(read).transpose())
    }

    fn json(&self, value: &impl Serialize) -> Result<String, StoreError> {
        serde_json::to_string(value).map_err(|why| self.database.name.unavailable(why))
    }
}

/// Reads the floor and the acceptance from rows of [`CLOCK`].
fn clock_record(found: &[Row]) -> Result<ClockRecord, RowError> {
    let mut record = ClockRecord::default();
    for row in found {
        match rows::get(row, 0)? {
            CLOCK_FLOOR => record.floor = Some(from_json(row)?),
            _ => record.acceptance = Some(from_json(row)?),
        }
    }
    Ok(record)
}

fn from_json<T: DeserializeOwned>(row: &Row) -> Result<T, RowError> {
    serde_json::from_str(rows::get(row, 1)?).map_err(|why| rows::damaged(1, why))
}
