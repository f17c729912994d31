//! The records of signing keys and of their rotation.

use async_trait::async_trait;
use tokio_postgres::{Row, Transaction, types::Type};

use super::{
    PostgresStore, audit_log,
    database::{Done, Steps},
    rows::{self, RowError},
};
use crate::{
    domain::{
        audit::AuditEvent,
        ids::RingName,
        key::KeyRecord,
        rotation::{Progress, Publication, Published},
    },
    store::{KeyLife, KeyTransaction, Keys, RingRecords, StoreError, acts::any_stops_something},
};

/// SELECT of the columns of [`key_of`] and [`life_of`].
macro_rules! select_keys {
    ($where:literal) => {
        concat!(
            "SELECT k.kid, k.ring, k.state, k.bits, k.public_key, k.custody, k.locator, k.created, k.changed, \
             l.tokens_until, l.destroyed FROM countersign.keys k LEFT JOIN countersign.key_lives l ON l.kid = k.kid ",
            $where,
            " ORDER BY k.created, k.kid COLLATE \"C\""
        )
    };
}

const PUBLICATIONS: &str = "SELECT p.app, p.kid, p.asked, p.shown, p.braze_id FROM countersign.publications p \
     JOIN countersign.keys k ON k.kid = p.kid WHERE k.ring = $1 ORDER BY p.app COLLATE \"C\", p.kid COLLATE \"C\"";

const PROGRESS: &str = "SELECT version, goal, new_key FROM countersign.rotations WHERE ring = $1";

#[async_trait]
impl Keys for PostgresStore {
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let found = self.read(select_keys!(""), &[]).await?;
        self.database.name.check(found.iter().map(key_of).collect())
    }

    async fn transact(&self, transaction: KeyTransaction) -> Result<bool, StoreError> {
        self.before_act(transaction.events.is_empty() || any_stops_something(&transaction.events)).await?;
        let (applied, unrecorded) = self.database.run(&transaction).await?;
        self.database.held.hold(unrecorded);
        Ok(applied)
    }

    async fn ring(&self, ring: &RingName) -> Result<RingRecords, StoreError> {
        self.database.snapshot(ring).await
    }

    async fn audit_log(&self, ring: Option<&RingName>, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        let (ring, limit) = (ring.map(RingName::as_str), i64::from(limit));
        let found = self.read(audit_log::NEWEST, &[(&ring, Type::TEXT), (&limit, Type::INT8)]).await?;
        self.database.name.check(found.iter().map(audit_log::event_of).collect())
    }
}

/// Reading of all records of a ring, as of one point in time.
#[async_trait]
impl Steps for RingName {
    type Answer = RingRecords;

    async fn run(&self, snapshot: &Transaction<'_>) -> Result<Done<RingRecords>, RowError> {
        let ring = self.as_str();
        let params = [(&ring as _, Type::TEXT)];
        // Sent together: the answers take one round trip.
        let (keys, publications, progress) = tokio::try_join!(
            snapshot.query_typed(select_keys!("WHERE k.ring = $1"), &params),
            snapshot.query_typed(PUBLICATIONS, &params),
            snapshot.query_typed_opt(PROGRESS, &params),
        )?;
        let keys = keys.iter().map(|row| Ok((key_of(row)?, life_of(row)?))).collect::<Result<_, RowError>>()?;
        let publications = publications.iter().map(published_of).collect::<Result<_, RowError>>()?;
        let progress = progress.as_ref().map(progress_of).transpose()?.unwrap_or_default();
        Ok(Done::Commit(RingRecords { keys, publications, progress }))
    }
}

fn key_of(row: &Row) -> Result<KeyRecord, RowError> {
    Ok(KeyRecord {
        kid: rows::parsed(row, 0)?,
        ring: rows::parsed(row, 1)?,
        state: rows::parsed(row, 2)?,
        bits: rows::unsigned(row, 3)?,
        public_key: rows::get(row, 4)?,
        custody: rows::get(row, 5)?,
        locator: rows::get(row, 6)?,
        created: rows::time(row, 7)?,
        changed: rows::time(row, 8)?,
    })
}

fn life_of(row: &Row) -> Result<KeyLife, RowError> {
    Ok(KeyLife { tokens_until: rows::time_or_null(row, 9)?, destroyed: rows::time_or_null(row, 10)? })
}

fn published_of(row: &Row) -> Result<Published, RowError> {
    Ok(Published { app: rows::parsed(row, 0)?, kid: rows::parsed(row, 1)?, publication: publication_of(row, 2)? })
}

/// Reads a publication from the columns asked, shown, `braze_id`, of which `first` is the first.
pub(super) fn publication_of(row: &Row, first: usize) -> Result<Publication, RowError> {
    Ok(Publication {
        asked: rows::time_or_null(row, first)?,
        shown: rows::time_or_null(row, first + 1)?,
        braze_id: rows::get(row, first + 2)?,
    })
}

fn progress_of(row: &Row) -> Result<Progress, RowError> {
    Ok(Progress {
        version: rows::unsigned(row, 0)?,
        goal: rows::parsed(row, 1)?,
        new_key: rows::parsed_or_null(row, 2)?,
    })
}
