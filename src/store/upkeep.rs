//! The part of the store's interface that keeps the store itself in order.

use std::path::PathBuf;

use async_trait::async_trait;
use utoipa::ToSchema;

use super::{Fact, StoreError};
use crate::{
    clock::{ClockAcceptance, ClockFloor, UnixMillis},
    domain::ids::{AppName, InstallationId},
};

/// Operations that keep the store itself in order: purge, check, backup, single values.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Returns a number that changes with every change of a signing key's or an API key's record. It is cheap enough
    /// to be read every second. Fails where the store's file was removed or replaced.
    async fn generation(&self) -> Result<u64, StoreError>;

    /// Returns the id of the store's installation; `None` in a store that an older version created.
    async fn installation_id(&self) -> Result<Option<InstallationId>, StoreError>;

    /// Puts the id of the store's installation on record, if there is none. Returns `false` where there is one.
    async fn adopt_installation_id(&self, id: InstallationId) -> Result<bool, StoreError>;

    /// Returns the sealed key with which user ids are hashed for the store; `None` in a new store.
    async fn user_hash_key(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the sealed user-hash key, if it still is `from`; `None` means that there must be none. Returns
    /// `false` where it is another.
    async fn replace_user_hash_key(&self, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError>;

    /// Examines the next `limit` sessions, from the first again after the last, and deletes those whose absolute expiry
    /// was at least 7 days before `now`: a session that ended earlier stays on record while its tokens can open. Deletes
    /// ended logins and ends of users, too, that need not be remembered any more, rows of the log of ends that are
    /// older than [`super::ENDS_KEPT`], sessions of the console and creations of a day ago, and counts of answers of 8 days
    /// ago.
    async fn purge(&self, now: UnixMillis, limit: u32) -> Result<Purged, StoreError>;

    /// Returns the number of sessions that are live at `now`, for each app that has any.
    async fn live_sessions(&self, now: UnixMillis) -> Result<Vec<(AppName, u64)>, StoreError>;

    /// Returns the floor of the time, and the last acceptance of a clock.
    async fn clock_record(&self) -> Result<ClockRecord, StoreError>;

    /// Records a floor, unless the one on record is later. A store that has a clock of its own records that clock's
    /// time, where it is earlier.
    async fn raise_clock_floor(&self, floor: ClockFloor) -> Result<(), StoreError>;

    /// Records an operator's acceptance of a clock. Its floor replaces the one on record, also a later one.
    async fn accept_clock(&self, acceptance: ClockAcceptance) -> Result<(), StoreError>;

    /// Returns the time of the store's own clock; `None` where the store has none but this machine's.
    async fn database_time(&self) -> Result<Option<UnixMillis>, StoreError>;

    /// Writes one value durably and reads it back. Fails where the disk is full, or the store's file was removed or
    /// replaced.
    async fn check(&self, now: UnixMillis) -> Result<(), StoreError>;

    /// Returns facts about a store that is no file of this machine, for this many nodes that have reported lately.
    async fn facts(&self, _nodes: u64) -> Result<Vec<Fact>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns the schema version of the store, and the newest that this build knows.
    async fn schema(&self) -> Result<Schema, StoreError>;

    /// Copies the whole store as of one point in time. The file `to` must not exist yet.
    async fn backup(&self, to: PathBuf) -> Result<(), StoreError>;
}

/// Outcome of [`Upkeep::purge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Number of sessions deleted.
    pub deleted: u64,
    /// The last session was reached: the next purge begins at the first.
    pub complete: bool,
}

/// Time that the store has on record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockRecord {
    /// Earliest time that it can be now; `None` in a new store.
    pub floor: Option<ClockFloor>,
    /// The last time that an operator accepted a clock.
    pub acceptance: Option<ClockAcceptance>,
}

/// Schema versions: of the store, and of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
pub struct Schema {
    /// The version of the store's tables.
    pub found: u32,
    /// The newest version that this build knows.
    pub known: u32,
}
