//! The part of the store's interface that keeps sealed private keys. The store cannot open them.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::ids::Kid;

/// Operations on sealed private keys. They change no [`generation`](super::Upkeep::generation): the records of the keys
/// do.
#[async_trait]
pub trait SealedKeys: Send + Sync {
    /// Returns a sealed key; `None` where there is none.
    async fn sealed_key(&self, kid: &Kid) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a sealed key. Returns `false`, and changes nothing, where one of this id is there already.
    async fn insert_sealed_key(&self, kid: &Kid, sealed: Vec<u8>) -> Result<bool, StoreError>;

    /// Replaces a sealed key, if it still is `from`. Returns `false` where it is another, or there is none.
    async fn replace_sealed_key(&self, kid: &Kid, from: Vec<u8>, to: Vec<u8>) -> Result<bool, StoreError>;

    /// Deletes a sealed key. Returns `false` where there is none.
    async fn delete_sealed_key(&self, kid: &Kid) -> Result<bool, StoreError>;

    /// Returns the ids of all sealed keys, in order.
    async fn sealed_keys(&self) -> Result<Vec<Kid>, StoreError>;
}
