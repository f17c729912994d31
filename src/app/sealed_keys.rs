//! Connection of custody with the store that keeps sealed keys.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    custody::{SealedKeyStore, StoreFault},
    domain::ids::Kid,
    store::Store,
};

/// Store of the sealed keys.
pub(super) struct StoredKeys(pub(super) Arc<dyn Store>);

#[async_trait]
impl SealedKeyStore for StoredKeys {
    async fn get(&self, kid: &Kid) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.0.sealed_key(kid).await?)
    }

    async fn insert(&self, kid: &Kid, sealed: Vec<u8>) -> Result<bool, StoreFault> {
        Ok(self.0.insert_sealed_key(kid, sealed).await?)
    }

    async fn replace(&self, kid: &Kid, from: Vec<u8>, to: Vec<u8>) -> Result<bool, StoreFault> {
        Ok(self.0.replace_sealed_key(kid, from, to).await?)
    }

    async fn delete(&self, kid: &Kid) -> Result<(), StoreFault> {
        self.0.delete_sealed_key(kid).await?;
        Ok(())
    }

    async fn kids(&self) -> Result<Vec<Kid>, StoreFault> {
        Ok(self.0.sealed_keys().await?)
    }
}
