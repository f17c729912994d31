//! The log of ends, and what nodes say of how far they have followed it.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
    clock::UnixMillis,
    domain::ids::SessionId,
    store::{End, Ends, EndsPage, EndsPosition, Follower, StoreError},
};

#[async_trait]
impl Ends for SqliteStore {
    async fn ends_position(&self) -> Result<EndsPosition, StoreError> {
        Err(self.name.unavailable("skeleton"))
    }

    async fn ends_since(&self, _from: EndsPosition, _after: u64, _limit: u32) -> Result<EndsPage, StoreError> {
        Err(self.name.unavailable("skeleton"))
    }

    async fn standing_ends(&self) -> Result<Vec<End>, StoreError> {
        Err(self.name.unavailable("skeleton"))
    }

    async fn ended_sessions(
        &self,
        _after: SessionId,
        _now: UnixMillis,
        _limit: u32,
    ) -> Result<Vec<(SessionId, UnixMillis)>, StoreError> {
        Err(self.name.unavailable("skeleton"))
    }

    async fn report_followed(&self, _follower: Follower) -> Result<(), StoreError> {
        Err(self.name.unavailable("skeleton"))
    }

    async fn followers(&self, _since: UnixMillis) -> Result<Vec<Follower>, StoreError> {
        Err(self.name.unavailable("skeleton"))
    }
}
